"""Streams decoded together and alone."""

import random
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import make_model

from charlm.config import SampleConfig
from charlm.generation import batch as batches
from charlm.generation.batch import Batch, decode
from charlm.generation.stream import Stream

V = 11
MODELS = {name: make_model(name, V) for name in ("bigram", "lecture", "today")}
MODELS["convolving"] = make_model("today", V, attention_every=2)
SETTINGS = st.builds(
    SampleConfig,
    max_new_chars=st.integers(1, 60),
    temperature=st.sampled_from([0.0, 0.5, 1.0, 1.5]),
    top_k=st.sampled_from([0, 0, 3]),
    top_p=st.sampled_from([0.0, 0.0, 0.9]),
    min_p=st.sampled_from([0.0, 0.0, 0.05]),
    seed=st.integers(0, 2**32),
)
PROMPTS = st.lists(st.integers(0, V - 1), min_size=1, max_size=50)


def alone(model, prompt, config):
    return list(decode(model, prompt, config))


@pytest.mark.parametrize("name", MODELS)
@given(prompt=PROMPTS, config=SETTINGS)
@settings(max_examples=15)
def test_a_text_continued_from_any_prefix_is_the_same_text(name, prompt, config):
    """Generate each character in a new batch, even beyond the end of the context."""
    whole = alone(MODELS[name], prompt, config)
    one = SampleConfig(**vars(config) | {"max_new_chars": 1})
    for i in range(config.max_new_chars):
        assert alone(MODELS[name], prompt + whole[:i], one) == [whole[i]]


@pytest.mark.parametrize("rows", [7, pytest.param(128, marks=pytest.mark.slow)])
@pytest.mark.parametrize("tiled", [False, True])
@pytest.mark.parametrize("name", MODELS)
@given(texts=st.lists(st.tuples(PROMPTS, SETTINGS, st.integers(0, 9)), min_size=1, max_size=30))
@settings(max_examples=15)
def test_a_text_is_the_same_in_a_crowd(name, tiled, rows, texts):
    """Streams join a batch at different steps, and may have to wait for a slot.

    Their contexts are read together, or in chunks of 7.
    """
    with mock.patch.object(batches, "PREFILL_ROWS", rows):
        check_crowd(name, tiled, texts)


def check_crowd(name, tiled, texts):
    model, batch = MODELS[name], Batch(MODELS[name], max_streams=random.Random(1).choice([3, 20]))
    batch.decoder.tiled = tiled and name != "bigram"
    streams, waiting = [], list(texts)
    while waiting or not all(stream.complete for stream in streams):
        if waiting and waiting[0][2] % 3 == 0:
            prompt, config, _ = waiting.pop(0)
            streams.append(Stream(prompt, config))
            batch.add(streams[-1])
        elif waiting:
            waiting[0] = (*waiting[0][:2], waiting[0][2] - 1)
        batch.step()
    for stream, (prompt, config, _) in zip(streams, texts, strict=True):
        reference = Batch(model, max_streams=1)
        reference.decoder.tiled = batch.decoder.tiled if name != "bigram" else False
        expected = Stream(prompt, config)
        reference.add(expected)
        while not expected.complete:
            reference.step()
        assert stream.ids == expected.ids


def test_a_text_is_the_same_among_256():
    model, configs = MODELS["convolving"], [SampleConfig(20, seed=i) for i in range(256)]
    batch, streams = (
        Batch(model, max_streams=256),
        [Stream([1] * (1 + i % 9), c) for i, c in enumerate(configs)],
    )
    for stream in streams:
        batch.add(stream)
    most = 0
    while not batch.is_empty:
        batch.step()
        most = max(most, len(batch.decoding))
    assert most > 200
    for i in range(0, 256, 15):
        prompt = [1] * (1 + i % 9)
        assert streams[i].ids == prompt + alone(model, prompt, configs[i])


def test_short_contexts_are_read_in_few_passes():
    batch, passes = Batch(MODELS["today"], max_streams=64), []
    step = batch.decoder.step

    def counted(first, ids, *others):
        passes.append(len(ids))
        return step(first, ids, *others)

    batch.decoder.step = counted
    for i in range(40):
        batch.add(Stream([1] * (5 + i % 5), SampleConfig(50, seed=i)))
    batch.step()
    assert passes == [batches.PREFILL_ROWS // 8] * 2  # eight rows each: a prompt but its last id


@pytest.mark.parametrize("when", range(0, 12, 3))
def test_removing_a_stream_at_any_step_changes_no_other(when):
    """While it is prefilled, while it decodes, at the end of its context, after its end."""
    model = MODELS["convolving"]
    batch = Batch(model, max_streams=8)
    prompts = [[i % V] * (3 * i + 1) for i in range(8)]
    streams = [Stream(prompt, SampleConfig(40, seed=i)) for i, prompt in enumerate(prompts)]
    for stream in streams:
        batch.add(stream)
    for _ in range(when):
        batch.step()
    for stream in streams[::2]:
        batch.remove(stream)
        batch.remove(stream)
    left = [list(stream.ids) for stream in streams[::2]]
    while not all(stream.complete for stream in streams[1::2]):
        batch.step()
    assert [stream.ids for stream in streams[::2]] == left
    for i in range(1, 8, 2):
        whole = prompts[i] + alone(model, prompts[i], SampleConfig(40, seed=i))
        assert streams[i].ids == whole
    assert not batch.decoding and not batch.prefilling


def test_only_the_context_matters():
    """Characters before the context do not change the continuation."""
    config = SampleConfig(max_new_chars=10, seed=1)
    recent = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3]
    for model in MODELS.values():
        assert alone(model, [0] * 30 + recent, config) == alone(model, [7] * 30 + recent, config)


def test_the_seed_determines_the_text():
    texts = [alone(MODELS["today"], [1], SampleConfig(30, seed=seed)) for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_decoding_leaves_the_callers_list_alone():
    prompt = [1, 2]
    alone(MODELS["bigram"], prompt, SampleConfig(max_new_chars=3))
    assert prompt == [1, 2]
