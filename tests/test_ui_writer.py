import itertools
import math

import pytest

import charlm
from charlm.config import CharlmError
from charlm.hub.follow import Followed
from charlm.limits import Limits
from charlm.ui import writer
from charlm.ui.library import Library


@pytest.fixture(scope="module")
def library(trained):
    return Library(trained, Followed(), Limits())


def settings(**changes):
    defaults = {
        "max_new_chars": 40,
        "temperature": 0.8,
        "top_k": 0,
        "top_p": 0.0,
        "min_p": 0.0,
        "seed": 1,
    }
    return writer.sample_config(**(defaults | changes))


def test_drafts_grow_into_what_generate_gives(library):
    drafts = list(writer.write(library, "KING:\n", "small-gpt", settings(max_new_chars=400)))
    assert [d.done for d in drafts] == [False] * (len(drafts) - 1) + [True]
    for a, b in itertools.pairwise(drafts):
        assert b.text.startswith(a.text)
    last = drafts[-1]
    assert (last.given, last.new_chars, last.seed, last.dropped) == (6, 400, 1, "")
    assert last.text == charlm.generate(*library.get("small-gpt"), "KING:\n", 400, seed=1)


def test_it_stops_when_it_is_told_to(library):
    drafts = writer.write(library, "", "small-gpt", settings(max_new_chars=5000), lambda: False)
    *_, last = drafts
    assert last.done
    assert last.stopped
    assert last.new_chars == 1


def test_a_random_seed_is_told(library):
    seeds = {settings(seed=-1).seed for _ in range(5)}
    assert len(seeds) == 5
    assert min(seeds) >= 0


def test_dropped_characters_are_told(library):
    *_, last = writer.write(library, "😀😀", "small-gpt", settings(max_new_chars=5))
    assert (last.dropped, last.given, len(last.text)) == ("😀", 0, 5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_new_chars": 0}, "max_new_chars is 0"),
        ({"max_new_chars": -1}, "max_new_chars is -1"),
        ({"max_new_chars": 10**9}, "max_new_chars is 1000000000; it must be from 1 to 5000"),
        ({"max_new_chars": 1.5}, "max_new_chars is 1.5"),
        ({"max_new_chars": None}, "max_new_chars is None"),
        ({"temperature": -1}, "temperature is -1.0"),
        ({"temperature": math.nan}, "temperature is nan"),
        ({"temperature": "hot"}, "temperature is 'hot'"),
        ({"top_p": 2}, "top_p is 2.0"),
        ({"min_p": -0.1}, "min_p is -0.1"),
        ({"top_k": -5}, "top_k is -5"),
        ({"seed": -2}, "seed is -2"),
        ({"seed": None}, "seed is None"),
    ],
)
def test_a_bad_setting_gets_one_clear_sentence(changes, message):
    with pytest.raises(CharlmError, match=message):
        settings(**changes)


def test_browsers_send_whole_numbers_as_floats():
    assert settings(max_new_chars=40.0, top_k=3.0, seed=7.0).seed == 7


def test_a_prompt_has_a_longest_length(library):
    with pytest.raises(CharlmError, match="has 100,000 characters; at most 10,000"):
        next(writer.write(library, "x" * 100_000, "small-gpt", settings()))
    with pytest.raises(CharlmError, match="must be a text, not NoneType"):
        next(writer.write(library, None, "small-gpt", settings()))


def test_scores_are_bits_of_the_true_character(library):
    result = writer.score(library, "KING:\nthe king", "small-gpt")
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
def test_nothing_to_score_is_said(library, text):
    with pytest.raises(CharlmError, match="no character that this model knows"):
        writer.score(library, text, "small-gpt")


def test_it_rests_while_a_run_trains(library, monkeypatch):
    naps = []
    monkeypatch.setattr(writer.time, "sleep", naps.append)
    config = settings(max_new_chars=1000)
    alone = list(writer.write(library, "KING:\n", "small-gpt", config))
    assert naps == []
    shared = list(writer.write(library, "KING:\n", "small-gpt", config, sharing=lambda: True))
    assert len(naps) == len(shared) - 2 > 0  # after each update but the first and the last
    assert min(naps) >= writer.REST * writer.UPDATE_SECONDS / 2
    assert shared[-1].text == alone[-1].text
