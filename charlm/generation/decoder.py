"""A model made ready for decoding: its weights folded, its memory in slots, one for each text.

In a step, neighbouring slots each read the next characters of their text, all as many. What comes
out for a character has the same bits whatever is read with it, so that a text is the same alone and
in a crowd, read at once or bit by bit: everything is done for each row, which is one character of
one text, by itself but for the matrix products, whose rounding may depend on how many rows there
are. Where it does, they are made in tiles of always as many rows.

Per step there are few operations, each over all rows: on a small network the time goes by in
calling them. So query, key and value are one product, as are the gates and value of a convolution;
what a norm multiplies by is multiplied into the weights that come after it.

Shapes as in gpt.py, but for B: S slots that read n characters each make R = S n rows.
"""

import functools
import math
from typing import NamedTuple

import torch
import torch.nn.functional as F

TILE = 8  # rows
SIZES = (2, 4, *range(TILE, 129, TILE))  # of rows; others are filled up to the next
BUCKET = 32  # positions; attention looks back to the next multiple


def make_decoder(model):
    """The decoder of a GPT or a BigramLM. It takes the weights as they are now."""
    return {"gpt": GPTDecoder, "bigram": BigramDecoder}[model.kind](model)


class BigramDecoder:
    """The decoder of a table: the last character says it all, there is nothing to remember."""

    def __init__(self, model):
        self.table = model.table.weight.detach()

    def reserve(self, slots):
        """Have slots 0 to `slots` - 1 at least, keeping what they hold."""

    def clear(self, slot):
        """Have nothing read in a slot."""

    def move(self, source, target):
        """Have one slot hold what another holds."""

    def step(self, first, ids, starts):
        """Read n characters in each of S slots, `first` and those after it.

        `ids`: S lists of n; `starts`: the position in its context where each list begins. Returns
        the logits (S, n, V) of what comes after each. `keep` must follow.
        """
        return self.table[torch.tensor(ids, device=self.table.device)].float()

    def keep(self, counts):
        """Have read only so many of the characters that each slot read in the last step."""


class GPTDecoder:
    """The decoder of a GPT; it has the methods of BigramDecoder."""

    @torch.inference_mode()
    def __init__(self, model):
        config = model.config
        C, V, T = config.n_embd, config.vocab_size, config.block_size
        self.embedding, self.norm_embd = model.embedding.weight, model.norm_embd
        self.position = self.angles = None
        if config.position == "learned":
            self.position = model.position.weight
        else:  # what a character begins as is a function of the character alone
            self.embedding, self.norm_embd = model.norm_embd(model.embedding.weight), None
            half = model.cos.size(1) // 2
            angles = torch.complex(model.cos[:, :half], model.sin[:, :half])  # (T, D / 2)
            self.angles = angles[:, None, None]
        self.normalise = layernorm if config.norm == "layernorm" else rmsnorm
        self.layers = [
            (AttentionLayer if config.attends(layer) else ConvLayer)(block, config)
            for layer, block in enumerate(model.blocks)
        ]
        self.head = fold(model.norm_out, model.head)
        future = ~model.mask  # (T, T)
        self.mask = torch.zeros(T, T, device=future.device).masked_fill(future, -torch.inf)
        shapes = ((C, 3 * C), (C, C), (C, 4 * C), (4 * C, C), (C, V))
        self.tiled = not all(products_are_batch_invariant(*shape) for shape in shapes)

    @torch.inference_mode()
    def reserve(self, slots):
        for layer in self.layers:
            more = -(-slots // TILE) * TILE - len(layer.kept)
            if more > 0:
                new = layer.kept.new_zeros(more, *layer.kept.shape[1:])
                layer.kept = torch.cat((layer.kept, new))

    @torch.inference_mode()
    def clear(self, slot):
        for layer in self.layers:
            layer.kept[slot] = 0

    @torch.inference_mode()
    def move(self, source, target):
        for layer in self.layers:
            layer.kept[target] = layer.kept[source]

    @torch.inference_mode()
    def step(self, first, ids, starts):
        S, n, device = len(ids), len(ids[0]), self.mask.device
        R = S * n
        filling = [0] * (next(size for size in SIZES if size >= R) - R)
        ids = torch.tensor([i for line in ids for i in line] + filling, device=device)
        positions = [start + i for start in starts for i in range(n)]
        reach = -(-(max(positions) + 1) // BUCKET) * BUCKET
        positions = torch.tensor(positions + filling, device=device)
        x = F.embedding(ids, self.embedding)  # (R', C), R' >= R; what is beyond R means nothing
        if self.position is not None:
            x = self.norm_embd(x + self.position[positions])
        seen = positions[:R]
        mask = self.mask[seen, :reach].view(S, 1, n, -1)
        angles = None if self.angles is None else self.angles[seen]  # (R, 1, 1, D / 2)
        slots = torch.arange(first, first + S, device=device).repeat_interleave(n)
        rows = Rows(first, S, n, slots, seen, mask)
        for layer in self.layers:
            y = self.product(self.normalise(x), layer.enter)[:R]
            y = layer.mix(y, rows, angles, self.normalise)  # (R, C)
            x = self.product(y, layer.proj, onto=x)
            y = self.product(self.normalise(x), layer.up).relu_()
            x = self.product(y.square_() if layer.squared else y, layer.down, onto=x)
        return self.product(self.normalise(x), self.head)[:R].view(S, n, -1)

    @torch.inference_mode()
    def keep(self, counts):
        for layer in self.layers:
            layer.keep(counts)

    def product(self, x, linear, onto=None):
        """x (R, in) times folded weights (in, out), added to `onto` (R', out) if given."""
        weight, bias = linear
        if onto is not None and len(x) < len(onto):
            x = F.pad(x, (0, 0, 0, len(onto) - len(x)))
        if bias is not None:
            onto = bias if onto is None else onto + bias
        if self.tiled:
            y = tiled_product(x, weight)
            return y if onto is None else y + onto
        return x @ weight if onto is None else torch.addmm(onto, x, weight)


class Rows(NamedTuple):
    """What the rows of a step are."""

    first: int  # slot
    S: int
    n: int
    slots: torch.Tensor  # (R,)
    positions: torch.Tensor  # (R,)
    mask: torch.Tensor  # (S, 1, n, reach), to be added: -inf at what is not seen


class Layer:
    """What both kinds of block have. `kept` is a tensor with a row for each slot."""

    def __init__(self, block, config, *inputs):
        self.enter = fold(block.norm_1, *inputs)
        self.proj = transposed(block.mixer.proj)
        self.up = fold(block.norm_2, block.feed_forward.up)
        self.down = transposed(block.feed_forward.down)
        self.squared = config.activation == "relu2"


class AttentionLayer(Layer):
    """A block that attends. It keeps keys and values (slots, 2, H, T, D)."""

    def __init__(self, block, config):
        mixer = block.mixer
        super().__init__(block, config, mixer.query, mixer.key, mixer.value)
        self.H, self.D = config.n_head, config.n_embd // config.n_head
        # the two channels of q and k that rotate together lie side by side, as complex numbers
        pairs = torch.arange(self.D).view(2, -1).t().flatten()
        channels = torch.arange(3 * config.n_embd).view(3, self.H, self.D)
        channels[:2] = channels[:2, :, pairs]
        weight, bias = self.enter
        self.enter = (
            weight[:, channels.flatten()],
            bias if bias is None else bias[channels.flatten()],
        )
        self.qk = None
        if config.qk_norm:
            weights, biases = zip(*map(affine, (mixer.norm_q, mixer.norm_k)), strict=True)
            self.qk = [torch.stack(both)[:, None, pairs] for both in (weights, biases)]
        self.kept = weight.new_zeros(0, 2, self.H, config.block_size, self.D)

    def mix(self, y, rows, angles, normalise):
        """Queries, keys and values (R, 3 C) to what each row gathers (R, C)."""
        first, S, n, slots, positions, mask = rows
        H, D = self.H, self.D
        y = y.unflatten(1, (3, H, D))
        qk, v = y[:, :2], y[:, 2]  # (R, 2, H, D), (R, H, D)
        if self.qk:
            weight, bias = self.qk
            qk = torch.addcmul(bias, normalise(qk), weight)
        if angles is not None:
            transposed = torch.view_as_complex(qk.unflatten(-1, (-1, 2))) * angles
            qk = torch.view_as_real(transposed).flatten(-2)
        self.kept[slots, :, :, positions] = torch.stack((qk[:, 1], v), dim=1)
        K, V = self.kept[first : first + S, :, :, : mask.size(-1)].unbind(1)  # (S, H, reach, D)
        # each row is a query by itself, as if of another head with the same keys and values:
        # several at a time would round otherwise than one
        q = qk[:, 0].view(S, n, H, D).transpose(1, 2).reshape(S, H * n, 1, D)
        mask = mask.expand(-1, H, -1, -1).reshape(S, H * n, 1, -1) if n > 1 else mask
        y = F.scaled_dot_product_attention(q, K, V, attn_mask=mask, enable_gqa=n > 1)
        return y.view(S, H, n, D).transpose(1, 2).reshape(S * n, H * D)

    def keep(self, counts):
        """What else was read is read over before it is seen."""


class ConvLayer(Layer):
    """A block that convolves. It keeps the last characters (slots, size - 1, C)."""

    def __init__(self, block, config):
        mixer = block.mixer
        super().__init__(block, config, mixer.gate_in, mixer.value, mixer.gate_out)
        self.kernel = mixer.kernel[:, 0].t().contiguous()  # (size, C)
        self.kept = self.kernel.new_zeros(0, len(self.kernel) - 1, config.n_embd)

    def mix(self, y, rows, angles, normalise):
        """Gates and values (R, 3 C) to what each row gathers (R, C)."""
        first, S, n = rows[:3]
        gate_in, value, gate_out = y.chunk(3, dim=1)
        self.tails = self.kept[first : first + S]
        self.line = torch.cat((self.tails, (gate_in * value).view(S, n, -1)), dim=1)
        y = self.line[:, :n] * self.kernel[0]
        for i in range(1, len(self.kernel)):
            y = torch.addcmul(y, self.line[:, i : i + n], self.kernel[i])
        return y.view(S * n, -1) * gate_out

    def keep(self, counts):
        size = self.tails.size(1)
        if len(set(counts)) == 1:
            self.tails.copy_(self.line[:, counts[0] : counts[0] + size])
        else:
            for tail, line, count in zip(self.tails, self.line, counts, strict=True):
                tail.copy_(line[count : count + size])


def rmsnorm(x):
    """x over its norm: RMSNorm without its weight, and smaller by the square root of the size."""
    size = x.size(-1)
    return x / torch.hypot(torch.linalg.vector_norm(x, dim=-1, keepdim=True), epsilon(size))


@functools.cache
def epsilon(size, eps=1e-6):
    return torch.tensor(math.sqrt(size * eps))


def layernorm(x):
    return F.layer_norm(x, x.shape[-1:])


def affine(norm):
    """What to multiply by and to add after `rmsnorm` or `layernorm`, as `norm` does."""
    if isinstance(norm, torch.nn.LayerNorm):
        return norm.weight, norm.bias
    weight = norm.weight * math.sqrt(len(norm.weight))
    return weight, torch.zeros_like(weight)


def transposed(linear):
    """A linear layer's weight (in, out), and its bias or None."""
    return linear.weight.t().contiguous(), linear.bias


def fold(norm, *linears):
    """Linear layers side by side, of what a norm gives, as one layer of what it normalises."""
    scale, shift = affine(norm)
    weight = torch.cat([linear.weight for linear in linears])  # (out, in)
    bias = weight @ shift
    if linears[0].bias is not None:
        bias += torch.cat([linear.bias for linear in linears])
    weight = (weight * scale).t().contiguous()
    return weight, bias if bias.any() else None


def tiled_product(x, weight):
    """x @ weight in tiles of TILE rows, so that it is always the same product."""
    tiles = F.pad(x, (0, 0, 0, -len(x) % TILE)).view(-1, TILE, x.size(1))
    return torch.bmm(tiles, weight.expand(len(tiles), -1, -1)).flatten(0, 1)[: len(x)]


@functools.cache
def products_are_batch_invariant(n_in, n_out):
    """Whether products of these sizes round a row alike here, whatever rows are with it."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(SIZES[-1], n_in, generator=generator)
    weight = torch.randn(n_in, n_out, generator=generator)
    whole, onto = x @ weight, torch.randn(SIZES[-1], n_out, generator=generator)
    added = torch.addmm(onto, x, weight)
    return all(
        torch.equal(x[:n] @ weight, whole[:n])
        and torch.equal(torch.addmm(onto[:n], x[:n], weight), added[:n])
        for n in SIZES
    )
