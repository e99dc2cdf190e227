"""The lecture's network, training step and generation, as the baseline of the benchmarks.

Every head is a separate layer, in float32, as in the lecture. The network computes what the
preset `gpt` does. Written from its description in Karpathy, "Let's build GPT: from scratch, in
code, spelled out".
"""

import torch
import torch.nn.functional as F
from torch import nn


class Head(nn.Module):
    """One head of causal self-attention: (B, T, C) -> (B, T, head size)."""

    def __init__(self, config):
        super().__init__()
        size = config.n_embd // config.n_head
        self.query = nn.Linear(config.n_embd, size, bias=False)
        self.key = nn.Linear(config.n_embd, size, bias=False)
        self.value = nn.Linear(config.n_embd, size, bias=False)
        self.dropout = nn.Dropout(config.dropout)
        past = torch.ones(config.block_size, config.block_size).tril()
        self.register_buffer("past", past, persistent=False)

    def forward(self, x):
        T = x.size(1)
        query, key = self.query(x), self.key(x)
        affinity = query @ key.transpose(1, 2) / key.size(2) ** 0.5  # (B, T, T)
        affinity = affinity.masked_fill(self.past[:T, :T] == 0, -torch.inf)
        return self.dropout(F.softmax(affinity, dim=-1)) @ self.value(x)


class LectureBlock(nn.Module):
    """Attention heads, then a feed-forward layer, each added to the residual stream."""

    def __init__(self, config):
        super().__init__()
        C = config.n_embd
        self.heads = nn.ModuleList(Head(config) for _ in range(config.n_head))
        self.proj = nn.Linear(C, C)
        self.feed_forward = nn.Sequential(nn.Linear(C, 4 * C), nn.ReLU(), nn.Linear(4 * C, C))
        self.norm_1, self.norm_2 = nn.LayerNorm(C), nn.LayerNorm(C)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x):
        normed = self.norm_1(x)
        gathered = torch.cat([head(normed) for head in self.heads], dim=-1)
        x = x + self.dropout(self.proj(gathered))
        return x + self.dropout(self.feed_forward(self.norm_2(x)))


class LectureGPT(nn.Module):
    """Maps ids (B, T) to logits (B, T, V). Takes a GPTConfig with the lecture's parts."""

    def __init__(self, config):
        super().__init__()
        self.embedding = nn.Embedding(config.vocab_size, config.n_embd)
        self.position = nn.Embedding(config.block_size, config.n_embd)
        self.blocks = nn.Sequential(*(LectureBlock(config) for _ in range(config.n_layer)))
        self.norm_out = nn.LayerNorm(config.n_embd)
        self.head = nn.Linear(config.n_embd, config.vocab_size)

    def forward(self, ids):
        x = self.embedding(ids) + self.position(torch.arange(ids.size(1), device=ids.device))
        return self.head(self.norm_out(self.blocks(x)))


def lecture_step(model, optimizer, ids, config, block_size):
    """Take a step on random windows of `ids`; return the loss. `config`: the TrainConfig."""
    starts = torch.randint(len(ids) - block_size, (config.batch_size,))
    x = torch.stack([ids[i : i + block_size] for i in starts])
    y = torch.stack([ids[i + 1 : i + block_size + 1] for i in starts])
    loss = F.cross_entropy(model(x).flatten(0, 1), y.flatten())
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    return loss.item()


@torch.no_grad()
def lecture_generate(model, ids, count, block_size):
    """Continue ids (B, T) by `count` characters, computing the whole context for each."""
    for _ in range(count):
        logits = model(ids[:, -block_size:])[:, -1]  # (B, V)
        ids = torch.cat((ids, torch.multinomial(F.softmax(logits, dim=-1), num_samples=1)), dim=1)
    return ids
