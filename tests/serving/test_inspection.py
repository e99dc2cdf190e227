"""Requests to look inside a model, valid and refused."""

import asyncio
import json
from functools import partial

import pytest

from charlm.config import SampleConfig
from charlm.errors import CharlmError
from charlm.hub.follow import HubFollowers
from charlm.models.parts import parts_of
from charlm.serving import inspection
from charlm.serving.inspection import ablations, attention_of, next_alternatives, score_text
from charlm.serving.library import Library
from charlm.serving.limits import Limits

PARTS = "0.head0, 0.head1, 0.mlp, 0, 1.head0, 1.head1, 1.mlp, 1"


@pytest.fixture
def library(model_directory):
    return Library(model_directory.parent, HubFollowers(), Limits())


def alternatives_of(library, text, model, off=""):
    return asyncio.run(next_alternatives(library, text, model, SampleConfig(1), None, off))


@pytest.mark.parametrize("function", [score_text, attention_of, alternatives_of])
def test_an_unknown_part_is_refused_with_those_that_exist(library, function):
    with pytest.raises(CharlmError) as error:
        function(library, "KING", "small", "1.mlp, 0.conv")
    assert str(error.value) == f"there is no part '0.conv'; there is: {PARTS}"
    assert function(library, "KING", "small", "") == function(library, "KING", "small")
    different = function(library, "KING", "small", " 1.mlp,0.head0 ")
    assert different != function(library, "KING", "small")


@pytest.mark.parametrize("function", [score_text, attention_of, ablations])
@pytest.mark.parametrize("text", ["", "😀"])
def test_a_text_without_known_characters_is_refused(library, function, text):
    with pytest.raises(CharlmError) as error:
        function(library, text, "small")
    sentence = "the text has no character that this model knows; give it some"
    assert str(error.value) == sentence


def test_alternatives_follow_an_empty_text_too(library):
    for text in ("", "😀"):
        result = alternatives_of(library, text, "small")
        assert result == alternatives_of(library, "\n", "small")  # the start character


@pytest.mark.parametrize("function", [score_text, attention_of, ablations, alternatives_of])
def test_an_unknown_model_is_refused(library, function):
    with pytest.raises(CharlmError) as error:
        function(library, "KING", "nobody/nothing")
    assert str(error.value) == "there is no model 'nobody/nothing'; there is: small"


def test_characters_that_the_model_does_not_know_are_left_out(library):
    for function in (score_text, attention_of, ablations, alternatives_of):
        ask = partial(function, library, model="small")
        assert ask(text="KI😀NG:\r\n") == ask(text="KING:\n")


def test_a_text_over_the_limit_has_no_ablation(library, monkeypatch):
    monkeypatch.setattr(inspection, "MAX_ABLATION_CHARS", 1_050)
    with pytest.raises(CharlmError) as error:
        ablations(library, "K" * 1_051, "small")
    sentence = "the text has 1,051 characters; at most 1,050 are read without each part"
    assert str(error.value) == sentence
    assert ablations(library, "K" * 1_050 + "😀", "small")["bits_per_char"] > 0


def test_ablations_have_every_part_and_the_whole(library):
    network, _ = library.get("small")
    result = ablations(library, "KING:\nthe king", "small")
    assert list(result) == ["bits_per_char", "parts"]
    whole = score_text(library, "KING:\nthe king", "small")["bits_per_char"]
    assert result["bits_per_char"] == pytest.approx(whole, abs=1e-4)
    assert [part["part"] for part in result["parts"]] == parts_of(network) == PARTS.split(", ")
    for part in result["parts"]:
        without = score_text(library, "KING:\nthe king", "small", part["part"])
        assert part["bits_per_char"] == pytest.approx(without["bits_per_char"], abs=1e-4)
    json.dumps(result, allow_nan=False)
