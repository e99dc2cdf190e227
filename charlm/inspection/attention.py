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
    ids = tokenizer.encode(text)
    start = context_start(len(ids), model.config.block_size)
    ids = torch.tensor([ids[start:]], device=next(model.parameters()).device)  # (1, T)
    if model.kind == "bigram":
        layers, logits = [], model(ids)[:, -1]  # (1, V)
    else:
        inside, stream = look_inside(model, ids, off)
        layers = describe(inside, text[start:])
        logits = model.head(model.norm_out(torch.cat([x[:, -1] for x in stream])))
    lens = top_chars(logits.float().log_softmax(dim=-1).cpu(), tokenizer)
    return {"start": start, "layers": layers, "lens": lens}


def describe(layers, context):
    """Return the layers of `attention`; `layers`: those of look_inside for the one text."""
    masks = {"attention": masks_of(context), "convolution": offset_masks(len(context))}
    found = {}  # for each kind, an iterator over its heads of all layers: at once is faster
    for kind in {kind for kind, _ in layers}:
        weights = torch.cat([weights[0] for k, weights in layers if k == kind])
        found[kind] = iter(patterns(weights, masks[kind]))
    described = []
    for layer, (kind, weights) in enumerate(layers):
        heads = weights[0, :, -1].tolist()
        own = [next(found[kind]) for _ in heads]
        described.append({"layer": layer, "kind": kind, "heads": heads, "patterns": own})
    return described


def look_inside(model, ids, off=()):
    """Return what a GPT computes for ids (B, T) on the way: (layers, stream).

    `layers`: for each block, its kind and the weights (B, heads, T, T) of all its characters, as in
    `attention`. `stream`: the residual stream, after the embedding and after each block, (B, T, C).
    """
    model = without(model, [off])
    mixed, stream = [], []  # `mixed`: the arguments of each attention or convolution
    for block in model.blocks:
        block.mixer.register_forward_pre_hook(lambda _, args: mixed.append(args))
        block.register_forward_pre_hook(lambda _, args: stream.append(args[0]))
    model.norm_out.register_forward_pre_hook(lambda _, args: stream.append(args[0]))
    model(ids)
    layers = []
    for layer, (block, (x, mask, rotary, _)) in enumerate(zip(model.blocks, mixed, strict=True)):
        if model.config.attends(layer):
            layers.append(("attention", block.mixer.weights(x, mask, rotary)))
        else:
            layers.append(("convolution", influence(block.mixer, x)[:, None]))
    return layers, stream


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
