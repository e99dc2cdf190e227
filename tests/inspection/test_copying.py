"""Pieces of a text that stand in a training text, against brute force."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.inspection.copying import (
    CONTEXT,
    MAX_CONTEXTS,
    MIN_SPANS,
    Piece,
    TrainingIndex,
    baseline,
    copied,
    lengths_of,
)

# few letters repeat often; others are beyond UTF-16's first plane, combine, or are rare
ALPHABETS = ["a", "ab", "ab\n", "aé😀👍\u0301", "абвĀ中𝄞\U0010ffff"]
TEXTS = st.sampled_from(ALPHABETS).flatmap(
    lambda chars: st.tuples(st.text(chars, max_size=60), st.text(chars + "x", max_size=40))
)


def brute_force(training, text):
    """Return (the maximal spans, the lengths) as their definitions say."""
    pieces = {(i, j) for j in range(len(text) + 1) for i in range(j) if text[i:j] in training}
    maximal = {
        (i, j) for i, j in pieces if not any((k, n) in pieces for k, n in [(i - 1, j), (i, j + 1)])
    }
    lengths = [max((j - i for i, j in pieces if i <= at < j), default=0) for at in range(len(text))]
    return maximal, lengths


def count(training, piece):
    """Return how often a piece stands in a text, overlapping places included."""
    return sum(training.startswith(piece, i) for i in range(len(training)))


@given(TEXTS)
def test_lengths_and_spans_equal_brute_force(texts):
    training, text = texts
    index = TrainingIndex(training)
    found = copied(index, text, {"median": 0, "p95": 0})
    maximal, lengths = brute_force(training, text)
    assert found["lengths"] == lengths
    spans = found["spans"]
    assert {(span["start"], span["end"]) for span in spans} == maximal
    sizes = [span["end"] - span["start"] for span in spans]
    assert sizes == sorted(sizes, reverse=True)
    for span in spans:
        piece = text[span["start"] : span["end"]]
        assert span["offset"] == training.index(piece)
        assert span["count"] == count(training, piece)
        assert piece in span["context"] and span["context"] in training


@given(st.text("ab", max_size=60), st.data())
def test_pieces_of_the_training_text_itself_are_found_whole(training, data):
    start = data.draw(st.integers(0, len(training)))
    text = training[start : data.draw(st.integers(start, len(training)))]
    pieces = TrainingIndex(training).pieces(text)
    assert [(piece.start, piece.end) for piece in pieces] == ([(0, len(text))] if text else [])


@pytest.mark.parametrize("repeated", ["a", "ab", "abracadabra 😀 "])
def test_long_repetitions_equal_brute_force_in_length(repeated):
    training = repeated * 500
    index = TrainingIndex(training)
    text = repeated * 40 + "?" + repeated * 3
    pieces = index.pieces(text)
    sizes = [len(repeated) * 40, len(repeated) * 3]
    assert [piece.end - piece.start for piece in pieces] == sizes
    assert lengths_of(pieces, len(text)) == [sizes[0]] * sizes[0] + [0] + [sizes[1]] * sizes[1]


def test_lengths_of_overlapping_pieces_take_linear_time():
    """As of half as many "a"s in a training text: each piece has half of the text."""
    n = 60_000
    pieces = [Piece(i, i + n // 2, 0, 1) for i in range(n // 2 + 1)]
    began = time.process_time()
    assert lengths_of(pieces, n) == [n // 2] * n
    assert time.process_time() - began < 1


def test_spans_at_the_edges_have_a_context_that_ends_with_the_text():
    training = "First line, " + "x" * 1000 + ", last line"
    index = TrainingIndex(training)
    found = copied(index, "First line! last line", {"median": 0, "p95": 4})
    first, last = (s for s in found["spans"] if s["end"] - s["start"] > 4)
    assert (first["start"], first["end"], first["offset"]) == (0, 10, 0)
    assert first["context"] == training[: 10 + CONTEXT]
    assert (last["start"], last["end"]) == (11, 21)
    assert last["context"] == training[-10 - CONTEXT :]


def test_the_answer_is_bounded_however_many_long_spans_overlap():
    """All spans are in it, but only the start and end of a long one, and of the first ones."""
    index = TrainingIndex("<" + "a" * 5000 + ">")
    text = "a" * 10_000
    found = copied(index, text, {"median": 0, "p95": 300})
    spans = found["spans"]
    assert [(s["start"], s["end"]) for s in spans] == [(i, i + 5000) for i in range(5001)]
    assert spans[0]["context"] == "<" + "a" * CONTEXT + "…" + "a" * CONTEXT + ">"
    assert all("context" in s for s in spans[:MAX_CONTEXTS])
    assert not any("context" in s for s in spans[MAX_CONTEXTS:])
    assert len(json.dumps(found)) < 2e6
    [whole] = copied(index, "a" * 2 * CONTEXT, {"median": 0, "p95": 0})["spans"]
    assert whole["context"] == "<" + "a" * 3 * CONTEXT


def test_empty_texts_have_no_spans():
    unseen = {"median": 0, "p95": 0}
    for training, text in (("", "abc"), ("abc", ""), ("", ""), ("abc", "xyz")):
        found = copied(TrainingIndex(training), text, unseen)
        assert found == {"lengths": [0] * len(text), "spans": [], "unseen": unseen}
    assert baseline(TrainingIndex("abc"), "") == unseen


def test_the_baseline_is_the_median_and_95th_percentile_of_the_same_lengths():
    training, unseen = "abcdefghij" * 3, "abcde" + "x" * 4 + "j" + "bc" * 5
    lengths = brute_force(training, unseen)[1]
    in_order = sorted(lengths)
    assert baseline(TrainingIndex(training), unseen) == {
        "median": in_order[9],  # of 20 characters, the tenth
        "p95": in_order[18],
    }


def test_all_longer_spans_are_returned_and_others_up_to_some():
    index = TrainingIndex("abc def ghi")
    text = "abc?" * 30 + "e?" * 30
    longer = copied(index, text, {"median": 0, "p95": 2})["spans"]
    assert [s["end"] - s["start"] for s in longer] == [3] * 30
    assert [s["start"] for s in longer] == list(range(0, 120, 4))
    assert len(copied(index, text, {"median": 0, "p95": 3})["spans"]) == MIN_SPANS


@pytest.mark.parametrize("kind", ["shakespeare", "one character", "two characters"])
def test_the_whole_corpus_is_indexed_in_seconds(kind, request):
    """Bounds far above what it takes, for a busy machine; see docs/LIMITS.md for the figures."""
    n = 1_115_394
    repeated = {"one character": "a" * n, "two characters": "ab" * (n // 2)}.get(kind)
    text = repeated or request.getfixturevalue("tinyshakespeare").text
    began = time.process_time()
    index = TrainingIndex(text[: int(0.9 * len(text))])
    assert time.process_time() - began < 15
    numbers = sum(len(tensor) for tensor in {id(t): t for t in index.ranks}.values())
    assert numbers <= 11 * (n + 1)
    sample = text[-2000:]
    began = time.process_time()
    found = copied(index, sample, {"median": 0, "p95": 1990})
    assert time.process_time() - began < 5
    if repeated:
        assert found["lengths"] == [2000] * 2000
    for span in found["spans"]:
        assert index.text.startswith(sample[span["start"] : span["end"]], span["offset"])
