"""Statements that sum up at which characters a head looks on a text, measured from its weights.

A pattern is a set of positions for each character, such as the letter before it. Its share is the
mean attention that falls on them. Attention that is spread evenly over all visible characters gives
a share, too; what the head has above that is its excess.
"""

import unicodedata

import torch
import torch.nn.functional as F

MIN_SHARE = 0.5  # of a clear pattern: "mostly"
MIN_EXCESS = 0.25  # of a clear pattern
NARROWER = 0.1  # excess that a pattern may lack to go before one that contains it: it says more
OFFSETS = ("the letter itself", "the letter before", "two letters back", "three letters back")
WINDOWS = {"the last four letters": 4, "the last eight letters": 8}


def patterns(weights, masks):
    """Return the pattern of each head as plain JSON values.

    `weights`: those of H heads, (H, T, T), whose rows sum to 1. `masks`: the candidates, as from
    `masks_of`. The first character is left out, since it can only look at itself.

    Each value is {"pattern", "share", "even", "closest"}. `pattern`: the clear candidate with the
    highest excess, or the narrowest clear one within it that lacks at most NARROWER; None if none
    is clear, that is, reaches MIN_SHARE and MIN_EXCESS. `closest`: the pattern, or the candidate
    with the highest excess if none is clear. `share`: its share of the attention; `even`: that of
    even attention. A text of one character has no pattern: None and 0.
    """
    T = weights.size(1)
    if T == 1:
        return [{"pattern": None, "share": 0.0, "even": 0.0, "closest": None} for _ in weights]
    even = torch.ones(T, T).tril() / torch.arange(1, T + 1)[:, None]
    looks = torch.cat([weights.float().cpu(), even[None]])[:, 1:].flatten(1)  # (H + 1, T * T - T)
    positions = torch.stack(list(masks.values()))[:, 1:].flatten(1).float()  # (P, T * T - T)
    *shares, even = (looks @ positions.T / (T - 1)).clamp(max=1)  # (P,) each
    within = positions @ positions.T == positions.sum(dim=1)  # (P, P): column j lies within row i
    found = []
    for share in shares:
        excess = share - even
        clear = (share >= MIN_SHARE) & (excess >= MIN_EXCESS)
        closest = excess.where(clear, -1).argmax() if clear.any() else excess.argmax()
        if clear.any():
            near = clear & within[closest] & (excess >= excess[closest] - NARROWER)
            closest = even.where(near, 1).argmin()
        name = list(masks)[closest]
        numbers = {"share": round(share[closest].item(), 4), "even": round(even[closest].item(), 4)}
        found.append({"pattern": name if clear.any() else None, **numbers, "closest": name})
    return found


def offset_masks(T):
    """Return the patterns at fixed distances, {name: (T, T) bool}, True where row t looks."""
    age = torch.arange(T)[:, None] - torch.arange(T)
    return {name: age == offset for offset, name in enumerate(OFFSETS)}


def window_masks(T):
    """Return the patterns of some last characters, like `offset_masks`."""
    age = torch.arange(T)[:, None] - torch.arange(T)
    return {name: (age >= 0) & (age < size) for name, size in WINDOWS.items()}


def masks_of(text):
    """Return all patterns on a text of T characters, {name: (T, T) bool}, like `offset_masks`.

    A word or line lasts until the white space or line break that ends it. Heads that look at what
    followed the same letter earlier are induction heads (Olsson et al. 2022).
    """
    at, T = torch.arange(len(text)), len(text)
    visible = torch.ones(T, T, dtype=torch.bool).tril()
    code = torch.tensor([ord(char) for char in text])
    same = (code[:, None] == code) & visible & (at[:, None] != at)
    line_breaks = where(text, is_line_break)
    word = starts(where(text, str.isspace))[:, None]
    line = starts(line_breaks)[:, None]
    above = line[(line[:, 0] - 1).clamp(min=0)]  # where the line above starts
    kinds = {
        "spaces": where(text, str.isspace) & ~line_breaks,
        "line breaks": line_breaks,
        "punctuation": where(text, lambda char: unicodedata.category(char)[0] == "P"),
        "capital letters": where(text, lambda char: unicodedata.category(char) in ("Lu", "Lt")),
        "the first letter of the context": at == 0,
    }
    return {
        **offset_masks(T),
        **window_masks(T),
        "the current word": visible & (at >= word),
        "the current line": visible & (at >= line),
        "the line above": (at >= above) & (at < line),
        "the start of the line": at == line,
        "the same letter earlier": same,
        "what followed the same letter earlier": F.pad(same[:, :-1], (1, 0)),
        **{name: visible & chars for name, chars in kinds.items()},
    }


def where(text, is_kind):
    """Return at which characters of a text a function is true: (T,) bool."""
    return torch.tensor([is_kind(char) for char in text])


def is_line_break(char):
    return char.splitlines() == [""]


def starts(ends):
    """Return where the word or line of each character starts: (T,), from where they end, (T,)."""
    last = torch.where(ends, torch.arange(len(ends)), -1).cummax(dim=0).values
    return F.pad(last[:-1], (1, 0), value=-1) + 1
