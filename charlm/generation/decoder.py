"""A model prepared for decoding: folded weights, and a slot with a cache for each stream.

In a step, neighbouring slots each read the next n characters of their stream. The logits after a
character have the same bits whatever else the step reads, so a text is the same alone and in a
batch, prefilled at once or in chunks. See batch_invariance.py.

Shapes as in decoder_layers.py; V = vocab_size.
"""

import copy

import torch
import torch.nn.functional as F

from charlm.generation.batch_invariance import (
    TILE,
    padded_size,
    products_are_batch_invariant,
    tiled_product,
)
from charlm.generation.decoder_layers import (
    AttentionLayer,
    ConvLayer,
    StepRows,
    fold_norm,
    layernorm,
    rmsnorm,
    transposed,
)

KEY_BUCKET = 32  # attention reads a multiple of this many cached keys


def make_decoder(model):
    """Return the decoder of a GPT or a BigramLM. It copies the current weights, as float32."""
    if any(p.dtype != torch.float32 for p in model.parameters()):
        model = copy.deepcopy(model).float()
    return {"gpt": GPTDecoder, "bigram": BigramDecoder}[model.kind](model)


class BigramDecoder:
    """The decoder of a table. The logits depend on the last character only: no cache."""

    def __init__(self, model):
        self.table = model.table.weight.detach()

    def reserve(self, slots):
        """Allocate slots 0 to `slots` - 1 at least. Existing slots keep their caches."""

    def reset(self, first, count=1):
        """Clear the caches of `count` slots, `first` and the following ones."""

    def copy(self, source, target):
        """Copy the cache of one slot to another."""

    def step(self, first, ids, starts, on=None):
        """Read n characters in each of S slots, `first` and the following ones.

        `ids`: S lists of n; `starts`: the position in its context where each list begins. `on`:
        the Switches of the slots, if a part of one is off. Returns the logits (S, n, V) after each
        character. Call `accept` before the next step.
        """
        return self.table[torch.tensor(ids, device=self.table.device)].float()

    def accept(self, counts):
        """Accept the first counts[i] characters that the i-th slot of the step read."""


class GPTDecoder:
    """The decoder of a GPT, with the methods of BigramDecoder."""

    @torch.inference_mode()
    def __init__(self, model):
        config = model.config
        C, V, T, self.H = config.n_embd, config.vocab_size, config.block_size, config.n_head
        self.embedding, self.norm_embd = model.embedding.weight, model.norm_embd
        self.position = self.angles = None
        if config.position == "learned":
            self.position = model.position.weight
        else:  # the embedding of a character does not depend on its position: normalise the table
            self.embedding, self.norm_embd = model.norm_embd(model.embedding.weight), None
            half = model.cos.size(1) // 2
            angles = torch.complex(model.cos[:, :half], model.sin[:, :half])  # (T, D / 2)
            self.angles = angles[:, None, None]
        self.normalise = layernorm if config.norm == "layernorm" else rmsnorm
        self.layers = [
            (AttentionLayer if config.attends(layer) else ConvLayer)(block, config)
            for layer, block in enumerate(model.blocks)
        ]
        self.out_norm = self.normalise if config.out_norm else lambda x: x
        self.head = fold_norm(model.norm_out, model.head) if config.out_norm else None
        self.head = self.head or transposed(model.head)
        future = ~model.mask  # (T, T)
        self.mask = torch.zeros(T, T, device=future.device).masked_fill(future, -torch.inf)
        shapes = ((C, 3 * C), (C, C), (C, 4 * C), (4 * C, C), (C, V))
        self.tiled = not all(products_are_batch_invariant(*shape) for shape in shapes)

    @torch.inference_mode()
    def reserve(self, slots):
        for layer in self.layers:
            if slots > len(layer.cache):
                wanted = max(slots, len(layer.cache) * 3 // 2)  # seldom: all slots are copied
                more = -(-wanted // TILE) * TILE - len(layer.cache)
                new = layer.cache.new_zeros(more, *layer.cache.shape[1:])
                layer.cache = torch.cat((layer.cache, new))

    @torch.inference_mode()
    def reset(self, first, count=1):
        for layer in self.layers:
            layer.cache[first : first + count] = 0

    @torch.inference_mode()
    def copy(self, source, target):
        for layer in self.layers:
            layer.cache[target] = layer.cache[source]

    @torch.inference_mode()
    def step(self, first, ids, starts, on=None):
        S, n = len(ids), len(ids[0])
        R = S * n
        on = on and on.repeated(n).to(self.mask.device)
        x, rows, angles = self._embed(first, ids, starts)  # (R', C), padded: R' >= R
        padding = (0, 0, 0, x.size(0) - R) if x.size(0) > R else None
        for i, layer in enumerate(self.layers):
            y = self._product(self.normalise(x), layer.in_proj)[:R]
            y = layer.mix(y, rows, angles, self.normalise)  # (R, C)
            y = y * on.channels[:, i] if on else y
            y = F.pad(y, padding) if padding else y
            x = add_where(on and on.mixer[:, i], x, self._product(y, layer.out_proj, add_to=x))
            y = self._product(self.normalise(x), layer.up).relu_()
            y = self._product(y.square_() if layer.squared else y, layer.down, add_to=x)
            x = add_where(on and on.feed_forward[:, i], x, y)
        return self._product(self.out_norm(x), self.head)[:R].view(S, n, -1)

    @torch.inference_mode()
    def accept(self, counts):
        for layer in self.layers:
            layer.accept(counts)

    def _embed(self, first, ids, starts):
        """Return the input of the first layer (R', C), the StepRows, and the rotary angles."""
        S, n, device = len(ids), len(ids[0]), self.mask.device
        R = S * n
        padding = [0] * (padded_size(R) - R)
        positions = [start + i for start in starts for i in range(n)]
        keys = -(-(max(positions) + 1) // KEY_BUCKET) * KEY_BUCKET
        positions = torch.tensor(positions + padding, device=device)
        ids = torch.tensor([i for row in ids for i in row] + padding, device=device)
        x = F.embedding(ids, self.embedding)
        if self.position is not None:
            x = self.norm_embd(x + self.position[positions])
        positions = positions[:R]
        mask = self.mask[positions, :keys].view(S, 1, n, -1)
        if n > 1:  # see AttentionLayer.mix
            mask = mask.expand(-1, self.H, -1, -1).reshape(S, self.H * n, 1, -1)
        angles = None if self.angles is None else self.angles[positions]  # (R, 1, 1, D / 2)
        slots = torch.arange(first, first + S, device=device).repeat_interleave(n)
        return x, StepRows(first, S, n, slots, positions, mask), angles

    def _product(self, x, linear, add_to=None):
        """Return x (R', in) times folded weights (in, out), plus `add_to` (R', out) if given."""
        weight, bias = linear
        if bias is not None:
            add_to = bias if add_to is None else add_to + bias
        if self.tiled:
            y = tiled_product(x, weight)
            return y if add_to is None else y + add_to
        return x @ weight if add_to is None else torch.addmm(add_to, x, weight)


def add_where(on, before, after):
    """Return `after` (R', C), with the rows of `before` that are off; `on`: (R,) bool, or None."""
    if on is not None:
        after[: len(on)] = torch.where(on[:, None], after[: len(on)], before[: len(on)])
    return after
