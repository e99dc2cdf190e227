"""How well a model predicts a text, character by character."""

import math

import torch

from charlm.generation.stream import context_start
from charlm.models.parts import without

TOP_CHARS = 5  # likeliest characters that a score lists at each position


def score(model, tokenizer, text, off=()):
    """Return the surprise of a model at each character of `text`, in bits, as plain JSON values.

    `text`: one or more known characters. The first one is predicted from the tokenizer's start
    character. `off`: parts of the model that are switched off, see models.parts. The value is
    {"bits_per_char": mean, "chars": [{"char": c, "bits": -log2 p(c), "rank": 1 for the likeliest,
    "entropy": in bits, "top": [[char, probability], ...]}, ...]}; `top` lists the TOP_CHARS
    likeliest characters.
    """
    ids = tokenizer.encode(tokenizer.start_char + text)
    if off:
        model = without(model, [off])
    chars = []
    for rows in log_probabilities(model, ids):
        rows, done = rows[0], len(chars)  # (n, V)
        targets = torch.tensor(ids[done + 1 : done + 1 + len(rows)])[:, None]
        own = rows.gather(1, targets)  # (n, 1)
        columns = {
            "char": text[done : done + len(rows)],
            "bits": (-own[:, 0] / math.log(2)).tolist(),
            "rank": (1 + (rows > own).sum(dim=1)).tolist(),
            "entropy": (entropy(rows) / math.log(2)).tolist(),
            "top": top_chars(rows, tokenizer),
        }
        chars += [
            dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)
        ]
    return {"bits_per_char": sum(c["bits"] for c in chars) / len(chars), "chars": chars}


def entropy(rows):
    """Return the entropy (n,) in nats of log-probabilities (n, V)."""
    return -(rows.exp() * rows.clamp(min=-1000)).sum(dim=1)


def top_chars(rows, tokenizer):
    """Return [[char, probability], ...] of the TOP_CHARS likeliest characters of each row."""
    likeliest = rows.topk(min(TOP_CHARS, rows.size(1)))  # (n, TOP_CHARS)
    probabilities = likeliest.values.exp().tolist()
    chars = [tokenizer.decode(ids) for ids in likeliest.indices.tolist()]
    return [[*map(list, zip(*row, strict=True))] for row in zip(chars, probabilities, strict=True)]


@torch.inference_mode()
def log_probabilities(model, ids, B=1):
    """Yield the log-probabilities, in nats, of the id after each of `ids` except the last.

    N + 1 ids give N rows, in parts of (B, n, V): the rows of a long text in a large alphabet would
    not fit in memory at once. Each row has the same context as in decoding. The B rows read the
    same ids, for a model that computes each with other parts.
    """
    block_size, n = model.config.block_size, len(ids) - 1
    device = next(model.parameters()).device
    done = 0
    while done < n:
        start = context_start(done + 1, block_size)
        end = min(n, start + block_size)
        logits = model(torch.tensor([ids[start:end]], device=device).expand(B, -1))  # (B, T, V)
        yield logits[:, done - start :].cpu().log_softmax(dim=-1)
        done = end
