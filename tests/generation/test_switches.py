"""Streams with parts of the model switched off, alone and beside others."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import make_model, without_parts
from waiting import wait_until

from charlm.config import SampleConfig
from charlm.generation.batch import Batch, decode
from charlm.generation.engine import Engine
from charlm.generation.stream import Stream
from charlm.models.parts import parts_of
from charlm.serving.limits import Limits

V = 11
MODELS = {name: make_model(name, V) for name in ("lecture", "today")}
MODELS["convolving"] = make_model("today", V, attention_every=2)
TEXTS = st.lists(
    st.tuples(
        st.lists(st.integers(0, V - 1), min_size=1, max_size=40),  # prompt
        st.builds(  # the context ends after 16 characters
            SampleConfig,
            max_new_chars=st.integers(1, 40),
            temperature=st.sampled_from([0.0, 1.0]),
            top_k=st.sampled_from([0, 3]),
            seed=st.integers(0, 2**32),
        ),
        st.one_of(st.just(set()), st.sets(st.integers(0, 6), max_size=3)),  # parts
        st.integers(0, 5),  # steps before it joins
    ),
    min_size=1,
    max_size=12,
)


def streams_of(model, texts):
    names = parts_of(model)
    return [
        Stream(prompt, config, off=tuple(names[i] for i in sorted(off)))
        for prompt, config, off, _ in texts
    ]


def expected_ids(model, prompt, config, off):
    return [*prompt, *decode(without_parts(model, off), prompt, config)]


@pytest.mark.parametrize("tiled", [False, True])
@pytest.mark.parametrize("name", MODELS)
@given(texts=TEXTS)
@settings(max_examples=5)
def test_a_text_is_that_of_a_model_with_zeroed_weights_alone_and_in_a_crowd(name, tiled, texts):
    """So a text with all parts on is the same beside others that lack some."""
    model, streams = MODELS[name], streams_of(MODELS[name], texts)
    batch = Batch(model, max_streams=5)
    batch.decoder.tiled |= tiled
    for stream, (*_, steps) in zip(streams, texts, strict=True):
        batch.add(stream)
        for _ in range(steps):
            batch.step()
    while not batch.is_empty:
        batch.step()
    for stream, (prompt, config, *_) in zip(streams, texts, strict=True):
        alone = Batch(without_parts(model, stream.off), max_streams=1)
        alone.decoder.tiled = batch.decoder.tiled
        expected = Stream(prompt, config)
        alone.add(expected)
        while not alone.is_empty:
            alone.step()
        assert stream.ids == expected.ids


@pytest.mark.parametrize("name", MODELS)
def test_each_part_makes_a_difference(name):
    model, config = MODELS[name], SampleConfig(40, seed=3)
    texts = {off: expected_ids(model, [1], config, off) for off in ((), *zip(parts_of(model)))}
    for off, text in texts.items():
        batch, stream = Batch(model, max_streams=1), Stream([1], config, off=off)
        batch.add(stream)
        while not stream.complete:
            batch.step()
        assert stream.ids == text
    assert len(set(map(tuple, texts.values()))) == len(texts)


def test_an_engine_generates_with_and_without_parts():
    """Its streams take turns in two slots, and share a draft."""
    model, config = MODELS["convolving"], SampleConfig(60, seed=3)
    engine = Engine(model, Limits(max_streams=2, time_slice=7))
    offs = [(), ("0.conv",), (), ("1.head1", "1.mlp"), ("0",), ()]
    streams = [engine.submit([i, 2], config, off=off) for i, off in enumerate(offs)]
    wait_until(lambda: all(stream.ended for stream in streams))
    for i, off in enumerate(offs):
        assert streams[i].ids == expected_ids(model, [i, 2], config, off)
