"""Text requests: settings, updates, stopping, errors."""

import asyncio
import itertools
import time
from contextlib import aclosing

import pytest
import torch
from waiting import wait_until

import charlm
from charlm.errors import CharlmError
from charlm.generation.stream import Stream
from charlm.hub.follow import HubFollowers
from charlm.serving.clients import NOBODY, Client
from charlm.serving.generate import TextRequest, follow, generate, sample_config
from charlm.serving.inspection import score_text
from charlm.serving.library import Library
from charlm.serving.limits import Limits


@pytest.fixture(scope="module")
def library(trained):
    return Library(trained, HubFollowers(), Limits())


def settings(**changes):
    defaults = {
        "max_new_chars": 40,
        "temperature": 0.8,
        "top_k": 0,
        "top_p": 0.0,
        "min_p": 0.0,
        "seed": 1,
    }
    return sample_config(**(defaults | changes))


def request(prompt, written="", keep_alternatives=False, **changes):
    config = settings(**changes)
    return TextRequest(prompt, "small-gpt", config, written, keep_alternatives=keep_alternatives)


def collect_updates(library, request, *args):
    """Return every Progress of a generation."""

    async def collect():
        return [progress async for progress in generate(library, request, *args)]

    return asyncio.run(collect())


def test_updates_grow_into_the_text_of_charlm_generate(library):
    updates = collect_updates(library, request("KING:\n", max_new_chars=400))
    assert [update.done for update in updates] == [False] * (len(updates) - 1) + [True]
    for a, b in itertools.pairwise(updates):
        assert b.text.startswith(a.text)
    last = updates[-1]
    assert (last.prompt_length, last.new_chars, last.seed, last.dropped) == (6, 400, 1, "")
    assert last.text == charlm.generate(*library.get("small-gpt"), "KING:\n", 400, seed=1)


@pytest.mark.parametrize("prompt", ["KING:\n", ""])
def test_a_text_continued_in_parts_equals_one_longer_text(library, prompt):
    whole = collect_updates(library, request(prompt, max_new_chars=90))[-1]
    written = ""
    for part in (1, 1, 60, 28):
        last = collect_updates(library, request(prompt, written, max_new_chars=part))[-1]
        written = last.text[last.prompt_length :]
    assert (last.text, last.new_chars) == (whole.text, 90)


def test_the_chances_of_a_letter_are_those_it_was_drawn_from(library):
    model, tokenizer = library.get("small-gpt")
    text = "KING:\n"
    for _ in range(10):  # within the context
        one = request(text, keep_alternatives=True, max_new_chars=1, temperature=0.7, top_k=4)
        last = collect_updates(library, one)[-1]
        chars, probabilities = zip(*last.alternatives["stages"][-1]["chars"], strict=True)
        assert list(probabilities) == sorted(probabilities, reverse=True)
        assert sum(probabilities) == pytest.approx(1)
        logits = model(torch.tensor([tokenizer.encode(text)]))[0, -1] / 0.7
        top = logits.topk(4)
        assert chars == tuple(tokenizer.decode(top.indices.tolist()))
        assert probabilities == pytest.approx(top.values.softmax(0).tolist(), rel=1e-3)
        assert last.text == text + last.text[-1]
        assert last.text[-1] in chars
        text = last.text


def test_a_generation_stops_on_request(library):
    stop_requested = iter([False, False, True]).__next__
    long = request("", max_new_chars=5000)
    *_, last = collect_updates(library, long, Client("ann"), stop_requested)
    assert last.done
    assert last.stopped
    assert 0 < last.new_chars < 5000


def test_closing_the_generator_ends_the_stream(library):
    async def leave():
        updates = generate(library, request("", max_new_chars=5000))
        await anext(updates)
        await updates.aclose()

    asyncio.run(leave())
    engine, _ = library.engine("small-gpt")
    wait_until(lambda: not len(engine))


class SlowEngine:
    """An engine whose streams get their first character after a while, and no more."""

    def __init__(self, model, seconds):
        self.model, self.seconds = model, seconds

    def submit(self, ids, config, client, session, off, keep_logits):
        stream = Stream(ids, config)
        asyncio.get_running_loop().call_later(self.seconds, stream.ids.append, 1)
        return stream

    def stop(self, stream):
        stream.stopped = True

    def queue_position(self, stream):
        return 0

    def __len__(self):
        return 200


def test_the_first_character_is_shown_soon_where_updates_are_rare(library):
    model, tokenizer = library.get("small-gpt")

    async def first():
        engine, began = SlowEngine(model, 0.3), time.monotonic()
        updates = follow(engine, tokenizer, request("KING:"), NOBODY, lambda: False, lambda: 20)
        async with aclosing(updates):
            async for progress in updates:
                if progress.new_chars:
                    return time.monotonic() - began
        return None

    assert asyncio.run(first()) < 10


def test_a_random_seed_is_reported():
    seeds = {settings(seed=-1).seed for _ in range(5)}
    assert len(seeds) == 5
    assert min(seeds) >= 0


def test_dropped_characters_are_reported(library):
    *_, last = collect_updates(library, request("😀😀", max_new_chars=5))
    assert (last.dropped, last.prompt_length, len(last.text)) == ("😀", 0, 5)


def test_a_score_has_the_bits_of_each_character(library):
    result = score_text(library, "KING:\nthe king", "small-gpt")
    chars = result["chars"]
    assert "".join(c["char"] for c in chars) == "KING:\nthe king"
    assert result["bits_per_char"] == pytest.approx(sum(c["bits"] for c in chars) / len(chars))
    for c in chars:
        probabilities = [p for _, p in c["top"]]
        assert probabilities == sorted(probabilities, reverse=True)
        assert dict(map(tuple, c["top"])).get(c["char"], 2 ** -c["bits"]) == pytest.approx(
            2 ** -c["bits"], rel=1e-4
        )


@pytest.mark.parametrize("text", ["", "😀"])
def test_a_text_without_known_characters_cannot_be_scored(library, text):
    with pytest.raises(CharlmError, match="no character that this model knows"):
        score_text(library, text, "small-gpt")
