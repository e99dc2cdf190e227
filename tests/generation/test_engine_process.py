"""Engines in a process of their own."""

import gc
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import preloaded
import pytest
import torch
from programs import REPOSITORY
from small_models import make_model
from waiting import join, wait_until

from charlm.config import SampleConfig
from charlm.errors import CharlmError
from charlm.generation import engine_process, engine_server
from charlm.generation.batch import decode
from charlm.generation.engine import Engine
from charlm.generation.engine_process import EngineProcess
from charlm.generation.engine_server import EngineServer
from charlm.serving.limits import Limits

V = 11
MODELS = {name: make_model(name, V) for name in ("bigram", "lecture", "today")}


@pytest.fixture(scope="module")
def process():
    process = EngineProcess()
    yield process
    process.close()


@pytest.fixture
def connected(monkeypatch):
    """An EngineProcess, and the EngineServer that it is connected to, in a thread here."""
    ours, theirs = socket.socketpair()
    server = EngineServer(theirs)
    thread = threading.Thread(target=server.serve)
    thread.start()
    there = engine_process.Process(ours, None, lambda: 0)
    monkeypatch.setattr(engine_process, "start_process", lambda: there)
    process = EngineProcess()
    yield process, server
    process.close()
    join(thread)


def ended(*streams):
    return wait_until(lambda: all(stream.ended for stream in streams))


def test_models_generate_at_once_what_they_do_alone(process):
    configs = [SampleConfig(50, seed=seed) for seed in range(10)]
    engines = {name: process.engine(model, Limits()) for name, model in MODELS.items()}
    streams = {n: [e.submit([3, 2], config) for config in configs] for n, e in engines.items()}
    for name, of_model in streams.items():
        ended(*of_model)
        for stream, config in zip(of_model, configs, strict=True):
            assert stream.ids == [3, 2, *decode(MODELS[name], [3, 2], config)]
            assert stream.complete and not stream.error and stream.start_time
        assert len(engines[name]) == 0


def test_streams_wait_are_refused_and_stop_as_in_an_engine(process):
    limits = Limits(max_streams=1, max_queue=3, max_per_visitor=2)
    engine, config = process.engine(MODELS["today"], limits), SampleConfig(1_000_000)
    first = engine.submit([1], config, "ann", "tab")
    wait_until(lambda: len(first.ids) > 1)
    waiting = [engine.submit([1], config, client) for client in ("ben", "cleo", "dora")]
    wait_until(lambda: engine.queue_position(waiting[2]) == 3)
    refused = engine.submit([1], config, "ann", "tab")
    ended(refused)
    assert str(refused.error) == "3 wait in line already; try again in a minute"
    assert len(engine) == 4
    for stream in (first, *waiting):
        engine.stop(stream)
    wait_until(lambda: not len(engine))
    timed_out = process.engine(MODELS["today"], Limits(max_seconds=1)).submit([1], config)
    ended(timed_out)
    assert timed_out.timed_out and timed_out.stopped and not timed_out.error


def test_the_logits_behind_each_character_are_those_of_an_engine(process):
    here, there = Engine(MODELS["today"], Limits()), process.engine(MODELS["today"], Limits())
    kept = [e.submit([1], SampleConfig(30), keep_logits=True) for e in (here, there)]
    ended(*kept)
    assert len(kept[0].logits) == len(kept[1].logits) == 30
    assert torch.equal(torch.stack(kept[0].logits), torch.stack(kept[1].logits))


def test_what_ends_the_process_ends_its_streams_and_nothing_else(process):
    engine, other = (process.engine(MODELS["today"], Limits()) for _ in range(2))
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV):
        pid = process.pid
        streams = [e.submit([1], SampleConfig(1_000_000)) for e in (engine, other)]
        wait_until(lambda streams=streams: all(len(stream.ids) > 1 for stream in streams))
        os.kill(pid, number)
        ended(*streams)
        assert {str(stream.error) for stream in streams} == {engine_process.DIED}
        assert len(engine) == len(other) == 0
        wait_until(lambda pid=pid: process.pid not in (None, pid))  # another one starts by itself
        for e in (engine, other):
            again = e.submit([1], SampleConfig(20, seed=4))
            ended(again)
            assert again.ids == [1, *decode(MODELS["today"], [1], SampleConfig(20, seed=4))]


def test_the_process_survives_an_interrupt_from_the_keyboard(process):
    engine, pid = process.engine(MODELS["today"], Limits()), process.pid
    for _ in range(3):
        os.kill(pid, signal.SIGINT)
        stream = engine.submit([1], SampleConfig(5))
        ended(stream)
        assert stream.complete
    assert process.pid == pid


MESSAGES = {
    "/no/such/python": "no text can be written now: cannot read /no/such/python: No such file or"
    " directory",
    "/bin/false": engine_process.DIED,
}


@pytest.mark.slow
@pytest.mark.parametrize("python", MESSAGES)
def test_a_process_that_does_not_start_is_tried_again_for_each_stream(python, monkeypatch):
    started = []
    with monkeypatch.context() as patched:
        patched.setattr(sys, "executable", python)
        popen = subprocess.Popen
        patched.setattr(subprocess, "Popen", lambda *a, **k: started.append(1) or popen(*a, **k))
        process = EngineProcess()
        engine = process.engine(MODELS["today"], Limits())
        wait_until(lambda: process.pid is None)
        for _ in range(3):
            try:
                stream = engine.submit([1], SampleConfig(5))
                ended(stream)
                message = str(stream.error)
            except CharlmError as error:
                message = str(error)
            assert message == MESSAGES[python]
            wait_until(lambda: process.pid is None)
    assert len(started) == 4
    stream = engine.submit([1], SampleConfig(5))
    ended(stream)
    assert stream.complete
    process.close()


def test_a_model_that_is_no_longer_used_is_unloaded(connected):
    process, server = connected
    for _ in range(3):
        engine = process.engine(MODELS["bigram"], Limits())
        stream = engine.submit([1], SampleConfig(5))
        ended(stream)
        assert len(server.engines) == 1
        del engine
        gc.collect()
        wait_until(lambda: not server.engines)
    assert not server.streams


def test_a_thousand_texts_leave_nothing_behind(connected):
    process, server = connected
    engine = process.engine(MODELS["bigram"], Limits())
    for _ in range(50):
        streams = [engine.submit([1], SampleConfig(3), keep_logits=True) for _ in range(20)]
        ended(*streams)
        assert all(stream.complete and len(stream.logits) == 3 for stream in streams)
    assert not server.streams and not process._streams and not len(engine)


def test_engines_pause_while_others_need_the_processor(connected, monkeypatch):
    monkeypatch.setattr(engine_process, "YIELD_SECONDS", 0.01)
    (process, server), needed = connected, [False]
    process._should_yield = lambda: needed[-1]
    stream = process.engine(MODELS["bigram"], Limits()).submit([1], SampleConfig(10**7))
    (engine,) = wait_until(lambda: list(server.engines.values()))
    for value in (True, False, True):
        needed.append(value)
        wait_until(lambda: engine.should_yield() == needed[-1])
    process.stop(stream)
    wait_until(lambda: not server.streams)


def test_an_error_that_is_not_ours_arrives_as_text(connected, monkeypatch):
    class Strange(Exception):
        def __reduce__(self):
            raise TypeError

    def fail(batch):
        raise Strange("it failed")

    monkeypatch.setattr(engine_server.Engine, "_new_batch", fail)
    monkeypatch.setattr(threading, "excepthook", lambda args: None)
    stream = connected[0].engine(MODELS["bigram"], Limits()).submit([1], SampleConfig(5))
    ended(stream)
    assert (type(stream.error), str(stream.error)) == (RuntimeError, "it failed")


SCRIPT = """
import os, sys, time
sys.path.insert(0, "tests")
from small_models import make_model
from charlm.config import SampleConfig
from charlm.generation.engine_process import EngineProcess
from charlm.serving.limits import Limits
process = EngineProcess()
engine = process.engine(make_model("today", 11), Limits())
stream = engine.submit([1], SampleConfig(20, seed=4))
while not stream.ended:
    time.sleep(0.01)
rollup = open(f"/proc/{process.pid}/smaps_rollup").read().splitlines()[1:]
own = sum(int(line.split()[1]) for line in rollup if line.startswith("Private"))
threads = len(os.listdir(f"/proc/{process.pid}/task"))
print(process.pid, own, threads, *stream.ids, flush=True)
exec(sys.argv[1])
"""


# a program may ignore the ends of its children, as some that start it do
IGNORANT = """
import signal
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
stream = engine.submit([1], SampleConfig(10**6))
os.kill(process.pid, 9)
while not stream.ended:
    time.sleep(0.01)
sys.exit("has ended" not in str(stream.error))
"""
ENDS = {"pass": 0, "os._exit(3)": 3, "os.kill(os.getpid(), 9)": -9, IGNORANT: 0}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux copies the process, and has /proc")
def test_a_copy_of_a_program_shares_its_memory_and_ends_with_it(end):
    command = [sys.executable, "-c", SCRIPT, end]
    done = preloaded.run(command, text=True, env={**os.environ, "PYTHONPATH": str(REPOSITORY)})
    assert done.returncode == ENDS[end], done.stderr
    pid, own, threads, *ids = map(int, done.stdout.split())
    assert ids == [1, *decode(MODELS["today"], [1], SampleConfig(20, seed=4))]
    assert own < 60_000  # kB; torch alone has 150,000
    assert threads < 8
    wait_until(lambda: not Path(f"/proc/{pid}").exists())
