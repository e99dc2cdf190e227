"""What the mode Compare asks for, in an address and as JSON."""

import json
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.errors import CharlmError
from charlm.serving.comparison import Writer
from charlm.serving.limits import Limits
from charlm.ui.compare_request import (
    ComparisonRequest,
    compare_value,
    comparison_in,
    parse_chances_request,
    requested_comparison,
    writers_in,
)
from charlm.ui.link import Link

SETTINGS = (500, 0.8, 0, 0.0, 0.0, 7)
FIELDS = ["ROMEO:\n", "gpt", *SETTINGS]
names = st.text("ab,~%#/@ é", min_size=1, max_size=8)
parts = st.sampled_from(["", "3", "0.head11", "2.mlp", "1.conv"])
writers = st.builds(Writer, names, parts)


def test_an_address_says_in_short_who_writes():
    three = Writer("shakespeare"), Writer("bigram"), Writer("gpt", "3.head0")
    assert compare_value(three) == "bigram,gpt~3.head0"
    assert compare_value((Writer("gpt", "3"), Writer("gpt"))) == "~3,gpt"
    assert compare_value((Writer("fast#0"), Writer("fast#500"))) == "fast#500"
    assert writers_in("bigram,gpt~3.head0", "shakespeare") == three
    assert writers_in("~3,gpt", "gpt") == (Writer("gpt", "3"), Writer("gpt"))


@given(st.lists(writers, min_size=2, max_size=3), st.text(max_size=5))
def test_an_address_gives_the_same_comparison(chosen, prompt):
    chosen = tuple(Writer(w.model, w.off, f"{n}a") for n, w in enumerate(chosen))
    request = ComparisonRequest(Link(prompt, "x", "", SETTINGS), chosen)
    params = dict(parse_qsl(request.query()[1:], keep_blank_values=True))
    found, problems = comparison_in(params, "default", Limits())
    assert (found.writers, found.link.shared(), problems) == (chosen, request.link.shared(), [])
    assert requested_comparison([*FIELDS, request.json()], Limits()).writers == chosen


def test_an_address_may_leave_out_what_a_fresh_page_has():
    found, problems = comparison_in({"compare": "gpt"}, "bigram", Limits())
    assert found.writers == (Writer("bigram"), Writer("gpt"))
    assert (found.link.prompt, problems) == ("ROMEO:\n", [])
    assert comparison_in({"prompt": "KING"}, "bigram", Limits()) == (None, [])
    long = ComparisonRequest(Link("é" * 3_000, "", "", SETTINGS), found.writers)
    assert long.query() == ""


BAD = ["", ",", "~3", "gpt,", "a,b,c", "~3,a,b,c", "gpt~x", "gpt~3.", "gpt~3.mlp2", "~,gpt~1.2"]
BAD += ["x" * 2_001, "~9999,gpt", "~3,~4"]


@pytest.mark.parametrize("value", BAD)
def test_other_values_of_an_address_are_a_sentence(value):
    found, problems = comparison_in({"compare": value}, "bigram", Limits())
    assert found is None and len(problems) == 1
    assert problems[0].startswith("In this address, ") and problems[0].endswith(".")
    request = json.dumps({"action": "address", "query": f"?compare={value}"})
    with pytest.raises(CharlmError):
        requested_comparison([*FIELDS, request], Limits())


def test_a_request_takes_the_fields_or_what_is_shared():
    two = [{"model": "gpt", "off": "3"}, {"model": "fast#500"}]
    request = {"action": "compare", "writers": two, "serial": 4}
    found = requested_comparison([*FIELDS, json.dumps(request)], Limits())
    assert found.writers == (Writer("gpt", "3"), Writer("fast#500"))
    assert (found.link.prompt, found.link.settings, found.serial) == ("ROMEO:\n", SETTINGS, 4)
    request |= {"shared": {"prompt": "KING", "seed": -1, "temperature": 1}, "model": "bigram"}
    found = requested_comparison([*FIELDS, json.dumps(request | {"writers": []})], Limits())
    assert (found.link.prompt, found.link.model, found.writers) == ("KING", "bigram", ())
    assert found.link.settings[1] == 1 and found.link.settings[-1] >= 0
    for action in ("generate", "continue", "link"):
        assert requested_comparison([*FIELDS, json.dumps({"action": action})], Limits()) is None
    query = json.dumps({"action": "address", "query": "?prompt=KING"})
    assert requested_comparison([*FIELDS, query], Limits()) is None


W = [{"model": "gpt"}, {"model": "bigram"}]
T = [{"text": "KING", "prompt_length": 2}] * 2


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"writers": None}, "writers is None; it must be a list of 2 to 3 writers, or empty"),
        ({"writers": W[:1]}, "writers is [{'model': 'gpt'}]; it must be a list of 2 to 3 writers"),
        ({"writers": W * 2}, "writers is ["),
        ({"writers": [1, 2]}, "writer is 1; it must be an object with model and off"),
        ({"writers": [{"model": "x" * 301}, W[0]]}, "model has 301 characters; at most 300"),
        ({"writers": [{"model": 3}, W[0]]}, "model is 3; it must be a text"),
        ({"writers": [{"model": "a", "off": "1,2"}, W[0]]}, "off is '1,2'; it must be a part such"),
        ({"shared": []}, "shared is []; it must be an object with a prompt and settings"),
        ({"shared": {"seed": -2}}, "seed is -2; it must be a whole number"),
        ({"shared": {"prompt": "a" * 20_001}}, "prompt has 20,001 characters"),
        ({"serial": 0.5}, "serial is 0.5; it must be a whole number"),
        ({"texts": T[:1]}, "texts is ["),
        ({"texts": [{"text": 1}, T[0]]}, "text is 1; it must be a text"),
        ({"texts": [3, 4], "index": -1}, "index is -1; it must be a whole number"),
        ({"writers": [], "texts": []}, "texts is []; it must be a list with a text for each"),
        ({"action": "look"}, "action must be one of "),
    ],
)
def test_requests_out_of_bounds_are_refused(changes, sentence):
    request = {"action": "compare_look", "writers": W, "texts": T, "index": 3} | changes
    with pytest.raises(CharlmError) as error:
        parse_chances_request(json.dumps(request), Limits())
    assert str(error.value).startswith(sentence)
    if {"texts", "index", "action"} & changes.keys():
        return
    with pytest.raises(CharlmError) as error:
        text = json.dumps(request | {"action": "compare"})
        requested_comparison([*FIELDS, text], Limits())
    assert str(error.value).startswith(sentence)


def test_a_request_for_chances_has_a_text_for_each_writer():
    request = {"action": "compare_look", "writers": W, "texts": T, "index": 3}
    request |= {"shared": {"temperature": 0.5, "seed": 9}}
    found = parse_chances_request(json.dumps(request), Limits())
    assert found.texts == (("KING", 2), ("KING", 2)) and found.index == 3
    assert found.comparison.link.settings[1] == 0.5
    assert found.comparison.writers == (Writer("gpt"), Writer("bigram"))
