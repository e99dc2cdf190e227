"""Gated short convolution, which replaces attention in most blocks of today's network.

The characters right before a character predict it best. Attention has to learn to attend to them. A
convolution over the last few characters sees nothing else, and its cost per character does not grow
with the context. Source: Liquid AI 2025 (LFM2).
"""

import torch
import torch.nn.functional as F
from torch import nn

from charlm.models.functions import short_conv


class ShortConv(nn.Module):
    """A causal convolution over the last `conv_size` characters, between two gates."""

    def __init__(self, config):
        super().__init__()
        C, self.size = config.n_embd, config.conv_size
        self.gate_in = nn.Linear(C, C, bias=False)
        self.gate_out = nn.Linear(C, C, bias=False)
        self.value = nn.Linear(C, C, bias=False)
        self.kernel = nn.Parameter(torch.empty(C, 1, self.size))  # a depthwise filter
        nn.init.uniform_(self.kernel, -(self.size**-0.5), self.size**-0.5)
        self.proj = nn.Linear(C, C, bias=False)

    def forward(self, x, mask, rotary, seed):
        """(B, T, C) to (B, T, C). The other arguments are Attention's and unused."""
        # float32, since autocast would round sums
        gated = (self.gate_in(x) * self.value(x)).float()
        return self.proj(short_conv(gated, self.kernel) * self.gate_out(x))

    def taps(self, x):
        """Return what each of the last characters, the latest one last, contributes: (B, T, C)."""
        T, x = x.size(1), self.gate_in(x) * self.value(x)
        x = F.pad(x, (0, 0, self.size - 1, 0))  # zeros before the first character
        return [x[:, i : i + T] * self.kernel[:, 0, i] for i in range(self.size)]
