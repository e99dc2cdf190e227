"""What moves inside a model if one character of a text is another one."""

import torch

from charlm.errors import CharlmError, quote
from charlm.generation.stream import context_start
from charlm.inspection.attention import look_inside

DIGITS = 4  # of all numbers; fewer than the two rows of a batch may differ in by rounding alone


@torch.inference_mode()
def changes(model, tokenizer, text, index, char, off=()):
    """Return what moves if the character at `index` of `text` is `char`, as plain JSON values.

    `text`: one or more known characters. `off`: parts that are switched off, see models.parts.
    Raises CharlmError if the text has no character at `index`, or if the model does not know
    `char`.

    The value is {"index", "char", "before", "after", "layers", "embedding"}; "before" is with the
    text as it is, "after" with the other character. `before` and `after`: the model's prediction
    of the character after the text, [[char, probability], ...], the likeliest first, without those
    whose probability rounds to 0. `layers`: [{"layer", "kind", "heads", "moved"}, ...]. `heads`:
    how far the weights of each head moved, as in inspection.attention, from 0 to 1: their total
    variation distance. `moved`: the length of what changed in the residual stream of the last
    character after the block, relative to the stream's length before; `embedding` is the same in
    front of the first block. Nothing moves if the context starts after `index`. A bigram model has
    no layers, and None as `embedding`.
    """
    check(tokenizer, text, index, char)
    start = context_start(len(text), model.config.block_size)
    both = (text, text[:index] + char + text[index + 1 :])
    ids = torch.tensor([tokenizer.encode(text[start:]) for text in both])  # (2, T)
    ids = ids.to(next(model.parameters()).device)
    if model.kind == "bigram":
        layers, embedding, logits = [], None, model(ids)[:, -1]  # (2, V)
    else:
        inside, stream = look_inside(model, ids, off)
        embedding, *moved = (distance(*x[:, -1]) for x in stream)
        layers = [
            {"layer": layer, "kind": kind, "heads": variation(*weights[:, :, -1]), "moved": length}
            for layer, ((kind, weights), length) in enumerate(zip(inside, moved, strict=True))
        ]
        logits = model.head(model.norm_out(stream[-1][:, -1]))
    before, after = (prediction(row, tokenizer) for row in logits.float().softmax(dim=-1).cpu())
    predictions = {"before": before, "after": after}
    return {"index": index, "char": char, **predictions, "layers": layers, "embedding": embedding}


def check(tokenizer, text, index, char):
    """Raise CharlmError unless the text has a character at `index` and the model knows `char`."""
    if not 0 <= index < len(text):
        raise CharlmError(
            f"the text has no character {quote(index)}; it has {len(text):,}, which count from 0"
        )
    if char not in tokenizer.ids:
        raise CharlmError(f"this model does not know the character {quote(char)}; choose another")


def distance(before, after):
    """Return the length of the difference of two vectors, relative to that of the first."""
    return round(((after - before).norm() / before.norm()).item(), DIGITS)


def variation(before, after):
    """Return the total variation distance of each head's weights, (H, T) each."""
    distances = (after - before).abs().sum(dim=-1) / 2
    return [round(d, DIGITS) for d in distances.clamp(max=1).tolist()]


def prediction(probabilities, tokenizer):
    """Return [[char, probability], ...] of probabilities (V,), the likeliest first, without 0."""
    ordered = probabilities.sort(descending=True, stable=True)
    pairs = zip(tokenizer.decode(ordered.indices.tolist()), ordered.values.tolist(), strict=True)
    return [[char, round(p, DIGITS)] for char, p in pairs if round(p, DIGITS) > 0]
