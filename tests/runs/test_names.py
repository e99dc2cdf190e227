import os

import pytest

from charlm.config import ConfigError
from charlm.runs.log import LOG_FILE
from charlm.runs.names import check_name, free_name, list_runs


def test_runs_are_listed_newest_first(trained_copy):
    (trained_copy / "older").mkdir()
    (trained_copy / "older" / LOG_FILE).touch()
    os.utime(trained_copy / "older" / LOG_FILE, (1e9, 1e9))
    (trained_copy / "no-run").mkdir()
    (trained_copy / ".hidden").mkdir()
    (trained_copy / ".hidden" / LOG_FILE).touch()
    assert list_runs(trained_copy) == ["small-gpt", "older"]


@pytest.mark.parametrize("name", ["../x", "a b", "", ".", "A", "x" * 65, "x/y", None, 3, "x\n"])
def test_invalid_names_are_rejected(name):
    with pytest.raises(ConfigError, match="cannot be a run's name"):
        check_name(name)


def test_the_first_free_number_is_added_to_the_preset():
    assert free_name("fast", set()) == "fast"
    assert free_name("fast", {"fast", "fast-3"}) == "fast-2"
