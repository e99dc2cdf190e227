import dataclasses
import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from charlm.config import BigramConfig, ConfigError, GPTConfig, SampleConfig, TrainConfig
from charlm.presets import PRESETS
from charlm.serving.limits import Limits


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TrainConfig(steps=-1), "steps is -1; it must be 1 or more"),
        (lambda: TrainConfig(learning_rate=math.nan), "learning_rate is nan; .* finite"),
        (lambda: TrainConfig(optimizer="sgd"), "optimizer is 'sgd'; it must be one of adamw, muon"),
        (lambda: TrainConfig(steps="many"), "steps is 'many'; it must be of type int"),
        (lambda: TrainConfig(ema_decay=1.0), "ema_decay is 1.0; .* less than 1"),
        (lambda: TrainConfig(decay_fraction=0.0), "decay_fraction is 0.0; .* more than 0"),
        (lambda: TrainConfig(seed=2**64), "seed is .* at most 9,223,372,036,854,775,807"),
        (lambda: SampleConfig(temperature=10**400), "temperature is 1000"),
        (lambda: GPTConfig(n_embd=130, n_head=4), "n_embd is 130; .* divisible by n_head=4"),
        (lambda: GPTConfig(n_embd=6, n_head=2), "even, since rotary turns pairs"),
        (lambda: GPTConfig(n_layer=0), "n_layer is 0; it must be 1 or more"),
        (lambda: GPTConfig(qk_norm=1), "qk_norm is 1; it must be of type bool"),
        (lambda: BigramConfig(vocab_size=0), "vocab_size is 0"),
        (lambda: SampleConfig(temperature=-1), "temperature is -1.0; it must be 0 or more"),
        (lambda: SampleConfig(temperature=math.nan), "temperature is nan"),
        (lambda: SampleConfig(top_p=2), "top_p is 2.0; it must be from 0 to 1"),
        (lambda: SampleConfig(max_new_chars=0), "max_new_chars is 0; it must be 1 or more"),
        (lambda: TrainConfig(steps=2**64), "steps is 18446744073709551616; .* at most 1,0"),
        (lambda: TrainConfig(learning_rate=1e39), "learning_rate is 1e.39; .* at most 1e.30"),
        (lambda: TrainConfig(steps=2.5), "steps is 2.5; it must be of type int"),
        (lambda: TrainConfig(steps=True), "steps is True; it must be of type int"),
        (lambda: TrainConfig(beta1="0.9"), "beta1 is '0.9'; it must be of type float"),
        (lambda: TrainConfig(steps=np.array([3, 4])), "steps is array"),
        (lambda: GPTConfig(n_layer=2**11), "n_layer is 2048; it must be at most 1,024"),
        (lambda: SampleConfig(seed=None), "seed is None; it must be of type int"),
    ],
)
def test_the_error_for_a_bad_value_says_what_is_allowed(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


@pytest.mark.parametrize("one", [1, 1.0, Fraction(1), np.int8(1), np.float32(1), torch.tensor(1)])
def test_numbers_of_any_type_are_accepted_if_nothing_is_lost(one):
    temperature, top_k = SampleConfig(temperature=one).temperature, SampleConfig(top_k=one).top_k
    assert (type(temperature), temperature) == (float, 1.0)
    assert (type(top_k), top_k) == (int, 1)
    assert GPTConfig(bias=np.bool_(one)).bias is True


def test_every_number_has_bounds():
    for config in (GPTConfig, TrainConfig, SampleConfig, Limits):
        for f in dataclasses.fields(config):
            if f.type in (int, float):
                for beyond in (f.metadata["least"] - 1, f.metadata["most"] * 2 + 1, 10**5000):
                    with pytest.raises(ConfigError, match=f"{f.name} is "):
                        config(**{f.name: beyond})


def test_every_option_has_a_description():
    for config in (GPTConfig, TrainConfig, SampleConfig):
        assert all(f.metadata["note"] for f in dataclasses.fields(config))


def test_the_gpt_preset_is_the_lecture_run():
    model, training = PRESETS["gpt"].model, PRESETS["gpt"].training
    assert (model.block_size, model.n_embd, model.n_head, model.n_layer) == (32, 128, 8, 8)
    assert (training.batch_size, training.steps, training.eval_interval) == (256, 10000, 1000)
    assert (training.learning_rate, training.eval_iters, model.dropout) == (3e-4, 20, 0.1)
    assert (training.optimizer, training.decay, training.grad_clip) == ("adamw", "constant", 0.0)
