"""Text in, text out: what `charlm.generate` and `charlm.stream` do."""

import itertools
import secrets
import warnings

from charlm.config import SampleConfig
from charlm.generation import engine


def generate(model, tokenizer, prompt, *args, **settings):
    """Continue `prompt`; returns the whole text, prompt included. Takes what `stream` takes."""
    return "".join(stream(model, tokenizer, prompt, *args, **settings))


def stream(
    model,
    tokenizer,
    prompt,
    max_new_chars=500,
    temperature=0.8,
    top_k=None,
    top_p=None,
    min_p=None,
    seed=None,
):
    """Yield the prompt, then each character that the model writes after it.

    The settings are those of SampleConfig; None is off, and a seed of None is a random one.
    Characters that the model does not know are replaced or dropped as CharTokenizer.clean does it,
    and a UserWarning names the dropped ones. Raises ConfigError (a ValueError) for a setting out of
    its range, before anything is yielded.
    """
    config = SampleConfig(
        max_new_chars=max_new_chars,
        temperature=temperature,
        top_k=top_k or 0,
        top_p=top_p or 0.0,
        min_p=min_p or 0.0,
        seed=secrets.randbelow(2**32) if seed is None else seed,
    )
    text, dropped = tokenizer.clean(prompt)
    if dropped:
        warnings.warn(f"the model does not know {dropped!r}; dropped", stacklevel=2)
    new_ids = engine.decode(model, tokenizer.encode(text or tokenizer.opening), config)
    return itertools.chain([text], map(tokenizer.decode, ([i] for i in new_ids)))
