"""What moves in a model when one letter of the text before is another."""

from bisect import bisect
from html import escape

from charlm.ui.chances_html import name, percent
from charlm.ui.inside_html import LEVELS, described, letter, panel_html
from charlm.ui.play_html import notices_html

LETTERS = 40  # last letters of the context that can be changed
LEAST = 0.001  # chance of a letter that is shown
ROWS = 8  # letters whose chances are compared
SEEN = {"\n": "↵", " ": "␣"}  # inside.js translates them back
INTRODUCTION = (
    "The network is <b>causal</b>: a letter changes only what comes after it. Choose a letter, type"
    " another, and see which heads look elsewhere, how far the residual stream moves after each"
    " block, and what becomes of the chances."
)


def first_changeable(inspected):
    """Return the index of the first letter that can be changed."""
    return max(inspected.start, inspected.index - LETTERS)


def letters_html(inspected, index, char):
    """Return the letters before the selected one as buttons, and a field for the other letter."""
    buttons = "".join(
        letter_button_html(inspected.text[i], i, i == index)
        for i in range(first_changeable(inspected), inspected.index)
    )
    chosen = seen(inspected.text[index])
    field = (
        f'<label class="other">Instead of <b>{chosen}</b>:'
        f' <input id="changed" value="{SEEN.get(char, escape(char))}" data-index="{index}"'
        ' autocomplete="off" autocapitalize="off" spellcheck="false"></label>'
    )
    return f'<div class="letters">{buttons}</div>{field}'


def letter_button_html(char, index, is_pressed):
    attributes = f'data-change="{index}" aria-pressed="{str(is_pressed).lower()}"'
    # one stop for Tab; the arrow keys move on from there
    attributes += f' tabindex="{0 if is_pressed else -1}"'
    attributes += f' aria-label="Change letter {index + 1}, {name(char)}"'
    return f'<button type="button" {attributes}>{seen(char)}</button>'


def unknown_html(inspected, index, char, sentence):
    """Return the panel with a sentence on a letter that the model does not know."""
    letters = letters_html(inspected, index, char)
    return panel_html("change", INTRODUCTION, letters + notices_html([sentence]))


def seen(char):
    return SEEN.get(char) or name(char)


def change_html(inspected, index, char, changes):
    """Return what another letter changes; `index`: in the text; `changes`: see inspection."""
    before, after = dict(changes["before"]), dict(changes["after"])
    pairs = {c: (before.get(c, 0), after.get(c, 0)) for c in [*before, *after]}
    shown = [c for c in sorted(pairs, key=lambda c: -sum(pairs[c])) if max(pairs[c]) >= LEAST]
    rows = "".join(row_html(c, *pairs[c]) for c in shown[:ROWS])
    moved = sum(abs(p - q) for p, q in pairs.values()) / 2
    sentence = (
        f"<p>With {letter(char)} instead of {letter(inspected.text[index])},"
        f" {distance_in_letters(inspected.index - index)} before {described(inspected)},"
        f" {percent(moved)} of the chances move to other letters.</p>"
    )
    return panel_html(
        "change",
        INTRODUCTION,
        letters_html(inspected, index, char)
        + sentence
        + f'<ol class="compared"><li aria-hidden="true"><b></b><span></span><small>outline → bar'
        f"</small></li>{rows}</ol>{moves_html(changes)}",
    )


def distance_in_letters(n):
    return "1 letter" if n == 1 else f"{n} letters"


def row_html(char, before, after):
    return (
        f'<li><b>{name(char)}</b><span class="track"><i style="width:{100 * after:.1f}%"></i>'
        f'<u style="width:{100 * before:.1f}%"></u></span>'
        f"<small>{share(before)} → {share(after)}</small></li>"
    )


def share(p):
    """Return a chance in percent; none is exactly 0, but small ones are left out of `changes`."""
    return percent(max(p, 1e-9)).replace("below", "<")


def moves_html(changes):
    """Return a table of how much each head and block moved."""
    if not changes["layers"]:
        return ""
    rows = moved_row_html("embedding", [], changes["embedding"])
    for layer in changes["layers"]:
        convolves = layer["kind"] == "convolution"
        names = ["conv"] if convolves else [f"head {i}" for i in range(len(layer["heads"]))]
        heads = zip(names, layer["heads"], strict=True)
        rows += moved_row_html(f"block {layer['layer']}", heads, layer["moved"])
    return (
        "<p>Share of each head’s weights that moved to other letters, and how far the residual"
        " stream moved, as a share of its length:</p>"
        '<div class="moves" role="region" tabindex="0" aria-label="What moved">'
        f"<table><tbody>{rows}</tbody></table></div>"
    )


def moved_row_html(title, heads, moved):
    cells = "".join(cell_html(head, share) for head, share in heads)
    return f"<tr><th scope=row>{title}</th>{cell_html('stream', moved)}{cells}</tr>"


def cell_html(title, share):
    return f'<td class="w{bisect(LEVELS, share)}"><b>{title}</b> {percent(share)}</td>'
