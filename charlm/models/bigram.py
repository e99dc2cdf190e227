"""BigramLM: the lecture's first model, which predicts a character from the one before it."""

from torch import nn

from charlm.config import BigramConfig
from charlm.models.pretrained import Pretrained


class BigramLM(Pretrained, nn.Module):
    """A table of next-character logits, one row per character (lecture "Let's build GPT")."""

    kind = "bigram"
    config_class = BigramConfig

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.table = nn.Embedding(config.vocab_size, config.vocab_size)
        self.blocks = nn.ModuleList()  # none, so that code for a GPT's blocks does nothing here

    def forward(self, ids, seeds=None):
        """Map ids (B, T) int64 to logits (B, T, V) float32. `seeds` is unused: no dropout here."""
        return self.table(ids)
