"""The thread that generates for all clients."""

import random
import threading
import time

import pytest
from small_models import make_model
from waiting import join, wait_until

from charlm.config import SampleConfig
from charlm.generation import batch as batches
from charlm.generation import decoder, warm_up
from charlm.generation import engine as engines
from charlm.generation.batch import decode
from charlm.generation.engine import Engine
from charlm.generation.scheduler import AdmissionError
from charlm.serving.limits import Limits

V = 11
MODELS = {name: make_model(name, V) for name in ("bigram", "lecture", "today")}
MODELS["convolving"] = make_model("today", V, attention_every=2)


def alone(model, prompt, config):
    return list(decode(model, prompt, config))


@pytest.fixture(autouse=True)
def short_warm_up(monkeypatch):
    monkeypatch.setattr(warm_up, "TEXTS", 2)
    monkeypatch.setattr(warm_up, "CHARS", 20)
    monkeypatch.setattr(engines, "QUIET_SECONDS", 0)


def start_engine(**limits):
    return Engine(MODELS["convolving"], Limits(**limits))


def test_an_engine_generates_what_decode_does():
    engine = start_engine(max_streams=3, time_slice=10)
    configs = [SampleConfig(50, seed=seed) for seed in range(10)]
    streams = [engine.submit([seed, 2], config) for seed, config in enumerate(configs)]
    wait_until(lambda: all(stream.ended for stream in streams))
    for seed, config in enumerate(configs):
        assert streams[seed].ids == [seed, 2, *alone(engine.model, [seed, 2], config)]
    wait_until(lambda: len(engine) == 0)


def test_time_slices_let_waiting_streams_run():
    engine = start_engine(max_streams=1, time_slice=20)
    long = engine.submit([1], SampleConfig(100_000))
    wait_until(lambda: long.start_time)
    others = [engine.submit([1], SampleConfig(30, seed=seed)) for seed in range(3)]
    assert engine.queue_position(others[2]) in (2, 3)
    wait_until(lambda: all(stream.complete for stream in others))
    assert not long.ended
    assert engine.queue_position(others[0]) == 0
    long.stopped = True
    wait_until(lambda: len(engine) == 0)


def test_the_queue_and_the_streams_of_a_client_are_bounded():
    engine = start_engine(max_streams=1, max_queue=3, max_per_visitor=2)
    long = SampleConfig(100_000)
    mine = [engine.submit([1], long, session="ann") for _ in range(2)]
    with pytest.raises(AdmissionError, match="2 texts are being written for you already"):
        engine.submit([1], long, session="ann")
    wait_until(lambda: mine[0].start_time)
    others = [engine.submit([1], long) for _ in range(2)]
    with pytest.raises(AdmissionError, match="3 wait in line already"):
        engine.submit([1], long)
    for stream in (*mine, *others):
        stream.stopped = True
    assert engine.submit([1], SampleConfig(5), "ann")
    wait_until(lambda: len(engine) == 0)


def test_a_stream_is_stopped_after_max_seconds():
    engine = start_engine(max_seconds=1)
    stream = engine.submit([1], SampleConfig(10**9))
    wait_until(lambda: stream.ended)
    assert stream.stopped and not stream.complete and not stream.error


@pytest.mark.parametrize("ids", [[], [V], [-1], [1, 2, V + 3]])
def test_ids_outside_the_vocabulary_are_refused(ids):
    with pytest.raises(ValueError, match="ids must be one or more, from 0 to 10"):
        start_engine().submit(ids, SampleConfig(5))


class FailingDecoder(decoder.GPTDecoder):
    """A decoder that fails on one prefix."""

    def step(self, first, ids, starts, on=None):
        if [9, 9, 9] in [row[:3] for row in ids]:
            raise RuntimeError("poison")
        return super().step(first, ids, starts, on)


def test_a_failing_stream_fails_alone(capfd, monkeypatch):
    monkeypatch.setattr(batches, "make_decoder", FailingDecoder)
    engine = start_engine()
    configs = [SampleConfig(200, seed=seed) for seed in range(5)]
    streams = [engine.submit([1], config) for config in configs]
    poisoned = engine.submit([9, 9, 9, 1], SampleConfig(50))
    wait_until(lambda: all(stream.ended for stream in (*streams, poisoned)))
    assert str(poisoned.error) == "poison"
    for stream, config in zip(streams, configs, strict=True):
        assert stream.ids == [1, *alone(engine.model, [1], config)]
    assert "RuntimeError: poison" in capfd.readouterr().err


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_streams_get_the_error_that_ends_the_thread(monkeypatch):
    engine = start_engine()
    with monkeypatch.context() as patched:
        patched.setattr(engine, "_schedule", lambda: 1 / 0)
        stream = engine.submit([1], SampleConfig(5))
        wait_until(lambda: stream.ended)
    assert isinstance(stream.error, ZeroDivisionError)
    again = engine.submit([1], SampleConfig(5))
    wait_until(lambda: again.complete)


def test_an_idle_thread_ends_and_the_next_stream_starts_another(monkeypatch):
    monkeypatch.setattr(engines, "IDLE_SECONDS", 0.05)
    before, engine = set(threading.enumerate()), start_engine()
    for _ in range(3):
        stream = engine.submit([1], SampleConfig(5))
        wait_until(lambda stream=stream: stream.complete)
        wait_until(lambda: engine._thread is None)
    wait_until(lambda: set(threading.enumerate()) <= before)


def test_two_hundred_clients_come_and_go_at_random():
    engine, rng = start_engine(max_streams=16, time_slice=20, max_queue=500), random.Random(5)
    expected = alone(engine.model, [3], SampleConfig(60, seed=7))

    def visit():
        time.sleep(rng.random())
        stream = engine.submit([3], SampleConfig(60, seed=7))
        if rng.random() < 0.5:
            time.sleep(rng.random())
            stream.stopped = True
        wait_until(lambda: stream.ended)
        assert stream.error is None
        assert stream.ids[1:] == expected[: len(stream.ids) - 1]
        assert stream.complete or stream.stopped
        done.append(stream)

    done = []
    visitors = [threading.Thread(target=visit) for _ in range(200)]
    for visitor in visitors:
        visitor.start()
    join(*visitors)
    assert len(done) == 200
    wait_until(lambda: len(engine) == 0)


def test_a_thousand_requests_leave_no_caches_or_threads_behind():
    engine = start_engine()

    def generate_text():
        stream = engine.submit([1, 2, 3], SampleConfig(3))
        wait_until(lambda: stream.complete, poll_seconds=0.001)

    for _ in range(100):
        generate_text()
    shapes = [layer.cache.shape for layer in engine._batch.decoder.layers]
    threads = threading.active_count()
    for _ in range(1000):
        generate_text()
    wait_until(lambda: len(engine) == 0 and not engine._batch.decoding)
    assert [layer.cache.shape for layer in engine._batch.decoder.layers] == shapes
    assert threading.active_count() <= threads  # fewer if the thread of another test has ended
    assert not engine.scheduler.waiting
    assert not engine.scheduler.running


def test_the_engine_pauses_while_others_need_the_processor(monkeypatch):
    naps = []
    monkeypatch.setattr(engines.time, "sleep", naps.append)
    monkeypatch.setattr(engines, "BURST_SECONDS", 0.001)
    for should_yield in (False, True):
        engine = Engine(MODELS["today"], Limits(), lambda should_yield=should_yield: should_yield)
        stream = engine.submit([1], SampleConfig(100))
        wait_until(lambda stream=stream: stream.ended)
        assert bool(naps) == should_yield
    assert min(naps) > engines.PAUSE_RATIO * engines.BURST_SECONDS
