"""From logits to characters, in small pure steps: scale, keep, choose.

Each step takes and gives logits (B, V) float32, and leaves at least the likeliest character of each
row. A setting is a number for all rows or a tensor (B, 1) with one for each; "off" is 0. What comes
out for a row does not depend on the others. Sources: Fan et al. 2018 (top-k), Holtzman et al. 2020
(top-p), Nguyen et al. 2024 (min-p).
"""

from dataclasses import dataclass

import torch

SETTINGS = ("temperature", "top_k", "top_p", "min_p")


@dataclass(frozen=True)
class Settings:
    """The sampler's settings of some rows, each a tensor (B, 1), or 0 if it is off for all."""

    temperature: torch.Tensor
    top_k: torch.Tensor
    top_p: torch.Tensor
    min_p: torch.Tensor

    @classmethod
    def of(cls, configs):
        """Those of a SampleConfig for each row."""
        columns = ([getattr(config, name) for config in configs] for name in SETTINGS)
        return cls(*(torch.tensor(c).unsqueeze(1) if any(c) else 0 for c in columns))


def distribution(logits, settings):
    """Probabilities (B, V) of the next character as Settings, or a SampleConfig, shape them.

    The settings act in the order temperature, top-k, top-p, min-p. Temperature 0 is greedy.
    """
    logits = keep_top_k(scale(logits, settings.temperature), settings.top_k)
    return keep_min_p(keep_top_p(logits, settings.top_p), settings.min_p).softmax(dim=-1)


def scale(logits, temperature):
    """Divide by the temperature; at 0, keep only the likeliest character (the first of equals)."""
    temperature = torch.as_tensor(temperature)
    best = logits.argmax(dim=-1, keepdim=True)
    likeliest = torch.full_like(logits, -torch.inf).scatter(-1, best, 0.0)
    # from the maximum, so that a tiny temperature makes no infinity but the likeliest's zero
    scaled = (logits - logits.gather(-1, best)) / temperature.clamp(min=1e-6)
    return torch.where(temperature > 0, scaled, likeliest)


def keep_top_k(logits, k):
    """Mask all but the k largest logits of each row; k >= V keeps everything."""
    if off(k):
        return logits
    k, V = torch.as_tensor(k), logits.size(-1)
    last = torch.where(k > 0, k, V).clamp(max=V) - 1
    ordered = logits.sort(dim=-1, descending=True).values
    smallest_kept = ordered.gather(-1, last.expand(len(logits), 1))
    return logits.masked_fill(logits < smallest_kept, -torch.inf)


def keep_top_p(logits, p):
    """Mask all but the fewest likeliest characters whose probabilities add up to p; 1 keeps all."""
    if off(p):
        return logits
    p = torch.as_tensor(p)
    ordered = logits.softmax(dim=-1).sort(dim=-1, descending=True)
    before = ordered.values.cumsum(dim=-1) - ordered.values  # what likelier characters add up to
    enough = (before >= p) & (before > 0)  # never true of the likeliest, however small p is
    dropped = torch.zeros_like(enough).scatter(-1, ordered.indices, enough & (p > 0) & (p < 1))
    return logits.masked_fill(dropped, -torch.inf)


def keep_min_p(logits, p):
    """Mask characters less likely than p times the likeliest; 1 keeps only the likeliest."""
    if off(p):
        return logits
    likeliest = logits.amax(dim=-1, keepdim=True)
    unlikely = (logits - likeliest).exp() < torch.as_tensor(p).clamp(max=1.0)
    return logits.masked_fill(unlikely, -torch.inf)


def off(setting):
    """Whether a setting is off for all rows; a tensor is not looked into."""
    return not isinstance(setting, torch.Tensor) and not setting


def cumulative(probabilities):
    """Give each character its share of [0, 1): (B, V) to the ends of their shares (B, V)."""
    ends = probabilities.double().cumsum(dim=-1)  # doubles, so that rounding moves no border
    return ends / ends[:, -1:]  # exactly 1 from the last possible character on


def choose(shares, numbers):
    """The id of each row whose share holds that row's number; numbers: B; gives a list of B ids."""
    numbers = torch.tensor(numbers, dtype=torch.double).unsqueeze(1)
    return torch.searchsorted(shares, numbers, right=True).squeeze(1).tolist()
