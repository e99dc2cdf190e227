"""The limits of a page, tried on runs."""

import pytest

from charlm.config import ConfigError
from charlm.presets import PRESETS
from charlm.serving.limits import Limits, allowed_preset
from charlm.training.memory import run_megabytes


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_can_be_trained_within_the_default_limits(name):
    allowed_preset(name, "", {"steps": 100}, Limits())
    preset = PRESETS[name]
    assert run_megabytes(preset.kind, preset.model, preset.training) < Limits().max_run_memory


@pytest.mark.parametrize(
    "options",
    [
        {"n_layer": 64, "batch_size": 512, "block_size": 64, "n_embd": 64, "n_head": 1},
        {"batch_size": 128, "n_layer": 16, "n_head": 1},
    ],
)
def test_a_run_that_would_not_fit_in_memory_is_refused_before_it_starts(options):
    with pytest.raises(ConfigError, match=r"batch_size is \d+; .* 4,000 MB of memory at most") as e:
        allowed_preset("fast", "", options, Limits())
    assert e.value.option == "batch_size"


def test_the_memory_of_a_run_can_be_limited_further():
    with pytest.raises(ConfigError, match="300 MB of memory at most"):
        allowed_preset("fast", "", {}, Limits(max_run_memory=300))
