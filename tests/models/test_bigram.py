import torch

from charlm.config import BigramConfig
from charlm.models.bigram import BigramLM


def test_only_the_last_character_counts():
    model = BigramLM(BigramConfig(vocab_size=7))
    a, b = torch.tensor([[1, 2, 3]]), torch.tensor([[6, 5, 3]])
    assert model(a)[0, -1].equal(model(b)[0, -1])
    assert model(a).shape == (1, 3, 7)
    assert model(a).dtype == torch.float32


def test_it_has_one_row_per_character():
    model = BigramLM(BigramConfig(vocab_size=7))
    assert sum(p.numel() for p in model.parameters()) == 49
