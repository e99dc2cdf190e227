"""What else a character could have been, at each step of the sampler."""

import math

from charlm.config import SampleConfig
from charlm.generation.sampling import distribution
from charlm.rng import uniform


def alternatives(logits, config, tokenizer, chosen, position):
    """Return how the sampler came from the model's chances to the character `chosen`.

    `logits`: those after a text, (V,). `position`: the number of ids before the character.

    The value is plain JSON: {"position": position, "uniform": the number in [0, 1) that drew it,
    "chosen": chosen, "stages": [{"name", "chars", "kept", "removed", "entropy_bits"}, ...]}. The
    stages are "model", "temperature", and "top_k", "top_p" and "min_p" if they are on. "chars"
    lists [character, probability], the likeliest first, without those of probability 0; "kept"
    counts them; "removed" is the probability that the stage took away. Laid out in the order of the
    vocabulary, the last stage has `chosen` at `uniform`.
    """
    filters = [name for name in ("top_k", "top_p", "min_p") if getattr(config, name)]
    settings, stages, before = {"temperature": 1.0}, [], None
    for name in ("model", "temperature", *filters):
        if name != "model":
            settings[name] = getattr(config, name)
        probabilities = distribution(logits[None], SampleConfig(**settings))[0]
        stages.append(stage(name, probabilities, before, tokenizer))
        before = probabilities
    drawn = {"position": position, "uniform": uniform(config.seed, position), "chosen": chosen}
    return {**drawn, "stages": stages}


def stage(name, probabilities, before, tokenizer):
    """Return a stage as plain JSON; `probabilities`, `before`: (V,), after it and the last one."""
    ordered = probabilities.sort(descending=True, stable=True)
    chars = tokenizer.decode(ordered.indices.tolist())
    kept = [[c, p] for c, p in zip(chars, ordered.values.tolist(), strict=True) if p > 0]
    return {
        "name": name,
        "chars": kept,
        "kept": len(kept),
        "removed": 0.0 if before is None else before[probabilities == 0].double().sum().item(),
        "entropy_bits": -sum(p * math.log2(p) for _, p in kept),
    }
