import random
import threading
import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import make_model

from charlm.config import SampleConfig
from charlm.generation import batch as batches
from charlm.generation import decoder, engine
from charlm.generation.batch import Batch, Stream, context_start
from charlm.generation.engine import Engine, EngineError
from charlm.serving.limits import Limits

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
    return list(engine.decode(model, prompt, config))


@pytest.mark.parametrize("name", MODELS)
@given(prompt=PROMPTS, config=SETTINGS)
@settings(max_examples=15)
def test_a_text_written_on_from_any_place_is_the_same_text(name, prompt, config):
    """Each character anew from all before it, with nothing kept, beyond the context's end too."""
    whole = alone(MODELS[name], prompt, config)
    one = SampleConfig(**vars(config) | {"max_new_chars": 1})
    for i in range(config.max_new_chars):
        assert alone(MODELS[name], prompt + whole[:i], one) == [whole[i]]


@pytest.mark.parametrize("tiled", [False, True])
@pytest.mark.parametrize("name", MODELS)
@given(texts=st.lists(st.tuples(PROMPTS, SETTINGS, st.integers(0, 9)), min_size=1, max_size=30))
@settings(max_examples=15)
def test_a_text_is_the_same_in_a_crowd(name, tiled, texts):
    """Whoever comes when, and with as few rows as three at a time."""
    model, batch = MODELS[name], Batch(MODELS[name], rows=random.Random(1).choice([3, 20]))
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
        reference = Batch(model, rows=1)
        reference.decoder.tiled = batch.decoder.tiled if name != "bigram" else False
        expected = Stream(prompt, config)
        reference.add(expected)
        while not expected.complete:
            reference.step()
        assert stream.ids == expected.ids


def test_the_decoder_computes_what_the_model_does():
    odd = {"norm": "layernorm", "position": "learned", "bias": True, "activation": "relu"}
    models = [*MODELS.values(), make_model("today", V, **odd, attention_every=2)]
    models.append(make_model("lecture", V, qk_norm=True, embd_norm=True))
    models.append(make_model("today", V, attention_every=3, conv_size=1, qk_norm=False))
    ids = [(i * 7) % V for i in range(16)]
    for model in models:
        made = decoder.make_decoder(model)
        made.reserve(3)
        for i in range(16):
            made.clear(0)
            if i:
                made.step(0, [ids[:i]], [0])
                made.keep([i])
            made.move(0, 2)
            logits = made.step(1, [[1], ids[i : i + 1]], [0, i])[1, 0]
            made.keep([1, 1])
            expected = model(torch.tensor([ids]))[0, i]
            torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("when", range(0, 12, 3))
def test_who_leaves_at_any_stage_disturbs_nobody(when):
    """While its context is read, while it is written, at its context's end, after its end."""
    model = MODELS["convolving"]
    batch = Batch(model, rows=8)
    prompts = [[i % V] * (3 * i + 1) for i in range(8)]
    streams = [Stream(prompt, SampleConfig(40, seed=i)) for i, prompt in enumerate(prompts)]
    for stream in streams:
        batch.add(stream)
    for _ in range(when):
        batch.step()
    for stream in streams[::2]:
        batch.drop(stream)
        batch.drop(stream)
    left = [list(stream.ids) for stream in streams[::2]]
    while not all(stream.complete for stream in streams[1::2]):
        batch.step()
    assert [stream.ids for stream in streams[::2]] == left
    for i in range(1, 8, 2):
        whole = prompts[i] + alone(model, prompts[i], SampleConfig(40, seed=i))
        assert streams[i].ids == whole
    assert not batch.writing and not batch.reading


@given(length=st.integers(1, 500), block_size=st.integers(1, 64))
def test_the_context_fits_and_is_never_wasted(length, block_size):
    start = context_start(length, block_size)
    assert 0 <= start < length
    assert length - start <= block_size
    assert length <= block_size or length - start > block_size // 4 - 1
    assert context_start(length + 1, block_size) >= start


def test_the_context_is_the_end_of_the_text():
    """What was cropped cannot matter: other words before it give the same continuation."""
    config = SampleConfig(max_new_chars=10, seed=1)
    recent = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3]
    for model in MODELS.values():
        assert alone(model, [0] * 30 + recent, config) == alone(model, [7] * 30 + recent, config)


def test_seeds_matter_and_repeat():
    texts = [alone(MODELS["today"], [1], SampleConfig(30, seed=seed)) for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("n", [1, 16, 17, 50])
def test_scores_are_those_of_decoding(name, n):
    model = MODELS[name]
    ids = [(i * 7) % V for i in range(n + 1)]
    rows = torch.cat(list(engine.score(model, ids)))
    assert rows.shape == (n, V)
    torch.testing.assert_close(rows.exp().sum(-1), torch.ones(n))
    for i in range(n):
        start = context_start(i + 1, model.config.block_size)
        with torch.no_grad():
            logits = model(torch.tensor([ids[start : i + 1]]))[0, -1]
        torch.testing.assert_close(rows[i], logits.log_softmax(-1), rtol=1e-4, atol=1e-5)


def test_decoding_leaves_the_callers_list_alone():
    prompt = [1, 2]
    alone(MODELS["bigram"], prompt, SampleConfig(max_new_chars=3))
    assert prompt == [1, 2]


@pytest.fixture(autouse=True)
def little_practice(monkeypatch):
    monkeypatch.setattr(batches, "WARM_UP", (2, 20))
    monkeypatch.setattr(engine, "QUIET", 0)


def wait_until(condition, seconds=60):
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.001)


def started(**limits):
    return Engine(MODELS["convolving"], Limits(**limits))


def test_an_engine_writes_what_decoding_gives():
    crowd = started(max_streams=3, turn=10)
    configs = [SampleConfig(50, seed=seed) for seed in range(10)]
    streams = [crowd.write([seed, 2], config) for seed, config in enumerate(configs)]
    wait_until(lambda: all(stream.over for stream in streams))
    for seed, config in enumerate(configs):
        assert streams[seed].ids == [seed, 2, *alone(crowd.model, [seed, 2], config)]
    wait_until(lambda: len(crowd) == 0)


def test_everybody_gets_a_turn_and_sees_the_place_in_line():
    crowd = started(max_streams=1, turn=20)
    long = crowd.write([1], SampleConfig(100_000))
    wait_until(lambda: long.began)
    others = [crowd.write([1], SampleConfig(30, seed=seed)) for seed in range(3)]
    assert crowd.place(others[2]) in (2, 3)
    wait_until(lambda: all(stream.complete for stream in others))
    assert not long.over
    assert crowd.place(others[0]) == 0
    long.stopped = True
    wait_until(lambda: len(crowd) == 0)


def test_a_line_has_an_end_and_so_has_what_one_visitor_gets():
    crowd = started(max_streams=1, max_queue=3, max_per_visitor=2)
    long = SampleConfig(100_000)
    mine = [crowd.write([1], long, "ann") for _ in range(2)]
    with pytest.raises(EngineError, match="2 texts are being written for you already"):
        crowd.write([1], long, "ann")
    wait_until(lambda: mine[0].began)
    others = [crowd.write([1], long) for _ in range(2)]
    with pytest.raises(EngineError, match="3 wait in line already"):
        crowd.write([1], long)
    for stream in (*mine, *others):
        stream.stopped = True
    assert crowd.write([1], SampleConfig(5), "ann")
    wait_until(lambda: len(crowd) == 0)


def test_time_is_bounded():
    crowd = started(max_seconds=1)
    stream = crowd.write([1], SampleConfig(10**9))
    wait_until(lambda: stream.over)
    assert stream.stopped and not stream.complete and not stream.error


@pytest.mark.parametrize("ids", [[], [V], [-1], [1, 2, V + 3]])
def test_ids_that_the_model_lacks_are_refused(ids):
    with pytest.raises(ValueError, match="ids must be one or more, from 0 to 10"):
        started().write(ids, SampleConfig(5))


class Sensitive(decoder.GPTDecoder):
    """A decoder that cannot stand one beginning."""

    def step(self, first, ids, starts):
        if first == 0 and ids[0][:3] == [9, 9, 9]:
            raise RuntimeError("poison")
        return super().step(first, ids, starts)


def test_a_poisoned_stream_fails_alone(capfd, monkeypatch):
    monkeypatch.setattr(batches, "make_decoder", Sensitive)
    crowd = started()
    configs = [SampleConfig(200, seed=seed) for seed in range(5)]
    streams = [crowd.write([1], config) for config in configs]
    poisoned = crowd.write([9, 9, 9, 1], SampleConfig(50))
    wait_until(lambda: all(stream.over for stream in (*streams, poisoned)))
    assert str(poisoned.error) == "poison"
    for stream, config in zip(streams, configs, strict=True):
        assert stream.ids == [1, *alone(crowd.model, [1], config)]
    assert "RuntimeError: poison" in capfd.readouterr().err


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_does_not_die_silently(monkeypatch):
    crowd = started()
    with monkeypatch.context() as patched:
        patched.setattr(crowd, "_schedule", lambda: 1 / 0)
        stream = crowd.write([1], SampleConfig(5))
        wait_until(lambda: stream.over)
    assert isinstance(stream.error, ZeroDivisionError)
    again = crowd.write([1], SampleConfig(5))
    wait_until(lambda: again.complete)


def test_a_thread_ends_when_nobody_is_left_and_another_begins(monkeypatch):
    monkeypatch.setattr(engine, "IDLE", 0.05)
    before, crowd = set(threading.enumerate()), started()
    for _ in range(3):
        stream = crowd.write([1], SampleConfig(5))
        wait_until(lambda stream=stream: stream.complete)
        wait_until(lambda: crowd._thread is None)
    wait_until(lambda: set(threading.enumerate()) <= before)


def test_two_hundred_come_and_go_at_random():
    crowd, rng = started(max_streams=16, turn=20, max_queue=500), random.Random(5)
    expected = alone(crowd.model, [3], SampleConfig(60, seed=7))

    def visit():
        time.sleep(rng.random())
        stream = crowd.write([3], SampleConfig(60, seed=7))
        if rng.random() < 0.5:
            time.sleep(rng.random())
            stream.stopped = True
        wait_until(lambda: stream.over)
        assert stream.error is None
        assert stream.ids[1:] == expected[: len(stream.ids) - 1]
        assert stream.complete or stream.stopped
        done.append(stream)

    done = []
    visitors = [threading.Thread(target=visit) for _ in range(200)]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join()
    assert len(done) == 200
    wait_until(lambda: len(crowd) == 0)


def test_a_thousand_requests_in_a_row_keep_no_memory():
    crowd = started()

    def written():
        stream = crowd.write([1, 2, 3], SampleConfig(3))
        wait_until(lambda: stream.complete)

    for _ in range(100):
        written()
    kept = [layer.kept.shape for layer in crowd._batch.decoder.layers]
    threads = threading.active_count()
    for _ in range(1000):
        written()
    assert [layer.kept.shape for layer in crowd._batch.decoder.layers] == kept
    assert threading.active_count() == threads
    assert not crowd._line and not crowd._turn and not crowd._batch.writing


def test_it_rests_beside_others(monkeypatch):
    naps = []
    monkeypatch.setattr(engine.time, "sleep", naps.append)
    monkeypatch.setattr(engine, "BURST", 0.001)
    for yields_cpu in (False, True):
        crowd = Engine(MODELS["today"], Limits(), lambda yields_cpu=yields_cpu: yields_cpu)
        stream = crowd.write([1], SampleConfig(100))
        while not stream.over:
            threading.Event().wait(0.01)
        assert bool(naps) == yields_cpu
    assert min(naps) > engine.REST * engine.BURST
