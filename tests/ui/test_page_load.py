"""What an address and the fields of an earlier visit fill in."""

import json

import pytest

from charlm.serving.limits import Limits
from charlm.ui.first_paint import TABS
from charlm.ui.page_load import tabs_query, typed_fields

FIELDS = ["To be", 300, 0.5, 3, 0.0, 0.0, -1, "gpt"]


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
        ({"tab": "inside", "panel": "lens", "text": "KING"}, []),
        ({"embed": "watch", "tab": "play"}, []),
        ({"tab": "xyz"}, [f"tab is 'xyz'; it must be one of {', '.join(TABS)}"]),
        ({"embed": ""}, [f"embed is ''; it must be one of {', '.join(TABS)}"]),
        ({"hide": "hub,xyz"}, ["hide is 'xyz'; it must be one of settings, train, hub"]),
        ({"run": ""}, ["run is ''; there is no such run here"]),
        ({"panel": ""}, ["panel is ''; it must be one of context, heads, lens, parts, change"]),
        ({"text": "a" * 20_001}, ["text has 20,001 characters; at most 20,000 are taken here"]),
    ],
)
def test_what_an_address_says_of_the_tabs_is_checked(query, problems):
    values, found = tabs_query(query, ["fast"])
    assert found == [f"In this address, {problem}." for problem in problems]
    assert values == ({} if problems else query)
