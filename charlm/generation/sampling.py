"""From logits to a character, as a chain of small functions.

    logits -> scale -> keep_top_k -> keep_top_p -> keep_min_p -> softmax -> cdf -> sample_from_cdf

The first four take and return logits (B, V) float32 and keep at least the likeliest character of
each row. A setting is one number for all rows or a tensor (B, 1) with one per row. 0 turns top-k,
top-p or min-p off; temperature 0 is greedy. A row's result does not depend on the other rows.

Sources: Fan et al. 2018 (top-k), Holtzman et al. 2020 (top-p), Nguyen et al. 2024 (min-p).
"""

from dataclasses import dataclass

import torch

SETTINGS = ("temperature", "top_k", "top_p", "min_p")


@dataclass(frozen=True)
class Settings:
    """The sampler settings of several rows, each a tensor (B, 1), or 0 if it is 0 for all."""

    temperature: torch.Tensor | int
    top_k: torch.Tensor | int
    top_p: torch.Tensor | int
    min_p: torch.Tensor | int

    @classmethod
    def of(cls, configs):
        """Stack the settings of SampleConfigs, one per row."""
        columns = ([getattr(config, name) for config in configs] for name in SETTINGS)
        return cls(*(torch.tensor(c).unsqueeze(1) if any(c) else 0 for c in columns))


def distribution(logits, settings):
    """Return the probabilities (B, V) of the next character.

    `settings`: a Settings or a SampleConfig. They apply in the order temperature, top-k, top-p,
    min-p. Temperature 0 is greedy.
    """
    logits = scale(logits, settings.temperature)
    logits = keep_top_k(logits, settings.top_k)
    logits = keep_top_p(logits, settings.top_p)
    return keep_min_p(logits, settings.min_p).softmax(dim=-1)


def scale(logits, temperature):
    """Divide by the temperature; at 0, keep only the likeliest character (the first of equals)."""
    temperature = torch.as_tensor(temperature)
    # relative to the maximum, so that a tiny temperature cannot overflow
    below = logits - logits.amax(dim=-1, keepdim=True)
    scaled = below / temperature.clamp(min=1e-6)
    # a difference that underflows would make another character as likely as the likeliest
    scaled = torch.where(below < 0, scaled.clamp(max=-torch.finfo(scaled.dtype).tiny), scaled)
    if temperature.all():
        return scaled
    best = logits.argmax(dim=-1, keepdim=True)
    greedy = torch.full_like(logits, -torch.inf).scatter(-1, best, 0.0)
    return torch.where(temperature > 0, scaled, greedy)


def keep_top_k(logits, k):
    """Mask all but the k largest logits of each row, and ties; k >= V keeps everything."""
    if is_off(k):
        return logits
    k, V = torch.as_tensor(k), logits.size(-1)
    last = torch.where(k > 0, k, V).clamp(max=V) - 1
    ordered = logits.sort(dim=-1, descending=True).values
    smallest_kept = ordered.gather(-1, last.expand(len(logits), 1))
    return logits.masked_fill(logits < smallest_kept, -torch.inf)


def keep_top_p(logits, p):
    """Keep the smallest set of likeliest characters with total probability p; 1 keeps all."""
    if is_off(p):
        return logits
    p = torch.as_tensor(p)
    # by logit, since different logits may have equal probabilities after rounding
    indices = logits.sort(dim=-1, descending=True, stable=True).indices
    ordered = logits.softmax(dim=-1).gather(-1, indices)
    before = ordered.cumsum(dim=-1) - ordered  # the mass of likelier characters
    reached = before >= p  # never true of the likeliest, for p > 0
    dropped = torch.zeros_like(reached).scatter(-1, indices, reached & (p > 0) & (p < 1))
    return logits.masked_fill(dropped, -torch.inf)


def keep_min_p(logits, p):
    """Mask characters less likely than p times the likeliest; 1 keeps it and its ties alone."""
    if is_off(p):
        return logits
    likeliest = logits.amax(dim=-1, keepdim=True)
    unlikely = (logits - likeliest).exp() < torch.as_tensor(p).clamp(max=1.0)
    return logits.masked_fill(unlikely, -torch.inf)


def is_off(setting):
    """Whether a setting is the number 0. Tensors are not inspected."""
    return not isinstance(setting, torch.Tensor) and not setting


def cdf(probabilities):
    """Return the cumulative distribution (B, V), in double precision, of probabilities (B, V)."""
    ends = probabilities.double().cumsum(dim=-1)
    return ends / ends[:, -1:]  # exactly 1 from the last possible character on


def sample_from_cdf(cdfs, uniforms):
    """Return an id per row: the first whose cdf exceeds the row's number in [0, 1)."""
    uniforms = torch.tensor(uniforms, dtype=torch.double).unsqueeze(1)
    return torch.searchsorted(cdfs, uniforms, right=True).squeeze(1).tolist()
