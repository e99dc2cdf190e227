import math

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from charlm.config import SampleConfig
from charlm.generation.sampling import (
    Settings,
    cdf,
    distribution,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    sample_from_cdf,
    scale,
)
from charlm.rng import uniform

LOGITS = torch.log(torch.tensor([[0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4]]))


def kept(logits):
    return [[i for i, x in enumerate(row) if x > -math.inf] for row in logits.tolist()]


@pytest.mark.parametrize(
    ("step", "value", "rows"),
    [
        (keep_top_k, 0, [[0, 1, 2, 3], [0, 1, 2, 3]]),
        (keep_top_k, 2, [[0, 1], [2, 3]]),
        (keep_top_k, 99, [[0, 1, 2, 3], [0, 1, 2, 3]]),
        (keep_top_p, 0.0, [[0, 1, 2, 3], [0, 1, 2, 3]]),
        (keep_top_p, 0.5, [[0, 1], [2, 3]]),
        (keep_top_p, 1e-9, [[0], [3]]),
        (keep_top_p, 1.0, [[0, 1, 2, 3], [0, 1, 2, 3]]),
        (keep_min_p, 0.0, [[0, 1, 2, 3], [0, 1, 2, 3]]),
        (keep_min_p, 0.6, [[0, 1], [2, 3]]),
        (keep_min_p, 1.0, [[0], [3]]),
        (keep_min_p, 7.0, [[0], [3]]),
    ],
)
def test_each_step_keeps_the_expected_characters(step, value, rows):
    before = LOGITS.clone()
    assert kept(step(LOGITS, value)) == rows
    assert LOGITS.equal(before)


def test_temperature_zero_is_greedy_and_takes_the_first_of_equals():
    assert distribution(torch.tensor([[1.0, 3.0, 3.0]]), SampleConfig(temperature=0)).tolist() == [
        [0.0, 1.0, 0.0]
    ]


@pytest.mark.parametrize("temperature", [1e-300, 1e-9, 0.5, 1.0, 1e9])
def test_every_temperature_gives_a_distribution(temperature):
    logits = scale(torch.tensor([[1e4, -1e4, 0.0]]), temperature)
    assert logits.softmax(-1).isfinite().all()
    assert logits.argmax() == 0


@given(
    logits=st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=12),
    temperature=st.floats(0, 5),
    top_k=st.integers(0, 15),
    top_p=st.floats(0, 1),
    min_p=st.floats(0, 1),
)
@example([-3.5441257533047665e-33, 0.0], 1.0, 0, 0.5, 0.0)  # as likely after rounding
@example([-1e-45, 0.0], 5.0, 0, 0.5, 0.0)  # divided by the temperature, equal
def test_all_settings_together_always_leave_the_likeliest(logits, temperature, top_k, top_p, min_p):
    config = SampleConfig(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
    p = distribution(torch.tensor([logits]), config)[0]
    others = [SampleConfig(temperature=0), config, SampleConfig(top_p=0.5, min_p=0.1, top_k=2)]
    together = distribution(torch.tensor([logits] * 3), Settings.of(others))
    assert together[1].equal(p)
    assert p.sum().item() == pytest.approx(1, abs=1e-5)
    assert p[int(torch.tensor(logits).argmax())] > 0
    if top_k:
        ties = logits.count(sorted(logits)[-min(top_k, len(logits))])
        assert (p > 0).sum() <= top_k + ties


@given(u=st.floats(0, 1, exclude_max=True))
def test_a_choice_is_never_an_impossible_character(u):
    p = torch.tensor([[0.0, 0.25, 0.0, 0.75, 0.0], [0.0, 0.0, 0.0, 0.0, 1.0]])
    assert sample_from_cdf(cdf(p), [u, u]) == [1 if u < 0.25 else 3, 4]


def test_choices_follow_the_probabilities():
    p = torch.tensor([[0.1, 0.6, 0.3]]).expand(5000, 3)
    chosen = sample_from_cdf(cdf(p), [uniform(1, position) for position in range(5000)])
    for i, expected in enumerate([0.1, 0.6, 0.3]):
        assert chosen.count(i) / 5000 == pytest.approx(expected, abs=0.025)


def test_uniform_is_a_function_of_seed_and_position():
    assert uniform(3, 4) == uniform(3, 4)
    assert len({uniform(s, p) for s in range(30) for p in range(30)}) == 900
    assert (
        0 <= min(uniform(0, p) for p in range(1000)) < max(uniform(0, p) for p in range(1000)) < 1
    )
