"""The chances that the next character had when it was chosen."""

from charlm.generation.sampling import distribution


def chances(logits, config, tokenizer):
    """Return [(character, probability)], the likeliest first, without those of probability 0.

    `logits`: those after a text, (V,). The probabilities are those after the SampleConfig's
    temperature, top-k, top-p and min-p, from which the character is drawn.
    """
    ordered = distribution(logits[None], config)[0].sort(descending=True, stable=True)
    chars = tokenizer.decode(ordered.indices.tolist())
    return [(c, p) for c, p in zip(chars, ordered.values.tolist(), strict=True) if p > 0]
