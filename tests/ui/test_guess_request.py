"""The codes by which addresses name passages."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.errors import CharlmError
from charlm.serving.passages import Typed, Validation, Written
from charlm.ui.guess_request import code_of, parse_code, parse_guess_request

SOURCES = [
    Validation("86c4e6aa9db7", 0),
    Validation("86c4e6aa9db7", 111_539),
    Written("gpt", "d389960a77a6", 2**63 - 1),
    Written("ann/my.model-1@v2.0", "0123456789ab", 0),
    Typed("To be, or not to be — да 😀\n"),
]


def parse(**parts):
    return parse_guess_request(json.dumps({"action": "passage", **parts}))


@pytest.mark.parametrize("source", SOURCES)
def test_a_code_names_its_source(source):
    assert parse_code(code_of(source)) == source
    assert parse(code=code_of(source)) == (source, None)
    assert parse(action="another", code=code_of(source)) == (None, source)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300))
def test_any_typed_text_survives(text):
    assert parse_code(code_of(Typed(text))) == Typed(text)
    assert parse(text=text) == (Typed(text) if text.strip() else None, None)


def test_a_typed_text_cannot_be_read_in_its_code():
    assert "love" not in code_of(Typed("all our love"))


def test_without_a_code_any_passage_will_do():
    assert parse() == parse(action="another") == (None, None)
    assert parse(code="", text=" ") == (None, None)


CODES = ["x", "corpus.86c4e6aa9db7", "corpus.86C4E6AA9DB7.1", "corpus.86c4e6aa9db7.-1"]
CODES += [
    "corpus.86c4e6aa9db7.9999999999",
    "corpus.86c4e6aa9db7.١",
    "model.1.abc",
    "model..abc.gpt",
]
CODES += ["typed.", "typed.A", "typed.____", "typed.4pyT!", "TYPED.eHg"]


@pytest.mark.parametrize("code", CODES)
def test_other_codes_get_a_sentence(code):
    with pytest.raises(CharlmError, match="is incomplete; copy the whole address"):
        parse(code=code)


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ({"code": "model.9999999999999999999.abc.gpt"}, "passage is 9999999999999999999; it must"),
        ({"code": f"model.1.abc.{'x' * 301}"}, "passage has 301 characters"),
        ({"code": "x" * 8_001}, "code has 8,001 characters; at most 8,000"),
        ({"text": "x" * 2_001}, "text has 2,001 characters; at most 2,000"),
        ({"text": ["x"]}, "text is \\['x'\\]; it must be a text"),
        ({"action": "generate"}, "action must be one of passage, another"),
    ],
)
def test_requests_are_bounded(parts, sentence):
    with pytest.raises(CharlmError, match=sentence):
        parse(**parts)
