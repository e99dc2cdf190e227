"""The blocks of a GPT folded for decoding: few operations per step, and a cache per slot.

A small network spends most of its time launching operations. So query, key and value are one
product, as are the gates and the value of a convolution, and the weight of a norm is multiplied
into the linear layers after it.

Shapes: S slots that read n characters each make R = S n rows; C = n_embd, H = n_head, D = C / H,
T = block_size.
"""

import functools
import math
from typing import NamedTuple

import torch
import torch.nn.functional as F


class StepRows(NamedTuple):
    """Which slots and positions the rows of a step belong to."""

    first: int  # slot
    S: int
    n: int
    slots: torch.Tensor  # (R,)
    positions: torch.Tensor  # (R,)
    mask: torch.Tensor  # (S, H n or 1, 1, K), added to the logits: -inf at keys after the query


class Layer:
    """A block's folded weights (in, out), and its cache, a tensor with a row per slot."""

    def __init__(self, block, config, *inputs):
        self.in_proj = fold_norm(block.norm_1, *inputs)
        self.out_proj = transposed(block.mixer.proj)
        self.up = fold_norm(block.norm_2, block.feed_forward.up)
        self.down = transposed(block.feed_forward.down)
        self.squared = config.activation == "relu2"


class AttentionLayer(Layer):
    """A block that attends. The cache holds keys and values (slots, 2, H, T, D)."""

    def __init__(self, block, config):
        mixer = block.mixer
        super().__init__(block, config, mixer.query, mixer.key, mixer.value)
        self.H, self.D = config.n_head, config.n_embd // config.n_head
        # the two channels of q and k that rotate together lie side by side, as a complex number
        pairs = torch.arange(self.D).view(2, -1).t().flatten()
        channels = torch.arange(3 * config.n_embd).view(3, self.H, self.D)
        channels[:2] = channels[:2, :, pairs]
        channels = channels.flatten()
        weight, bias = self.in_proj
        self.in_proj = weight[:, channels], bias if bias is None else bias[channels]
        self.qk_norm = None
        if config.qk_norm:
            weights, biases = zip(*map(affine, (mixer.norm_q, mixer.norm_k)), strict=True)
            self.qk_norm = [torch.stack(both)[:, None, pairs] for both in (weights, biases)]
        self.cache = weight.new_zeros(0, 2, self.H, config.block_size, self.D)

    def mix(self, y, rows, angles, normalise):
        """Map queries, keys and values (R, 3 C) to the output of attention (R, C)."""
        first, S, n, slots, positions, mask = rows
        H, D = self.H, self.D
        y = y.unflatten(1, (3, H, D))
        qk, v = y[:, :2], y[:, 2]  # (R, 2, H, D), (R, H, D)
        if self.qk_norm:
            weight, bias = self.qk_norm
            qk = torch.addcmul(bias, normalise(qk), weight)
        if angles is not None:
            rotated = torch.view_as_complex(qk.unflatten(-1, (-1, 2))) * angles
            qk = torch.view_as_real(rotated).flatten(-2)
        self.cache[slots, :, :, positions] = torch.stack((qk[:, 1], v), dim=1)
        K, V = self.cache[first : first + S, :, :, : mask.size(-1)].unbind(1)  # (S, H, K, D)
        # Each row is one query, as if of a head that shares its keys and values with others:
        # several queries per head would round differently from one.
        q = qk[:, 0].view(S, n, H, D).transpose(1, 2).reshape(S, H * n, 1, D)
        y = F.scaled_dot_product_attention(q, K, V, attn_mask=mask, enable_gqa=n > 1)
        return y.view(S, H, n, D).transpose(1, 2).reshape(S * n, H * D)

    def accept(self, counts):
        """Do nothing: stale keys are overwritten before any query attends to them."""


class ConvLayer(Layer):
    """A block that convolves. The cache holds its last inputs (slots, conv_size - 1, C)."""

    def __init__(self, block, config):
        mixer = block.mixer
        super().__init__(block, config, mixer.gate_in, mixer.value, mixer.gate_out)
        self.kernel = mixer.kernel[:, 0].t().contiguous()  # (conv_size, C)
        self.cache = self.kernel.new_zeros(0, len(self.kernel) - 1, config.n_embd)

    def mix(self, y, rows, angles, normalise):
        """Map gates and values (R, 3 C) to the output of the convolution (R, C)."""
        first, S, n = rows[:3]
        gate_in, value, gate_out = y.chunk(3, dim=1)
        self.cached = self.cache[first : first + S]
        self.inputs = torch.cat((self.cached, (gate_in * value).view(S, n, -1)), dim=1)
        y = self.inputs[:, :n] * self.kernel[0]
        for i in range(1, len(self.kernel)):
            y = torch.addcmul(y, self.inputs[:, i : i + n], self.kernel[i])
        return y.view(S * n, -1) * gate_out

    def accept(self, counts):
        """Cache the last inputs of each slot, up to the last one accepted."""
        size = self.cached.size(1)
        if len(set(counts)) == 1:
            self.cached.copy_(self.inputs[:, counts[0] : counts[0] + size])
        else:
            for cached, inputs, count in zip(self.cached, self.inputs, counts, strict=True):
                cached.copy_(inputs[count : count + size])


def rmsnorm(x):
    """Return x over its length: RMSNorm without its weight, over the square root of the size."""
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x / torch.hypot(length, rmsnorm_epsilon(x.size(-1)))


@functools.cache
def rmsnorm_epsilon(size, eps=1e-6):
    return torch.tensor(math.sqrt(size * eps))


def layernorm(x):
    """Return LayerNorm of x, without its weight and bias."""
    return F.layer_norm(x, x.shape[-1:])


def affine(norm):
    """Return the weight and bias that turn `rmsnorm` or `layernorm` into `norm`."""
    if isinstance(norm, torch.nn.LayerNorm):
        return norm.weight, norm.bias
    weight = norm.weight * math.sqrt(len(norm.weight))
    return weight, torch.zeros_like(weight)


def transposed(linear):
    """Return a linear layer's weight (in, out), and its bias or None."""
    return linear.weight.t().contiguous(), linear.bias


def fold_norm(norm, *linears):
    """Concatenate linear layers and fold the affine part of the norm before them into the result.

    Returns the weight (in, out) and the bias or None.
    """
    scale, shift = affine(norm)
    weight = torch.cat([linear.weight for linear in linears])  # (out, in)
    bias = weight @ shift
    if linears[0].bias is not None:
        bias += torch.cat([linear.bias for linear in linears])
    weight = (weight * scale).t().contiguous()
    return weight, bias if bias.any() else None
