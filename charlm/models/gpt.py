"""GPT, twice: the lecture's network and today's, from the same parts.

                      the lecture's (`gpt` preset)       today's (`fast`, `best`)
    order             a learned vector per position      rotary: queries and keys are transposed
    norm              LayerNorm                          RMSNorm, one more after the embedding
    attention         softmax(q k / sqrt(head size))     the same, with q and k normalised first
    neighbours        attention finds them               most blocks convolve instead of attending
    feed-forward      ReLU                               ReLU squared
    start             every block does something random  every block does nothing yet

Source: Karpathy, "Let's build GPT: from scratch, in code, spelled out"; Vaswani et al. 2017 for the
network, Su et al. 2021 (rotary positions), Zhang & Sennrich 2019 (RMSNorm), Henry et al. 2020
(query-key norm), So et al. 2021 (ReLU squared), Liquid AI 2025 (LFM2: gated short convolutions in
most blocks, attention in few).

Shapes: B rows, T characters, C = n_embd, H = n_head, D = C / H, V = vocab_size.
"""

import torch
import torch.nn.functional as F
from torch import nn

from charlm.config import GPTConfig
from charlm.models.positions import rotary_angles, rotate
from charlm.models.pretrained import Pretrained
from charlm.rng import dropout, mix


def make_norm(config, size):
    if config.norm == "layernorm":
        return nn.LayerNorm(size)
    return nn.RMSNorm(size, eps=1e-6)


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
        self.dropout = config.dropout

    def heads(self, x):
        return x.unflatten(-1, (self.n_head, self.head_size)).transpose(1, 2)  # (B, H, T, D)

    def forward(self, x, mask, rotary, seeds):
        q = self.norm_q(self.heads(self.query(x)).float())  # norms and angles in float32, whatever
        k = self.norm_k(self.heads(self.key(x)).float())  # autocast makes of the products
        v = self.heads(self.value(x))
        if rotary is not None:
            q, k = rotate(q, *rotary), rotate(k, *rotary)
        # spelled out rather than scaled_dot_product_attention: compiled, its backward pass is
        # faster on a CPU at these sizes. Scaling keeps the softmax soft whatever the head size.
        affinity = q @ k.transpose(-2, -1) * self.head_size**-0.5  # (B, H, T, T)
        affinity = affinity.masked_fill(~mask, -torch.inf)  # the future stays unseen
        weights = dropout(affinity.softmax(dim=-1), self.dropout, seeds[0])
        gathered = (weights @ v).transpose(1, 2).flatten(-2)  # (B, T, C)
        return self.proj(gathered)


class ShortConv(nn.Module):
    """Every character gathers from the few just before it, through gates.

    Most of what predicts a character stands right before it. Attention has to learn to look there;
    this cannot look anywhere else, and costs as much for each character however long the text is.
    """

    def __init__(self, config):
        super().__init__()
        C, self.size = config.n_embd, config.conv_size
        self.gate_in = nn.Linear(C, C, bias=False)
        self.gate_out = nn.Linear(C, C, bias=False)
        self.value = nn.Linear(C, C, bias=False)
        self.kernel = nn.Parameter(torch.empty(C, 1, self.size))  # one filter a channel
        nn.init.uniform_(self.kernel, -(self.size**-0.5), self.size**-0.5)
        self.proj = nn.Linear(C, C, bias=False)

    def forward(self, x, mask, rotary, seeds):
        T = x.size(1)
        x, gate = self.gate_in(x) * self.value(x), self.gate_out(x)
        x = F.pad(x, (0, 0, self.size - 1, 0))  # nothing came before the first character
        x = sum(x[:, i : i + T] * self.kernel[:, 0, i] for i in range(self.size))
        return self.proj(x * gate)


class FeedForward(nn.Module):
    """Each character thinks over what it gathered, alone."""

    def __init__(self, config):
        super().__init__()
        self.up = nn.Linear(config.n_embd, 4 * config.n_embd, bias=config.bias)
        self.down = nn.Linear(4 * config.n_embd, config.n_embd, bias=config.bias)
        self.squared = config.activation == "relu2"

    def forward(self, x):
        up = self.up(x)
        x = F.relu(up)
        return self.down(x * up if self.squared else x)  # x * up is x squared, sooner


class Block(nn.Module):
    """Communication, then computation, each added to the stream (B, T, C) that runs through."""

    def __init__(self, config, layer):
        super().__init__()
        self.norm_1 = make_norm(config, config.n_embd)
        self.mixer = Attention(config) if config.attends(layer) else ShortConv(config)
        self.norm_2 = make_norm(config, config.n_embd)
        self.feed_forward = FeedForward(config)
        self.dropout = config.dropout

    def forward(self, x, mask, rotary=None, seeds=(None, None, None)):
        mixed = self.mixer(self.norm_1(x), mask, rotary, seeds)
        x = x + dropout(mixed, self.dropout, seeds[1])
        return x + dropout(self.feed_forward(self.norm_2(x)), self.dropout, seeds[2])


class GPT(Pretrained, nn.Module):
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
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.n_layer))
        self.norm_out = make_norm(config, config.n_embd)
        self.head = nn.Linear(config.n_embd, config.vocab_size, bias=config.bias)
        mask = torch.ones(config.block_size, config.block_size, dtype=torch.bool).tril()
        self.register_buffer("mask", mask, persistent=False)  # row t sees columns 0..t
        if config.zero_init:
            outputs = [(block.mixer.proj, block.feed_forward.down) for block in self.blocks]
            for layer in (*sum(outputs, ()), self.head):
                for p in layer.parameters():
                    nn.init.zeros_(p)

    def dropout_seeds(self, ids, seeds):
        """A seed for each row at each place (n_layer, 3, B); None where nothing is dropped."""
        if not (self.training and self.config.dropout):
            return [(None, None, None)] * self.config.n_layer
        if seeds is None:
            seeds = torch.randint(-(2**31), 2**31, ids.shape[:1], dtype=torch.int32)
        places = torch.arange(3 * self.config.n_layer, dtype=torch.int32, device=ids.device)
        return mix(mix(places).view(-1, 3, 1) ^ seeds.to(ids.device))

    def forward(self, ids, seeds=None):
        """Ids (B, T) int64 to logits (B, T, V) float32.

        In training mode the dropout of each row is a function of its seed in `seeds` (B,) int32;
        without seeds, torch's generator gives some. Raises ValueError beyond block_size characters.
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
        mask, seeds = self.mask[:T, :T], self.dropout_seeds(ids, seeds)
        for layer, block in enumerate(self.blocks):
            x = block(x, mask, rotary, seeds[layer])
        return self.head(self.norm_out(x)).float()
