"""A text and a letter of it, as the tab Look inside reads it."""

import asyncio
from dataclasses import replace

import pytest

from charlm.config import SampleConfig
from charlm.errors import CharlmError
from charlm.generation.stream import context_start
from charlm.hub.follow import HubFollowers
from charlm.inspection.attention import attention
from charlm.inspection.scores import score
from charlm.models.parts import parse_parts, parts_of
from charlm.serving import inspected_text as module
from charlm.serving.generate import TextRequest, generate
from charlm.serving.inspected_text import (
    attention_at,
    bits_without,
    chances,
    changed_by,
    continuation,
    inspected_text,
    lens_at,
    part_costs,
)
from charlm.serving.library import Library
from charlm.serving.limits import Limits

CONFIG = SampleConfig(40, 0.9, top_k=12, seed=3)


@pytest.fixture
def library(model_directory):
    return Library(model_directory.parent, HubFollowers(), Limits())


def written(library, prompt, off=""):
    """Return the text of a prompt and the length of the prompt."""

    async def write():
        async for progress in generate(library, TextRequest(prompt, "small", CONFIG, off=off)):
            last = progress
        return last.text, last.prompt_length

    return asyncio.run(write())


def inspect(library, text, prompt_length, index, off):
    inspected = inspected_text(library, text, prompt_length, index, "small", CONFIG)
    return replace(inspected, off=parse_parts(inspected.network, off))


@pytest.mark.parametrize("prompt", ["", "K", "KING:\nthe crown of all our"])
@pytest.mark.parametrize("off", ["", "1.head0,0.mlp"])
def test_the_chances_of_a_written_letter_are_those_that_it_had(library, prompt, off):
    text, prompt_length = written(library, prompt, off)
    for index in (prompt_length, prompt_length + 1, prompt_length + 17, len(text) - 1):
        inspected = inspect(library, text, prompt_length, index, off)
        found = asyncio.run(chances(library, None, inspected, inspected.off))
        assert found["chosen"] == inspected.char == text[index]
        onward = asyncio.run(continuation(library, None, inspected, inspected.off, 20))
        assert onward[: len(text) - index] == text[index : index + 20]
        without_off = asyncio.run(continuation(library, None, inspected, (), 20))
        assert (without_off == onward) == (off == "")


@pytest.mark.parametrize("prompt_length", [0, 9])
def test_the_context_is_that_of_generation(library, prompt_length):
    text = "KING:\nthe crown of all our sorrow hath no crown but love and war"
    for index in range(len(text) + 1):
        inspected = inspected_text(library, text, prompt_length, index, "small", CONFIG)
        start_char = "" if min(index, prompt_length) else "\n"
        assert inspected.context == start_char + text[:index]
        first = context_start(len(inspected.context), 16) - len(start_char)
        assert inspected.start == max(0, first)
        assert inspected.char == text[index : index + 1]


def test_unknown_characters_move_the_index_with_the_text(library):
    inspected = inspected_text(library, "KI😀NG: é", 4, 5, "small", CONFIG)
    assert (inspected.text, inspected.index, inspected.char) == ("KING: e", 4, ":")
    assert inspected.prompt_length == 3
    assert inspected.dropped == "😀"
    last = inspected_text(library, "KING😀", 5, 5, "small", CONFIG)
    assert (last.text, last.index, last.char) == ("KING", 4, "")


def test_attention_changes_and_costs_are_those_of_inspection(library):
    network, tokenizer = library.get("small")
    text = "KING:\nthe crown of all our sorrow"
    inspected = inspect(library, text, 5, 20, "1.mlp")
    looked = asyncio.run(attention_at(library, None, inspected))
    assert looked == attention(network, tokenizer, text[:20], ("1.mlp",))
    changed = asyncio.run(changed_by(library, None, inspected, 19, "K"))
    assert dict(changed["before"]) != dict(changed["after"])
    bits = asyncio.run(bits_without(library, None, inspected))
    assert bits == score(network, tokenizer, text, ("1.mlp",))["bits_per_char"]

    assert asyncio.run(lens_at(library, None, inspected)) == looked["lens"]

    async def costs():
        return [group async for group in part_costs(library, None, inspected)]

    first, *groups = asyncio.run(costs())
    others = [cost for group in groups for cost in group.items()]
    assert first[""] == pytest.approx(score(network, tokenizer, text)["bits_per_char"], abs=1e-4)
    assert [part for part, _ in others] == parts_of(network)
    assert dict(others)["1.mlp"] == pytest.approx(bits, abs=1e-4)


def test_a_long_text_is_scored_up_to_the_letter(library, monkeypatch):
    monkeypatch.setattr(module, "MAX_ABLATION_CHARS", 10)
    text = "the crown of all our sorrow"
    for index, scored in ((0, text[:10]), (10, text[:10]), (15, text[5:15]), (27, text[17:])):
        inspected = inspected_text(library, text, 0, index, "small", CONFIG)
        assert inspected.scored == scored
    digests = {
        replace(inspected, **other).scored_digest
        for other in ({}, {"model": "other"}, {"index": 20}, {"text": "the crown"})
    }
    assert len(digests) == 4
    assert replace(inspected, off=("0",)).scored_digest == inspected.scored_digest


def test_an_unknown_model_is_refused(library):
    with pytest.raises(CharlmError, match="there is no model 'other'"):
        inspected_text(library, "KING", 4, 4, "other", CONFIG)
