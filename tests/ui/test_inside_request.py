"""The request of the tab Look inside, as the browser sends it."""

import json

import pytest

from charlm.errors import CharlmError
from charlm.serving.limits import Limits
from charlm.ui.inside_html import PANELS
from charlm.ui.inside_request import parse_inside_request

PARTS = {
    "action": "inspect",
    "text": "KING:\nthe",
    "prompt_length": 5,
    "index": 9,
    "model": "small",
}
PARTS |= {"panel": "heads", "seed": 7, "temperature": 0.5}


def parse(**changes):
    return parse_inside_request(json.dumps(PARTS | changes), Limits())


def test_a_request_has_the_text_the_letter_and_the_panel():
    wanted = parse(off="1.mlp", has_text=True, serial=4)
    assert (wanted.shown.text, wanted.shown.index, wanted.panel) == (PARTS["text"], 9, "heads")
    assert wanted.shown.link.settings[-1] == 7
    assert (wanted.off, wanted.changed, wanted.other, wanted.serial) == ("1.mlp", -1, "", 4)
    assert (wanted.has_text, wanted.costs_of) == (True, "")
    assert {parse(panel=panel).panel for panel in PANELS} == set(PANELS)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"index": 10}, "index is 10; the text has 9 characters"),
        ({"index": -1}, "index is -1; it must be a whole number from 0 to 20,000"),
        ({"panel": "all"}, "panel is 'all'; it must be one of " + ", ".join(PANELS)),
        ({"panel": ["heads"]}, "panel is ['heads']; it must be one of " + ", ".join(PANELS)),
        ({"action": "look"}, "action must be one of inspect"),
        ({"text": "a" * 20_001}, "text has 20,001 characters; at most 20,000 are taken here"),
        ({"off": "0," * 1_001}, "off has 2,002 characters; at most 2,000 are taken here"),
        ({"other": "ab"}, "other has 2 characters; at most 1 are taken here"),
        ({"changed": 1.5}, "changed is 1.5; it must be a whole number from -1 to 20,000"),
        ({"serial": "x"}, "serial is 'x'; it must be a whole number from 0 to"),
        ({"temperature": 9}, "temperature is 9; it must be a number from 0 to 2"),
    ],
)
def test_a_request_out_of_bounds_is_refused(changes, sentence):
    with pytest.raises(CharlmError) as error:
        parse(**changes)
    assert str(error.value).startswith(sentence)


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '{"action": "inspect"}'])
def test_what_is_no_request_is_refused(text):
    with pytest.raises(CharlmError):
        parse_inside_request(text, Limits())
