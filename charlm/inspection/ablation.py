"""What a text costs a model without each of its parts."""

import math

import torch

from charlm.inspection.scores import log_probabilities
from charlm.models.parts import parts_of, switches, with_switches

MAX_LOGITS = 10_000_000  # computed at a time


def ablation(model, tokenizer, text):
    """Yield (part, bits per character of `text` without it); the first part, "", is none.

    `text`: one or more known characters. The parts are those of models.parts.
    """
    ids = tokenizer.encode(tokenizer.start_char + text)
    per_row = min(len(ids), model.config.block_size) * tokenizer.vocab_size
    parts, together = ["", *parts_of(model)], max(1, min(16, MAX_LOGITS // per_row))
    for first in range(0, len(parts), together):
        group = parts[first : first + together]
        network = model
        if any(group):
            on = switches(model.config, [[part] if part else [] for part in group])
            network = with_switches(model, on)
        bits = torch.zeros(len(group))
        targets = torch.tensor(ids[1:])
        done = 0
        for rows in log_probabilities(network, ids, len(group)):  # (B, n, V)
            n = rows.size(1)
            index = targets[done : done + n].expand(len(group), n)[..., None]
            bits -= rows.gather(2, index).sum(dim=(1, 2)) / math.log(2)
            done += n
        yield from zip(group, (bits / len(text)).tolist(), strict=True)
