"""What a text costs a model without each of its parts."""

import math

import torch

from charlm.inspection.scores import log_probabilities
from charlm.models.parts import parts_of, without

MAX_LOGITS = 10_000_000  # computed at a time
FIRST, TOGETHER = 4, 16  # parts computed at a time: few at first, which come sooner


def ablation(model, tokenizer, text):
    """Yield {part: bits per character of `text` without it} for some parts at a time.

    `text`: one or more known characters. The parts are those of models.parts. The first value has
    the part "", which is none.
    """
    ids = tokenizer.encode(tokenizer.start_char + text)
    yield {"": bits_per_char(model, ids, 1)[0]}
    per_row = min(len(ids), model.config.block_size) * tokenizer.vocab_size
    parts, most, size = parts_of(model), max(1, MAX_LOGITS // per_row), FIRST
    while parts:
        size = min(size, most)
        group, parts, size = parts[:size], parts[size:], TOGETHER
        network = without(model, [[part] for part in group])
        yield dict(zip(group, bits_per_char(network, ids, len(group)), strict=True))


def bits_per_char(network, ids, B):
    """Return the bits per character of N + 1 ids in each of the B rows that a network computes."""
    bits, targets, done = torch.zeros(B), torch.tensor(ids[1:]), 0
    for rows in log_probabilities(network, ids, B):  # (B, n, V)
        n = rows.size(1)
        index = targets[done : done + n].expand(B, n)[..., None]
        bits -= rows.gather(2, index).sum(dim=(1, 2)) / math.log(2)
        done += n
    return (bits / len(targets)).tolist()
