"""The limits of a page, tried on runs."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from charlm.config import ConfigError
from charlm.models.sizes import cache_bytes
from charlm.presets import PRESETS
from charlm.serving.limits import Limits, allowed_preset, check_model, streams_that_fit
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


def test_the_texts_of_a_model_fit_in_memory():
    config = PRESETS["best"].model
    each = cache_bytes("gpt", config)
    assert streams_that_fit("gpt", config, Limits()) == 256
    assert streams_that_fit("gpt", config, Limits(max_streams=20)) == 20
    assert streams_that_fit("bigram", PRESETS["bigram"].model, Limits()) == 256
    low = Limits(max_memory=100)
    assert streams_that_fit("gpt", config, low) == 100_000_000 // each < 256
    large = replace(config, block_size=2**16, n_layer=60)
    assert streams_that_fit("gpt", large, low) == 1


def test_a_model_is_refused_if_the_memory_is_for_fewer_texts_than_128():
    description = SimpleNamespace(kind="gpt", model=PRESETS["best"].model)
    megabytes = cache_bytes("gpt", description.model) / 1e6
    check_model(description, Limits(max_memory=round(129 * megabytes)))
    with pytest.raises(ConfigError, match=r"block_size .* 128 texts need \d+ MB at most"):
        check_model(description, Limits(max_memory=round(127 * megabytes)))
    check_model(description, Limits(max_memory=round(3 * megabytes), max_streams=2))
