"""GPT: the network of the lecture "Let's build GPT", and today's variant of the same parts.

Read it from the top: attention, feed-forward layer, block, GPT. The structure is the lecture's.
Where today's network differs, a switch of GPTConfig chooses:

    switch            the lecture's (`gpt` preset)        today's (`fast`, `best`)
    position          a learned vector per position       rotary: queries and keys are rotated
    norm              LayerNorm                           RMSNorm
    qk_norm           off                                 queries and keys are normalised
    activation        ReLU                                ReLU squared
    bias              biases in linear layers             none
    attention_every   every block attends                 most blocks convolve (short_conv.py)
    embd_norm         off                                 a norm after the embedding, too
    zero_init         random output layers                output layers start at zero

Training, evaluation and scoring call `GPT.forward`. Generation does not: generation/decoder.py
repeats it with a cache. The lecture's loss is in training/evaluation.py, its `generate` in
generation/batch.py.

Shapes: B rows, T characters, C = n_embd channels, H = n_head heads of size D = C / H, V characters
in the vocabulary.

Sources: Karpathy, "Let's build GPT: from scratch, in code, spelled out"; Vaswani et al. 2017. For
today's parts: Zhang & Sennrich 2019 (RMSNorm), Henry et al. 2020 (query-key norm), So et al. 2021
(ReLU squared).
"""

import torch
import torch.nn.functional as F
from torch import nn

from charlm.config import GPTConfig
from charlm.models.functions import relu2, rms_norm
from charlm.models.positions import rotary_angles, rotate
from charlm.models.pretrained import Pretrained
from charlm.models.short_conv import ShortConv
from charlm.rng import dropout, mix_bits

NO_DROPOUT = (None, None, None)  # instead of seeds, for the three dropouts of a block


class Attention(nn.Module):
    """Multi-head causal self-attention: each character gathers from itself and those before it."""

    def __init__(self, config):
        super().__init__()
        C, self.n_head = config.n_embd, config.n_head
        self.head_size = C // config.n_head
        self.query = nn.Linear(C, C, bias=False)  # the heads of the lecture side by side
        self.key = nn.Linear(C, C, bias=False)
        self.value = nn.Linear(C, C, bias=False)
        self.proj = nn.Linear(C, C, bias=config.bias)
        self.norm_q = make_norm(config, self.head_size) if config.qk_norm else nn.Identity()
        self.norm_k = make_norm(config, self.head_size) if config.qk_norm else nn.Identity()
        self.dropout = config.dropout

    def forward(self, x, mask, rotary, seed):
        """(B, T, C) to (B, T, C). `mask` (T, T) is True where row t may look: at columns 0..t."""
        v = self.split_heads(self.value(x))  # (B, H, T, D)
        if seed is None:
            q, k = self.queries_and_keys(x, rotary)
            out = F.scaled_dot_product_attention(q, k, v.to(q.dtype), is_causal=True)
        else:
            # Spelled out as in the lecture, for the dropout of the weights
            out = dropout(self.weights(x, mask, rotary), self.dropout, seed) @ v
        return self.proj(out.transpose(1, 2).flatten(-2))  # (B, T, C)

    def weights(self, x, mask, rotary):
        """Return how much each character gathers from each: (B, H, T, T); the rows sum to 1."""
        q, k = self.queries_and_keys(x, rotary)
        affinities = q @ k.transpose(-2, -1) * self.head_size**-0.5  # (B, H, T, T)
        return affinities.masked_fill(~mask, -torch.inf).softmax(dim=-1)

    def queries_and_keys(self, x, rotary):
        """Return what each character looks for and what it offers: (B, H, T, D) both."""
        # float32, since autocast would round what norms and angles need in full
        q = self.norm_q(self.split_heads(self.query(x)).float())  # (B, H, T, D)
        k = self.norm_k(self.split_heads(self.key(x)).float())
        if rotary is not None:
            q, k = rotate(q, *rotary), rotate(k, *rotary)
        return q, k

    def split_heads(self, x):
        return x.unflatten(-1, (self.n_head, self.head_size)).transpose(1, 2)  # (B, H, T, D)


class FeedForward(nn.Module):
    """Two linear layers around a nonlinearity, applied to each character separately."""

    def __init__(self, config):
        super().__init__()
        self.up = nn.Linear(config.n_embd, 4 * config.n_embd, bias=config.bias)
        self.down = nn.Linear(4 * config.n_embd, config.n_embd, bias=config.bias)
        self.activation = ACTIVATIONS[config.activation]

    def forward(self, x):
        return self.down(self.activation(self.up(x)))  # (B, T, C) to (B, T, 4 C) to (B, T, C)


# generation/decoder.py and models/transformers_format.py implement these, too
ACTIVATIONS = {"relu": F.relu, "relu2": relu2}


class RMSNorm(nn.RMSNorm):
    """nn.RMSNorm with the faster gradient of `rms_norm`."""

    def forward(self, x):
        return rms_norm(x, self.weight, self.eps)


class Block(nn.Module):
    """Communication, then computation, each added to the residual stream x (B, T, C)."""

    def __init__(self, config, layer):
        super().__init__()
        self.norm_1 = make_norm(config, config.n_embd)
        self.mixer = Attention(config) if config.attends(layer) else ShortConv(config)
        self.norm_2 = make_norm(config, config.n_embd)
        self.feed_forward = FeedForward(config)
        self.dropout = config.dropout

    def forward(self, x, mask, rotary=None, seeds=NO_DROPOUT):
        mixed = self.mixer(self.norm_1(x), mask, rotary, seeds[0])
        x = x + dropout(mixed, self.dropout, seeds[1])
        return x + dropout(self.feed_forward(self.norm_2(x)), self.dropout, seeds[2])


class GPT(Pretrained, nn.Module):
    """A character-level generative pretrained transformer, with the parts that its config names."""

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
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.n_layer))
        self.norm_out = make_norm(config, config.n_embd) if config.out_norm else nn.Identity()
        self.head = nn.Linear(config.n_embd, config.vocab_size, bias=config.bias)
        mask = torch.ones(config.block_size, config.block_size, dtype=torch.bool).tril()
        self.register_buffer("mask", mask, persistent=False)  # row t sees columns 0..t
        if config.zero_init:
            self.zero_output_layers()

    def forward(self, ids, seeds=None):
        """Map ids (B, T) int64 to logits (B, T, V) float32.

        In training mode the dropout of a row is a function of its seed in `seeds` (B,) int32;
        without seeds they are drawn from torch's generator. Raises ValueError if T > block_size.
        """
        T = ids.size(1)
        if self.config.block_size < T:
            raise ValueError(f"{T} characters exceed the context of {self.config.block_size}")
        x = self.embedding(ids)  # (B, T, C)
        rotary = None
        if self.config.position == "learned":
            x = x + self.position.weight[:T]
        else:
            rotary = self.cos[:T], self.sin[:T]
        x = self.norm_embd(x)
        mask, layer_seeds = self.mask[:T, :T], self.dropout_seeds(ids, seeds)
        for layer, block in enumerate(self.blocks):
            x = block(x, mask, rotary, layer_seeds[layer])
        return self.head(self.norm_out(x)).float()

    def dropout_seeds(self, ids, seeds):
        """Derive a seed for each dropout of each row: (n_layer, 3, B), or None for no dropout."""
        if not (self.training and self.config.dropout):
            return [NO_DROPOUT] * self.config.n_layer
        if seeds is None:
            seeds = torch.randint(-(2**31), 2**31, ids.shape[:1], dtype=torch.int32)
        indices = torch.arange(3 * self.config.n_layer, dtype=torch.int32, device=ids.device)
        return mix_bits(mix_bits(indices).view(-1, 3, 1) ^ seeds.to(ids.device))

    def zero_output_layers(self):
        """Let every block start as the identity, and the model as a uniform guess."""
        outputs = [self.head]
        for block in self.blocks:
            outputs += [block.mixer.proj, block.feed_forward.down]
        for layer in outputs:
            for p in layer.parameters():
                nn.init.zeros_(p)


def make_norm(config, size):
    """Return the norm that the config names, over a last dimension of `size`."""
    if config.norm == "layernorm":
        return nn.LayerNorm(size)
    return RMSNorm(size, eps=1e-6)
