"""GPT, twice: the lecture's network and today's, from the same parts.

                      the lecture's (`gpt` preset)       today's (`fast`, `best`)
    order             a learned vector per position      rotary: queries and keys are turned
    norm              LayerNorm                          RMSNorm, one more after the embedding
    attention         softmax(q k / sqrt(head size))     the same, with q and k normalised first
    feed-forward      ReLU                               ReLU squared
    start             every block does something random  every block does nothing yet

Source: Karpathy, "Let's build GPT: from scratch, in code, spelled out"; Vaswani et al. 2017 for the
network, Su et al. 2021 (rotary positions), Zhang & Sennrich 2019 (RMSNorm), Henry et al. 2020
(query-key norm), So et al. 2021 (ReLU squared).

Shapes: B rows, T characters, C = n_embd, H = n_head, D = C / H, V = vocab_size.
"""

import torch
import torch.nn.functional as F
from torch import nn

from charlm.config import GPTConfig


class KVCache:
    """Keys and values of the characters read so far, so that each is computed once."""

    def __init__(self, config, batch_size, like):
        shape = (config.n_layer, batch_size, config.n_head, config.block_size)
        self.keys = like.new_zeros(*shape, config.n_embd // config.n_head)  # (L, B, H, T, D)
        self.values = torch.zeros_like(self.keys)
        self.length = 0  # characters read; moved on by GPT.forward, once all layers have theirs

    def extend(self, layer, k, v):
        """Add keys and values (B, H, T, D) of new characters; returns those of all so far."""
        end = self.length + k.size(2)
        self.keys[layer, :, :, self.length : end] = k
        self.values[layer, :, :, self.length : end] = v
        return self.keys[layer, :, :, :end], self.values[layer, :, :, :end]


def make_norm(config, size):
    if config.norm == "layernorm":
        return nn.LayerNorm(size)
    return nn.RMSNorm(size, eps=1e-6)


def rotary_angles(block_size, head_size, base=10000.0):
    """Cosines and sines (T, D): position t turns channel pair i by t * base^(-2i/D)."""
    frequencies = base ** (-torch.arange(0, head_size, 2) / head_size)  # (D/2,)
    angles = torch.outer(torch.arange(block_size), frequencies).repeat(1, 2)  # (T, D)
    return angles.cos(), angles.sin()


def rotate(x, cos, sin):
    """Turn each pair (i, i + D/2) of channels of x (B, H, T, D) by its angle.

    The dot product of a query and a key turned like this depends only on how far apart they are.
    """
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


class Attention(nn.Module):
    """Multi-headed causal self-attention: every character gathers from those before it."""

    def __init__(self, config):
        super().__init__()
        C, self.n_head = config.n_embd, config.n_head
        self.head_size = C // config.n_head
        self.query = nn.Linear(C, C, bias=False)
        self.key = nn.Linear(C, C, bias=False)
        self.value = nn.Linear(C, C, bias=False)
        self.proj = nn.Linear(C, C, bias=config.bias)
        self.norm_q = make_norm(config, self.head_size) if config.qk_norm else nn.Identity()
        self.norm_k = make_norm(config, self.head_size) if config.qk_norm else nn.Identity()
        self.dropout = nn.Dropout(config.dropout)

    def heads(self, x):
        return x.unflatten(-1, (self.n_head, self.head_size)).transpose(1, 2)  # (B, H, T, D)

    def forward(self, x, mask, rotary, cache, layer):
        q = self.norm_q(self.heads(self.query(x)).float())  # norms and angles in float32, whatever
        k = self.norm_k(self.heads(self.key(x)).float())  # autocast makes of the products
        v = self.heads(self.value(x))
        if rotary is not None:
            q, k = rotate(q, *rotary), rotate(k, *rotary)
        if cache is not None:
            k, v = cache.extend(layer, k, v)
        # spelled out rather than scaled_dot_product_attention: compiled, its backward pass is
        # faster on a CPU at these sizes. Scaling keeps the softmax soft whatever the head size.
        affinity = q @ k.transpose(-2, -1) * self.head_size**-0.5  # (B, H, T, T so far)
        affinity = affinity.masked_fill(~mask, -torch.inf)  # the future stays unseen
        weights = self.dropout(affinity.softmax(dim=-1))
        gathered = (weights @ v).transpose(1, 2).flatten(-2)  # (B, T, C)
        return self.dropout(self.proj(gathered))


class FeedForward(nn.Module):
    """Each character thinks over what it gathered, alone."""

    def __init__(self, config):
        super().__init__()
        self.up = nn.Linear(config.n_embd, 4 * config.n_embd, bias=config.bias)
        self.down = nn.Linear(4 * config.n_embd, config.n_embd, bias=config.bias)
        self.squared = config.activation == "relu2"
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x):
        x = F.relu(self.up(x))
        return self.dropout(self.down(x.square() if self.squared else x))


class Block(nn.Module):
    """Communication, then computation, each added to the stream (B, T, C) that runs through."""

    def __init__(self, config):
        super().__init__()
        self.norm_1 = make_norm(config, config.n_embd)
        self.attention = Attention(config)
        self.norm_2 = make_norm(config, config.n_embd)
        self.feed_forward = FeedForward(config)

    def forward(self, x, mask, rotary=None, cache=None, layer=0):
        x = x + self.attention(self.norm_1(x), mask, rotary, cache, layer)
        return x + self.feed_forward(self.norm_2(x))


class GPT(nn.Module):
    """A character-level generative pretrained transformer, as its config describes it."""

    kind = "gpt"
    config_class = GPTConfig

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.n_embd)
        if config.position == "learned":
            self.position = nn.Embedding(config.block_size, config.n_embd)
        else:
            cos, sin = rotary_angles(config.block_size, config.n_embd // config.n_head)
            self.register_buffer("cos", cos, persistent=False)
            self.register_buffer("sin", sin, persistent=False)
        self.norm_embd = make_norm(config, config.n_embd) if config.embd_norm else nn.Identity()
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.norm_out = make_norm(config, config.n_embd)
        self.head = nn.Linear(config.n_embd, config.vocab_size, bias=config.bias)
        mask = torch.ones(config.block_size, config.block_size, dtype=torch.bool).tril()
        self.register_buffer("mask", mask, persistent=False)  # row t sees columns 0..t
        if config.zero_init:
            outputs = [(block.attention.proj, block.feed_forward.down) for block in self.blocks]
            for layer in (*sum(outputs, ()), self.head):
                for p in layer.parameters():
                    nn.init.zeros_(p)

    def new_cache(self, batch_size):
        """An empty cache for `batch_size` rows of up to block_size characters."""
        return KVCache(self.config, batch_size, self.embedding.weight)

    def forward(self, ids, cache=None):
        """Ids (B, T) int64 to logits (B, T, V) float32.

        With a cache, `ids` continue what it holds. Raises ValueError beyond block_size characters.
        """
        start = cache.length if cache is not None else 0
        end = start + ids.size(1)
        if end > self.config.block_size:
            raise ValueError(f"{end} characters exceed the context of {self.config.block_size}")
        x = self.embedding(ids)  # (B, T, C)
        rotary = None
        if self.config.position == "learned":
            x = x + self.position.weight[start:end]
        else:
            rotary = self.cos[start:end], self.sin[start:end]
        x = self.norm_embd(x)
        for layer, block in enumerate(self.blocks):
            x = block(x, self.mask[start:end, :end], rotary, cache, layer)
        if cache is not None:
            cache.length = end
        return self.head(self.norm_out(x)).float()
