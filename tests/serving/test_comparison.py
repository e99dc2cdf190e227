"""Models that write from the same prompt with the same random numbers."""

import asyncio
import shutil
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_models import describe, make_model

from charlm.config import SampleConfig
from charlm.data.tokenizer import CharTokenizer
from charlm.errors import CharlmError
from charlm.hub.follow import HubFollowers
from charlm.inspection.scores import score
from charlm.runs.directory import create_run_directory
from charlm.serving.clients import NOBODY
from charlm.serving.comparison import (
    Comparison,
    Writer,
    compare,
    compared_chances,
    first_difference,
    surprises,
)
from charlm.serving.generate import TextRequest, generate
from charlm.serving.inspection import next_alternatives
from charlm.serving.library import Library
from charlm.serving.limits import Limits

CONFIG = SampleConfig(60, 0.9, top_k=12, seed=3)
ONE = replace(CONFIG, max_new_chars=1)
WRITERS = Writer("small"), Writer("small", "0.mlp"), Writer("pairs")


@pytest.fixture
def folder(model_directory, tokenizer):
    """A folder of models: `small`, a bigram model `pairs`, and `foreign`, of another alphabet."""
    models = model_directory.parent
    foreign = CharTokenizer.fit("KINGthe é\n:")
    for name, kind, known in (("pairs", "bigram", tokenizer), ("foreign", "today", foreign)):
        network = make_model(kind, known.vocab_size)
        create_run_directory(models / name, describe(kind, known.vocab_size), network, known)
    return models


def open_library(folder, **limits):
    return Library(folder, HubFollowers(), Limits(**limits))


@pytest.fixture
def library(folder):
    return open_library(folder)


def run(library, writers=WRITERS, prompt="KING:\nthe", stop=lambda: False, config=CONFIG):
    """Return all states of a comparison."""

    async def find(writer):
        library.path(writer.model)
        return writer, f"{writer.model} was found"

    async def write():
        return [c async for c in compare(library, writers, prompt, config, NOBODY, find, stop)]

    return asyncio.run(write())


def generated(library, writer, prompt):
    async def write():
        request = TextRequest(prompt, writer.model, CONFIG, off=writer.off)
        async for progress in generate(library, request):
            last = progress
        return last.text

    return asyncio.run(write())


@pytest.mark.parametrize("prompt", ["", "KING:\nthe"])
def test_each_text_is_that_of_generation(library, prompt):
    *before, last = run(library, prompt=prompt)
    assert last.done and not any(comparison.done for comparison in before[:1])
    texts = [written.text for written in last.texts]
    assert texts == [generated(library, writer, prompt) for writer in WRITERS]
    assert len(set(texts)) == 3
    assert last.new_chars == 3 * 60
    assert [written.notice for written in last.texts] == [f"{w.model} was found" for w in WRITERS]


def test_an_error_ends_the_text_of_its_writer_only(library):
    shutil.copytree(library.directory / "small", library.directory / "damaged")
    (library.directory / "damaged" / "model.safetensors").write_bytes(b"x")
    writers = Writer("gone"), Writer("damaged"), Writer("small")
    gone, damaged, small = run(library, writers)[-1].texts
    assert "there is no model 'gone'" in gone.error and not gone.text
    assert "damaged" in damaged.error and not damaged.text
    assert not small.error and small.text == generated(library, Writer("small"), "KING:\nthe")
    pairs, small, _ = run(library, (Writer("pairs", "0.mlp"), Writer("small", "9"), WRITERS[0]))[
        -1
    ].texts
    assert pairs.error == "this model has no parts to switch off"
    assert small.error.startswith("there is no part '9'")


def test_other_errors_are_raised(library, monkeypatch):
    monkeypatch.setattr(library, "engine", lambda name: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(library)


def test_a_stop_ends_all_texts(library):
    last = run(library, stop=lambda: True, config=SampleConfig(5_000, seed=1))[-1]
    assert last.done
    assert all(written.progress.stopped for written in last.texts if written.progress)
    assert last.new_chars < 10_000


def test_closing_ends_all_texts(library):
    async def find(writer):
        return writer, ""

    async def begin():
        config = SampleConfig(5_000, seed=1)
        updates = compare(library, WRITERS, "KING", config, NOBODY, find)
        async for comparison in updates:
            if all(written.progress for written in comparison.texts):
                break
        await updates.aclose()

    asyncio.run(begin())
    for name in ("small", "pairs"):
        engine, _ = library.engine(name)
        assert all(stream.ended for stream in engine.scheduler.streams())


def test_a_comparison_has_as_many_texts_at_a_time_as_a_visitor(folder):
    """A full queue is an error of the text that does not get in."""
    library = open_library(folder, max_per_visitor=1)
    most, engine = 0, library.engine("small")[0]
    submit = engine.submit

    def counted(*arguments, **options):
        nonlocal most
        stream = submit(*arguments, **options)
        own = [stream for stream in engine.scheduler.streams() if not stream.ended]
        most = max(most, len(own))
        return stream

    engine.submit = counted
    last = run(library, [Writer("small")] * 3)[-1]
    assert most == 1
    assert len({written.text for written in last.texts}) == 1
    assert not any(written.error for written in last.texts)


@given(st.lists(st.text("ab\n", max_size=6), max_size=3))
def test_texts_first_differ_where_two_of_them_have_other_characters(texts):
    def differ(index):
        return len({text[index] for text in texts if index < len(text)}) > 1

    found = first_difference(texts)
    assert [i for i in range(6) if differ(i)][:1] == ([] if found is None else [found])


def test_surprise_is_the_score_of_the_letters_after_the_prompt(library):
    comparison = run(library, [*WRITERS[:2], Writer("foreign")])[-1]
    bits = asyncio.run(surprises(library, comparison, NOBODY))
    assert bits.keys() == {(reader, text) for reader in range(3) for text in range(3)}
    network, tokenizer = library.get("small")
    for number, off in ((0, ()), (1, ("0.mlp",))):
        for text in (0, 1):
            chars = score(network, tokenizer, comparison.texts[text].text, off)["chars"][9:]
            expected = sum(char["bits"] for char in chars) / 60
            assert bits[number, text] == (pytest.approx(expected), "")
    _, dropped = bits[2, 0]
    assert set(dropped) == set(comparison.texts[0].text) - set("KINGthe é\n:") - set("kingTHEÉ")
    only = Comparison((comparison.texts[0], run(library, [Writer("gone")])[-1].texts[0]))
    assert asyncio.run(surprises(library, only, NOBODY)).keys() == {(0, 0)}


def test_a_reader_who_knows_nothing_of_a_text_has_no_bits(library, tmp_path):
    known = CharTokenizer.fit("κλ")
    directory = library.directory / "greek"
    network = make_model("today", known.vocab_size)
    create_run_directory(directory, describe("today", known.vocab_size), network, known)
    comparison = run(library, [Writer("small"), Writer("greek")])[-1]
    bits = asyncio.run(surprises(library, comparison, NOBODY))
    assert bits[1, 0][0] is None and set(bits[1, 0][1]) == set(comparison.texts[0].text)
    assert bits[1, 1][0] > 0


def test_chances_are_those_of_alternatives(library):
    """At every letter, each on the writer's own text, and drawn by the same random number."""
    texts = [(written.text, 9) for written in run(library)[-1].texts]
    difference = first_difference([text for text, _ in texts])
    for index in (3, difference - 1, difference, difference + 1, 40, 68):
        found = asyncio.run(compared_chances(library, NOBODY, WRITERS, CONFIG, texts, index))
        for (text, _), writer, chances in zip(texts, WRITERS, found, strict=True):
            arguments = text[:index], writer.model, ONE, None, writer.off
            expected = asyncio.run(next_alternatives(library, *arguments))
            assert chances.alternatives == expected
            assert index < 9 or expected["chosen"] == text[index]
        assert len({chances.alternatives["uniform"] for chances in found}) == 1


def test_a_letter_that_a_text_does_not_have_is_an_error_of_that_text(library):
    writers, texts = (Writer("small"), Writer("gone")), [("KING", 2), ("KING:\nthe", 2)]
    one, gone = asyncio.run(compared_chances(library, NOBODY, writers, CONFIG, texts, 6))
    assert one.error == "its text has no such letter"
    assert "there is no model 'gone'" in gone.error
    with pytest.raises(CharlmError):
        asyncio.run(next_alternatives(library, "KING", "gone", CONFIG, None))
