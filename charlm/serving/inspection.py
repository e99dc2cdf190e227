"""Requests to look inside a model: check them, and answer with plain JSON values."""

from charlm.errors import CharlmError
from charlm.inspection.ablation import ablation
from charlm.inspection.attention import attention
from charlm.inspection.scores import score
from charlm.models.parts import parse_parts
from charlm.serving.generate import TextRequest, generate

MAX_ABLATION_CHARS = 1_000  # every part reads them


def score_text(library, text, model, off=""):
    """Return the surprise of a model at each character of `text`: see inspection.scores.

    Characters that the model does not know are left out, here and below. `off`: the parts of the
    model that are switched off, a comma-separated list. Raises CharlmError if no character is
    left, if a part is unknown, or if the model is unknown or damaged; so do the others below.
    """
    network, tokenizer, text = cleaned(library, text, model)
    return score(network, tokenizer, text, parse_parts(network, off))


def attention_of(library, text, model, off=""):
    """Return what a model looks at to predict the character after `text`: see inspection."""
    network, tokenizer, text = cleaned(library, text, model)
    return attention(network, tokenizer, text, parse_parts(network, off))


def ablations(library, text, model):
    """Return the bits per character of `text` with all parts of a model, and without each.

    The value is {"bits_per_char", "parts": [{"part", "bits_per_char"}, ...]}.
    """
    network, tokenizer, text = cleaned(library, text, model)
    if len(text) > MAX_ABLATION_CHARS:
        raise CharlmError(
            f"the text has {len(text):,} characters; at most {MAX_ABLATION_CHARS:,} are read"
            " without each part"
        )
    whole, *groups = ablation(network, tokenizer, text)
    costs = [cost for group in groups for cost in group.items()]
    parts = [{"part": part, "bits_per_char": bits} for part, bits in costs]
    return {"bits_per_char": whole[""], "parts": parts}


async def next_alternatives(library, text, model, config, client, off=""):
    """Return the alternatives of the character after `text`: see inspection.alternatives.

    The character is the one that a generation with this SampleConfig would begin with. Its position
    after an empty text is 1, since the start character precedes it.
    """
    request = TextRequest(text, model, config, off=off, keep_alternatives=True)
    return await last_alternatives(library, request, client)


async def last_alternatives(library, request, client):
    """Return the alternatives of the last character of a TextRequest that keeps them."""
    async for progress in generate(library, request, client):
        last = progress
    if last.alternatives is None:
        raise CharlmError("the page ended this text before its first character; try again")
    return last.alternatives


def cleaned(library, text, model):
    """Return (network, tokenizer, text without the characters that the model does not know)."""
    network, tokenizer = library.get(model)
    known = tokenizer.clean(text).text
    if not known:
        raise CharlmError("the text has no character that this model knows; give it some")
    return network, tokenizer, known
