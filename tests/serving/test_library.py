"""The library: names, order, loading, summaries, damaged models."""

import os
import shutil

import pytest

from charlm.errors import CharlmError
from charlm.hub.follow import HubFollowers
from charlm.models import checkpoint
from charlm.serving.library import Library
from charlm.serving.limits import Limits


def make_library(directory, start=None):
    return Library(directory, HubFollowers(), Limits(), start)


def test_bundled_models_come_first_then_the_newest(model_directory):
    folder = model_directory.parent
    for age, name in enumerate(["bigram", "newer", "shakespeare", "older"]):
        shutil.copytree(model_directory, folder / name)
        os.utime(folder / name / checkpoint.WEIGHTS, (1e9 - age, 1e9 - age))
    os.utime(model_directory / checkpoint.WEIGHTS, (2e9, 2e9))
    (folder / "no-model").mkdir()
    shutil.copytree(model_directory, folder / ".unfinished")
    library = make_library(folder)
    assert library.names() == ["shakespeare", "bigram", "small", "newer", "older"]
    assert library.default() == "shakespeare"
    assert make_library(folder, folder / "older").default() == "older"


def test_a_model_is_loaded_once_and_again_when_it_changes(model_directory):
    library = make_library(model_directory.parent)
    model, _ = library.get("small")
    assert library.get("small")[0] is model
    checkpoint.save_weights(model_directory, model)
    os.utime(model_directory / checkpoint.WEIGHTS, (3e9, 3e9))
    assert library.get("small")[0] is not model


@pytest.mark.parametrize("name", ["none", "", "../small", "small/", None, 3, [], {}])
def test_the_error_for_an_unknown_name_lists_the_models(model_directory, name):
    with pytest.raises(CharlmError, match=r"there is no model .*; there is: small"):
        make_library(model_directory.parent).get(name)


def test_an_error_says_how_to_get_a_model_if_there_is_none(tmp_path):
    with pytest.raises(CharlmError, match=r"train one with train\.py"):
        make_library(tmp_path).default()
    with pytest.raises(CharlmError, match="is neither a model directory"):
        make_library(tmp_path, tmp_path / "some")


def test_a_summary_comes_from_config_and_log(trained):
    summary = make_library(trained).summary("small-gpt")
    assert (summary.kind, summary.block_size) == ("gpt", 16)
    assert summary.parameters > 1000
    assert 0 < summary.val_loss < 5
    assert summary.sample
    assert summary.sample_step == 30


@pytest.mark.parametrize("log", [None, b"", b"damaged\n", b"\0\0\0\n", b"[]\n"])
def test_a_model_without_a_readable_log_has_a_summary(model_directory, log):
    if log is not None:
        (model_directory / "run.jsonl").write_bytes(log)
    summary = make_library(model_directory.parent).summary("small")
    assert (summary.parameters, summary.val_loss, summary.sample) == (None, None, "")


def test_a_damaged_model_does_not_affect_the_others(model_directory):
    shutil.copytree(model_directory, model_directory.parent / "broken")
    (model_directory.parent / "broken" / checkpoint.WEIGHTS).write_bytes(b"torn")
    library = make_library(model_directory.parent)
    with pytest.raises(CharlmError, match="damaged"):
        library.get("broken")
    assert library.get("small")
