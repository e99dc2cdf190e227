"""Which characters each part of a model looked at, and what it would have predicted so far."""

import torch

from charlm.generation.stream import context_start
from charlm.inspection.patterns import masks_of, offset_masks, patterns
from charlm.inspection.scores import top_chars
from charlm.models.parts import without


@torch.inference_mode()
def attention(model, tokenizer, text, off=()):
    """Return what a model looked at to predict the character after `text`, as plain JSON values.

    `text`: one or more known characters. `off`: parts that are switched off, see models.parts.

    The value is {"start", "layers": [{"layer", "kind", "heads", "patterns"}, ...], "lens"}.
    `start`: where the context begins in the text, as in generation. `kind`: "attention" or
    "convolution". `heads`: the weights of each head, one per character of the context, which sum to
    1. A convolution has one list, see `influence`. `patterns`: where each head looks for all
    characters of the context, see inspection.patterns. `lens`: the likeliest characters, [[char,
    probability], ...], that the last norm and the output layer read from the residual stream, after
    the embedding and after each block (nostalgebraist 2020, the logit lens). A bigram model has no
    layers, and one entry in `lens`.
    """
    start = context_start(len(text), model.config.block_size)
    ids = torch.tensor([tokenizer.encode(text[start:])], device=next(model.parameters()).device)
    if model.kind == "bigram":
        layers, logits = [], model(ids)[:, -1]  # (1, V)
    else:
        inside, stream = look_inside(model, ids, off)  # (1, T)
        layers = describe(inside, text[start:])
        logits = lens_logits(model, stream)
    return {"start": start, "layers": layers, "lens": top_of(logits, tokenizer)}


@torch.inference_mode()
def lens(model, tokenizer, text, off=()):
    """Return what `attention` returns as "lens", at the cost of a prediction."""
    start = context_start(len(text), model.config.block_size)
    ids = torch.tensor([tokenizer.encode(text[start:])], device=next(model.parameters()).device)
    if model.kind == "bigram":
        return top_of(model(ids)[:, -1], tokenizer)
    _, stream = look_inside(model, ids, off)
    return top_of(lens_logits(model, stream), tokenizer)


def lens_logits(model, stream):
    """Return the logits (n_layer + 1, V) of the last character at each place of the stream."""
    return model.head(model.norm_out(torch.cat([x[:, -1] for x in stream])))


def top_of(logits, tokenizer):
    return top_chars(logits.float().log_softmax(dim=-1).cpu(), tokenizer)


def describe(layers, context):
    """Return the layers of `attention`; `layers`: those of look_inside for the one text."""
    masks = {"attention": masks_of(context), "convolution": offset_masks(len(context))}
    return [
        {
            "layer": layer,
            "kind": kind,
            "heads": weights[0, :, -1].tolist(),
            "patterns": patterns(weights[0], masks[kind]),
        }
        for layer, (kind, weights) in enumerate(layers)
    ]


def look_inside(model, ids, off=()):
    """Return what a GPT computes for ids (B, T) on the way: (layers, stream).

    `layers`: an iterator over the kind of each block and its weights (B, heads, T, T) at all
    characters, as in `attention`; those of a block are computed when it is reached, since those of
    all blocks could fill the memory. `stream`: the residual stream, after the embedding and after
    each block, (B, T, C).
    """
    model = without(model, [off])
    mixed, stream = [], []  # `mixed`: the arguments of each attention or convolution
    for block in model.blocks:
        block.mixer.register_forward_pre_hook(lambda _, args: mixed.append(args))
        block.register_forward_pre_hook(lambda _, args: stream.append(args[0]))
    model.norm_out.register_forward_pre_hook(lambda _, args: stream.append(args[0]))
    model(ids)
    return weights_of(model, mixed), stream


def weights_of(model, mixed):
    """Yield the layers of look_inside; `mixed`: the arguments of each block's mixer."""
    for layer, (block, (x, mask, rotary, _)) in enumerate(zip(model.blocks, mixed, strict=True)):
        if model.config.attends(layer):
            yield "attention", block.mixer.weights(x, mask, rotary)
        else:
            yield "convolution", influence(block.mixer, x)[:, None]


def influence(conv, x):
    """Return the share of each character in what a ShortConv adds to each: (B, T, T).

    The convolution is a sum over its last `conv_size` characters. A character's share is the
    length of its summand, after the gate and the projection.
    """
    gate, T = conv.gate_out(x), x.size(1)
    lengths = torch.stack([conv.proj(tap * gate).norm(dim=-1) for tap in conv.taps(x)])
    # an untrained convolution adds nothing, in equal shares
    lengths = lengths.clamp(min=torch.finfo(lengths.dtype).tiny).flip(0)  # the latest tap first
    shares = sum(torch.diag_embed(tap[:, age:], -age) for age, tap in enumerate(lengths[:T]))
    return shares / shares.sum(dim=-1, keepdim=True)
