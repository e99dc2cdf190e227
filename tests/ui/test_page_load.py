"""What an address and the fields of an earlier visit fill in."""

import json
from types import SimpleNamespace

import pytest

from charlm.serving.limits import Limits
from charlm.ui.page_load import problems_with_tab, typed_fields

FIELDS = ["To be", 300, 0.5, 3, 0.0, 0.0, -1, "gpt"]
MONITOR = SimpleNamespace(statuses=lambda: {"fast": None})


def test_the_fields_of_an_earlier_visit_are_restored():
    assert typed_fields(json.dumps(FIELDS), Limits()) == FIELDS


OTHERS = ["", "[]", "{}", "null", "7", "[" * 100_000, json.dumps(FIELDS[:-1])]
OTHERS += [json.dumps([*FIELDS[:2], 9, *FIELDS[3:]]), json.dumps([["x"], *FIELDS[1:]])]


@pytest.mark.parametrize("text", OTHERS)
def test_other_fields_are_not(text):
    assert typed_fields(text, Limits()) is None


@pytest.mark.parametrize(
    ("query", "problems"),
    [
        ({}, []),
        ({"tab": "watch", "run": "fast"}, []),
        ({"tab": "xyz"}, ["In this address, tab is 'xyz'; it must be play or watch."]),
        ({"run": ""}, ["In this address, run is ''; there is no such run here."]),
    ],
)
def test_an_unknown_tab_or_run_is_a_problem(query, problems):
    assert problems_with_tab(query, MONITOR) == problems
