import math

import pytest
import torch

from charlm.data.baselines import LECTURE_LOSS, baselines, reference_losses
from charlm.data.corpus import SHA256
from charlm.data.tokenizer import CharTokenizer


def test_the_losses_equal_those_counted_by_hand():
    train, val = torch.tensor([0, 1, 0, 1, 0, 2]), torch.tensor([0, 1, 0, 2])
    losses = baselines(train, val, 4)
    assert losses["uniform"] == pytest.approx(math.log(4))
    unigram = [4 / 10, 3 / 10, 2 / 10, 1 / 10]
    assert losses["unigram"] == pytest.approx(-sum(math.log(unigram[i]) for i in (1, 0, 2)) / 3)
    zero_one = (2 + unigram[1]) / (3 + 1)
    one_zero = (2 + unigram[0]) / (2 + 1)
    zero_two = (1 + unigram[2]) / (3 + 1)
    expected = -(math.log(zero_one) + math.log(one_zero) + math.log(zero_two)) / 3
    assert losses["bigram"] == pytest.approx(expected)


def test_characters_missing_from_the_training_split_are_possible():
    losses = baselines(torch.tensor([0, 0, 0]), torch.tensor([1, 2, 1]), 3)
    assert all(map(math.isfinite, losses.values()))


def test_the_bigram_probabilities_sum_to_one():
    train, V = torch.tensor([0, 1, 1, 2, 0, 1]), 3
    total = sum(
        math.exp(-baselines(train, torch.tensor([1, after]), V)["bigram"]) for after in range(V)
    )
    assert total == pytest.approx(1)


def test_the_baselines_of_tiny_shakespeare(tinyshakespeare):
    tokenizer = CharTokenizer.fit(tinyshakespeare.text)
    losses = baselines(*tinyshakespeare.split(tokenizer), tokenizer.vocab_size)
    assert losses["uniform"] == pytest.approx(math.log(65))
    assert losses["unigram"] == pytest.approx(3.347, abs=0.001)
    assert losses["bigram"] == pytest.approx(2.491, abs=0.001)


def test_the_lecture_s_loss_is_a_reference_for_tiny_shakespeare_only():
    start = {"config": {"model": {"vocab_size": 65}}, "data": {"sha256": SHA256}}
    assert reference_losses(start) == {"uniform": math.log(65), "lecture": LECTURE_LOSS}
    counted = {"uniform": 4.0, "unigram": 3.0, "bigram": 2.0}
    other = start | {"data": {"sha256": "0"}, "baselines": counted}
    assert reference_losses(other) == counted
