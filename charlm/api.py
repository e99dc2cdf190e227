"""The Python API for text: `charlm.generate` and `charlm.stream`."""

import itertools
import secrets
import warnings

from charlm.config import SampleConfig
from charlm.generation.batch import decode


def generate(model, tokenizer, prompt, *args, **settings):
    """Continue `prompt` and return the whole text, prompt included. Arguments: see `stream`."""
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
    """Yield the prompt, then each generated character.

    The settings are those of SampleConfig. None turns top_k, top_p and min_p off; a seed of None is
    random. CharTokenizer.clean replaces or drops unknown characters, and a UserWarning names the
    dropped ones. Raises ConfigError (a ValueError) for a setting out of its range, before
    anything is yielded.
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
    new_ids = decode(model, tokenizer.encode(text or tokenizer.start_char), config)
    return itertools.chain([text], map(tokenizer.decode, ([i] for i in new_ids)))
