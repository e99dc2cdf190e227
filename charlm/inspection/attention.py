"""Which characters each part of a model looked at, and what it would have predicted so far."""

import torch
import torch.nn.functional as F

from charlm.generation.stream import context_start
from charlm.inspection.scores import top_chars
from charlm.models.parts import without


@torch.inference_mode()
def attention(model, tokenizer, text, off=()):
    """Return what a model looked at to predict the character after `text`, as plain JSON values.

    `text`: one or more known characters. `off`: parts that are switched off, see models.parts.

    The value is {"start", "layers": [{"layer", "kind", "heads"}, ...], "lens"}. `start`: where the
    context begins in the text, as in generation. `kind`: "attention" or "convolution". `heads`: the
    weights of each head, one per character of the context, which sum to 1. A convolution has one
    list, see `influence`. `lens`: the likeliest characters, [[char, probability], ...], that the
    last norm and the output layer read from the residual stream, after the embedding and after
    each block (nostalgebraist 2020, the logit lens). A bigram model has no layers, and one entry
    in `lens`.
    """
    ids = tokenizer.encode(text)
    start = context_start(len(ids), model.config.block_size)
    ids = torch.tensor([ids[start:]], device=next(model.parameters()).device)  # (1, T)
    if model.kind == "bigram":
        layers, logits = [], model(ids)[:, -1]  # (1, V)
    else:
        layers, logits = look_inside(model, ids, off)
    lens = top_chars(logits.float().log_softmax(dim=-1).cpu(), tokenizer)
    return {"start": start, "layers": layers, "lens": lens}


def look_inside(model, ids, off):
    """Return the layers as in `attention`, and the logits (n_layer + 1, V) of the lens."""
    model = without(model, [off])
    mixed, stream = [], []  # the arguments of each attention or convolution; x after each block
    for block in model.blocks:
        block.mixer.register_forward_pre_hook(lambda _, args: mixed.append(args))
        block.register_forward_pre_hook(lambda _, args: stream.append(args[0]))
    model.norm_out.register_forward_pre_hook(lambda _, args: stream.append(args[0]))
    model(ids)
    layers = []
    for layer, (block, (x, mask, rotary, _)) in enumerate(zip(model.blocks, mixed, strict=True)):
        if model.config.attends(layer):
            kind, heads = "attention", block.mixer.weights(x, mask, rotary)[0, :, -1]  # (H, T)
        else:
            kind, heads = "convolution", influence(block.mixer, x)[None]
        layers.append({"layer": layer, "kind": kind, "heads": heads.tolist()})
    last = torch.cat([x[:, -1] for x in stream[: len(model.blocks) + 1]])
    return layers, model.head(model.norm_out(last))


def influence(conv, x):
    """Return the share of each character in what a ShortConv adds to the last one: (T,).

    The convolution is a sum over its last `conv_size` characters. A character's share is the
    length of its summand, after the gate and the projection.
    """
    T, gate = x.size(1), conv.gate_out(x)[:, -1]  # (1, C)
    lengths = torch.cat([conv.proj(tap[:, -1] * gate).norm()[None] for tap in conv.taps(x)])
    # an untrained convolution adds nothing, in equal shares
    lengths = lengths[-T:].clamp(min=torch.finfo(lengths.dtype).tiny)
    return F.pad(lengths / lengths.sum(), (T - len(lengths), 0))
