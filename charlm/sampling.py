"""From logits to a character, in small pure steps: scale, keep, choose.

Each step takes and gives logits (B, V) float32, and leaves at least the likeliest character. "Off"
is 0 for all of them. Sources: Fan et al. 2018 (top-k), Holtzman et al. 2020 (top-p), Nguyen et al.
2024 (min-p).
"""

import torch

from charlm.data import fold_in


def distribution(logits, config):
    """Probabilities (B, V) of the next character as a SampleConfig shapes them.

    The settings act in the order temperature, top-k, top-p, min-p. Temperature 0 is greedy.
    """
    logits = keep_top_k(scale(logits, config.temperature), config.top_k)
    return keep_min_p(keep_top_p(logits, config.top_p), config.min_p).softmax(dim=-1)


def scale(logits, temperature):
    """Divide by the temperature; at 0, keep only the likeliest character (the first of equals)."""
    if temperature <= 0:
        best = logits.argmax(dim=-1, keepdim=True)
        return torch.full_like(logits, -torch.inf).scatter(-1, best, 0.0)
    # from the maximum, so that a tiny temperature makes no infinity but the likeliest's zero
    return (logits - logits.amax(dim=-1, keepdim=True)) / max(temperature, 1e-6)


def keep_top_k(logits, k):
    """Mask all but the k largest logits of each row; k >= V keeps everything."""
    if k <= 0 or k >= logits.size(-1):
        return logits
    smallest_kept = logits.topk(k).values[:, -1:]
    return logits.masked_fill(logits < smallest_kept, -torch.inf)


def keep_top_p(logits, p):
    """Mask all but the fewest likeliest characters whose probabilities add up to p; 1 keeps all."""
    if p <= 0 or p >= 1:
        return logits
    ordered = logits.softmax(dim=-1).sort(dim=-1, descending=True)
    before = ordered.values.cumsum(dim=-1) - ordered.values  # what likelier characters add up to
    enough = (before >= p) & (before > 0)  # never true of the likeliest, however small p is
    dropped = torch.zeros_like(enough).scatter(-1, ordered.indices, enough)
    return logits.masked_fill(dropped, -torch.inf)


def keep_min_p(logits, p):
    """Mask characters less likely than p times the likeliest; 1 keeps only the likeliest."""
    if p <= 0:
        return logits
    likeliest = logits.amax(dim=-1, keepdim=True)
    return logits.masked_fill((logits - likeliest).exp() < min(p, 1.0), -torch.inf)


def uniform(seed, position):
    """A number in [0, 1) that is a fixed function of (seed, position)."""
    return fold_in(seed, position) / 2**32


def choose(probabilities, u):
    """The id whose share of [0, 1) holds `u`, for one row of probabilities (V,)."""
    shares = probabilities.double().cumsum(dim=-1)  # doubles, so that rounding moves no border
    chosen = int(torch.searchsorted(shares, u * shares[-1], right=True))
    return min(chosen, int(probabilities.nonzero()[-1]))  # u at the very end may overshoot
