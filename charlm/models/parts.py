"""The parts of a GPT by name, and what a model computes with some of them switched off.

A part adds to the residual stream: `L.headH` is an attention head, `L.conv` a convolution, `L.mlp`
a feed-forward layer, and `L` a whole block, with L and H from 0. To switch a part off is to remove
what it adds, and nothing else. A head adds what its channels add through the output projection;
the other parts add everything, with the biases.

Shapes: B rows, C = n_embd.
"""

import copy
from typing import NamedTuple

import torch

from charlm.errors import CharlmError, quote


class PartError(CharlmError):
    """A name of no part of the model."""


class Switches(NamedTuple):
    """The parts that are on, for each row and block."""

    channels: (
        torch.Tensor
    )  # (B, n_layer, C), 0 for the inputs of the projection of heads that are off
    mixer: torch.Tensor  # (B, n_layer) bool: attention or convolution
    feed_forward: torch.Tensor  # (B, n_layer) bool

    def to(self, device):
        """Return Switches on a device."""
        return Switches(*(part.to(device) for part in self))

    def repeated(self, n):
        """Return Switches with each row n times."""
        return Switches(*(part.repeat_interleave(n, dim=0) for part in self))


def parts_of(model):
    """Return the names of all parts, block by block; a bigram model has none."""
    if model.kind == "bigram":
        return []
    return [name for layer in range(model.config.n_layer) for name in block_parts(model, layer)]


def block_parts(model, layer):
    config = model.config
    heads = [f"{layer}.head{head}" for head in range(config.n_head)]
    mixer = heads if config.attends(layer) else [f"{layer}.conv"]
    return [*mixer, f"{layer}.mlp", f"{layer}"]


def parse_parts(model, text):
    """Return the parts in a comma-separated list as a tuple, in the model's order, each once.

    Raises PartError.
    """
    names = {name.strip() for name in text.split(",")} if text.strip() else set()
    parts = parts_of(model)
    if names and not parts:
        raise PartError("this model has no parts to switch off")
    if unknown := sorted(names - set(parts)):
        raise PartError(f"there is no part {quote(unknown[0])}; there is: {', '.join(parts)}")
    return tuple(part for part in parts if part in names)


def switches(config, rows):
    """Return the Switches of rows, each a list of the parts that are off. `config`: a GPTConfig."""
    B, head_size = len(rows), config.n_embd // config.n_head
    channels = torch.ones(B, config.n_layer, config.n_embd)
    mixer = torch.ones(B, config.n_layer, dtype=torch.bool)
    feed_forward = mixer.clone()
    for row, parts in enumerate(rows):
        for part in parts:
            layer, _, name = part.partition(".")
            layer = int(layer)
            if name.startswith("head"):
                first = int(name.removeprefix("head")) * head_size
                channels[row, layer, first : first + head_size] = 0
            else:
                mixer[row, layer] &= name not in ("conv", "")
                feed_forward[row, layer] &= name not in ("mlp", "")
    return Switches(channels, mixer, feed_forward)


def without(model, rows):
    """Return a GPT with the weights of `model` that computes B rows, each without some parts.

    `rows`: a list of parts for each row, or a single one for all.
    """
    # other threads use the model, so the hooks are on a copy, which shares its tensors
    shared = {id(t): t for t in (*model.parameters(), *model.buffers())}
    on = switches(model.config, rows).to(model.mask.device)
    model = copy.deepcopy(model, shared)
    for layer, block in enumerate(model.blocks):
        channels = on.channels[:, layer, None]  # (B, 1, C)
        block.mixer.proj.register_forward_pre_hook(lambda _, x, c=channels: (x[0] * c,))
        for part, rows in ((block.mixer, on.mixer), (block.feed_forward, on.feed_forward)):
            rows = rows[:, layer, None, None]  # (B, 1, 1)
            part.register_forward_hook(lambda _, x, y, r=rows: torch.where(r, y, 0.0))
    return model
