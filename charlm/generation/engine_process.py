"""A process that generates for all models of a program.

    RemoteEngine.submit -> message -> EngineServer -> Engine, one for each model
    Stream.ids <- report <- EngineServer

Python runs one thread at a time. In the page's process, engines and requests wait for each other;
in two processes, each has a processor core.
"""

import contextlib
import functools
import gc
import itertools
import os
import pickle
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path

from charlm.errors import CharlmError, explain_os_error
from charlm.generation import engine_server
from charlm.generation.engine import BaseEngine, Engine

YIELD_SECONDS = 0.25  # between checks of should_yield while streams run
DIED = "the process that writes the texts has ended and starts again; try again in a moment"
PACKAGES = Path(__file__).parents[2]  # where Python finds charlm


def make_engines(should_yield=lambda: False):
    """Return a function (model, limits) -> engine, whose engines generate in another process.

    On Windows, which cannot hand a connection to a new process, they are threads of this one.
    `should_yield`: see Engine.
    """
    if os.name == "nt":
        return functools.partial(Engine, should_yield=should_yield)
    return EngineProcess(should_yield).engine


class EngineProcess:
    """Engines in another process, which is started again when it ends.

    The streams that it had end with an error then. Safe to use from any thread.
    """

    def __init__(self, should_yield=lambda: False):
        self._should_yield = should_yield
        self._streams = {}  # number -> (RemoteEngine, Stream), those that have not ended
        self._numbers = itertools.count(1)  # of engines and streams
        self._lock = threading.Lock()  # guards what is above and the process
        self._process, self._closed = None, False
        with contextlib.suppress(CharlmError):  # the first stream tries again
            self._start()

    @property
    def pid(self):
        """The number of the process; None while there is none."""
        process = self._process
        return process and process.pid

    def close(self):
        """End the process. No other one is started."""
        self._closed = True
        if process := self._process:
            process.close()
            process.reader.join()

    def engine(self, model, limits):
        """Return the RemoteEngine of a model. `limits`: those of Scheduler."""
        engine = RemoteEngine(self, next(self._numbers), model, limits)
        weakref.finalize(engine, self._unload, engine.number).atexit = False
        return engine

    def add(self, engine, stream):
        """Queue a Stream. Raises CharlmError if the process cannot be started."""
        with self._lock:
            if self._process is None:
                self._start()
            if engine.number not in self._process.loaded:
                self._process.loaded.add(engine.number)
                self._process.send("load", engine.number, engine.model, engine.limits)
            stream.number = next(self._numbers)
            self._streams[stream.number] = engine, stream
            self._process.send("submit", engine.number, stream.number, stream)

    def stop(self, stream):
        """End a stream at the next step."""
        stream.stopped = True
        with self._lock:
            if stream.number in self._streams:
                self._process.send("stop", stream.number)

    def streams_of(self, engine):
        """Return how many streams of a RemoteEngine run or wait."""
        with self._lock:
            return sum(owner is engine for owner, _ in self._streams.values())

    def _unload(self, number):
        # a finalizer may run while its thread holds the lock
        if process := self._process:
            process.send("unload", number)

    def _start(self):
        """Start the process and the threads that talk to it. Raises CharlmError."""
        self._process = process = start_process()
        threading.Thread(target=self._send, args=[process], daemon=True).start()
        process.reader = threading.Thread(target=self._receive, args=[process], daemon=True)
        process.reader.start()

    def _send(self, process):
        """Send messages, and whether to yield, until the process ends."""
        yielding, check_due = False, 0.0
        try:
            while not process.ended:
                message = process.next_message(YIELD_SECONDS if self._streams else None)
                try:
                    process.connection.sendall(message)
                except OSError:
                    break  # it ended
                if time.monotonic() < check_due:
                    continue
                check_due = time.monotonic() + YIELD_SECONDS
                if (should_yield := bool(self._should_yield())) != yielding:
                    yielding = should_yield
                    process.send("yield", yielding)
        finally:
            process.close()

    def _receive(self, process):
        """Update the streams as the process reports, until it ends; then start another one."""
        ready = False
        try:
            with process.connection.makefile("rb") as reports:
                while True:
                    self._apply(pickle.load(reports))
                    ready = True
        except (EOFError, OSError, pickle.UnpicklingError):  # it ended
            pass
        finally:
            process.close()
            process.end()
            with self._lock:
                lost, self._streams, self._process = self._streams, {}, None
                if ready and not self._closed:  # else the next stream starts one
                    with contextlib.suppress(CharlmError):
                        self._start()
            for _, stream in lost.values():
                stream.error = CharlmError(DIED)

    def _apply(self, reports):
        """Update streams: see Reported.changes."""
        for number, changes in reports.items():
            stream = self._streams[number][1]
            for name, value in changes.items():
                if name == "ended":
                    with self._lock:
                        del self._streams[number]
                elif name in ("logits", "ids"):
                    getattr(stream, name).extend(value)
                else:
                    setattr(stream, name, value)


class RemoteEngine(BaseEngine):
    """The engine of a model in an EngineProcess."""

    def __init__(self, process, number, model, limits):
        self.model, self.limits, self.number = model, limits, number
        self._process = process

    def add(self, stream):
        self._process.add(self, stream)

    def stop(self, stream):
        self._process.stop(stream)

    def queue_position(self, stream):
        return stream.queue_position

    def __len__(self):
        return self._process.streams_of(self)


class Process:
    """A process that serves engines, and this one's end of the connection."""

    def __init__(self, connection, pid, wait):
        """`wait()`: wait for its end."""
        self.connection, self.pid, self._wait = connection, pid, wait
        self.loaded = set()  # numbers of the engines that it has
        self.ended = False
        self._messages = queue.SimpleQueue()

    def send(self, *message):
        """Send a message soon; the caller does not wait."""
        self._messages.put(pickle.dumps(message))

    def next_message(self, timeout):
        """Return the bytes of the next message; none after `timeout` seconds or the end."""
        try:
            return self._messages.get(timeout=timeout)
        except queue.Empty:
            return b""

    def end(self):
        """Kill the process, if it still runs, and wait for its end."""
        with contextlib.suppress(OSError):  # it has ended already
            if self.pid:
                os.kill(self.pid, signal.SIGKILL)
            self._wait()

    def close(self):
        """Close the connection, which ends the process."""
        self.ended = True
        self._messages.put(b"")  # wakes the thread that sends
        with contextlib.suppress(OSError):  # it is closed
            self.connection.shutdown(socket.SHUT_RDWR)


def start_process():
    """Start a Process. Raises CharlmError if the system refuses.

    A copy of this process has torch loaded already and shares its memory. But a process can be
    copied safely only while it has a single thread, and on macOS not even then.
    """
    ours, theirs = socket.socketpair()
    try:
        if sys.platform == "linux" and threading.active_count() == 1:
            return copy_process(ours, theirs)
        command = [sys.executable, "-m", engine_server.__name__, str(theirs.fileno())]
        paths = filter(None, [str(PACKAGES), os.environ.get("PYTHONPATH")])
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, env=env, pass_fds=[theirs.fileno()]
        )
        return Process(ours, child.pid, child.wait)
    except OSError as error:
        ours.close()
        raise CharlmError(f"no text can be written now: {explain_os_error(error)}") from None
    finally:
        theirs.close()


def copy_process(ours, theirs):
    """Fork this process; return the Process in the original only."""
    gc.freeze()  # collections in either process would write to every page of these objects
    pid = os.fork()
    if not pid:
        ours.close()
        engine_server.serve(theirs)
    return Process(ours, pid, functools.partial(os.waitpid, pid, 0))
