"""Threads for blocking work, such as requests to the Hub, that serve clients in turn."""

import asyncio
import os
import sys
import threading
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from charlm.errors import CharlmError
from charlm.generation.fair_queue import FairQueue
from charlm.serving.clients import NOBODY
from charlm.serving.process import NICENESS

MAX_WAITING = 200  # calls
BUSY = "this page is busy with other requests of this kind; try again in a minute"
DISPLACED = f"too much was asked for from your network at once, and others wait too: {BUSY}"


class BusyError(CharlmError):
    """A call that a pool does not take, or drops, now."""


@dataclass(eq=False)
class Call:
    """A function call that waits or runs, and its result to be."""

    function: object
    arguments: tuple
    client: str
    session: str
    future: Future


class FairPool:
    """Runs calls in `workers` threads; from a full queue, the client that waits most is dropped.

    `per_client`: calls of one client that run at a time, so that slow ones leave threads to others.
    """

    def __init__(self, workers, per_client=None, niceness=0):
        """`niceness`: of the threads, where threads have one of their own, as on Linux."""
        self.workers, self.per_client = workers, per_client or workers
        self._executor = ThreadPoolExecutor(workers, initializer=be_nice, initargs=(niceness,))
        self._waiting, self._running = FairQueue(), Counter()
        self._lock = threading.Lock()

    async def run(self, client, function, *arguments):
        """Return function(*arguments), called in a thread. `client`: a Client.

        If the caller is cancelled while the call waits, it is not made. Raises what the function
        raises, and BusyError.
        """
        client = client or NOBODY
        call = Call(function, arguments, *client, Future())
        with self._lock:
            if len(self._waiting) >= MAX_WAITING:
                self._displace(call.client)
            self._waiting.push(call, *client)
            self._start_calls()
        try:
            return await asyncio.wrap_future(call.future)
        finally:
            with self._lock:
                if call in self._waiting:
                    self._waiting.remove(call)

    def leave(self, session):
        """Drop the calls of a session that wait."""
        with self._lock:
            dropped = [call for call in self._waiting if call.session == session]
            for call in dropped:
                self._waiting.remove(call)
        for call in dropped:
            refuse(call, "the visitor has left")

    def _displace(self, client):
        """Drop a waiting call to make room for one of `client`. Raises BusyError."""
        displaced = self._waiting.displaced_by(client)
        if displaced is None:
            raise BusyError(BUSY)
        self._waiting.remove(displaced)
        refuse(displaced, DISPLACED)

    def _start_calls(self):
        while self._running.total() < self.workers:
            allowed = (c for c in self._waiting if self._running[c.client] < self.per_client)
            if (call := next(allowed, None)) is None:
                return
            self._waiting.take(call)
            self._running[call.client] += 1
            self._executor.submit(self._execute, call)

    def _execute(self, call):
        try:
            if call.future.set_running_or_notify_cancel():
                call.future.set_result(call.function(*call.arguments))
        except BaseException as error:
            call.future.set_exception(error)
        finally:
            with self._lock:
                self._running[call.client] -= 1
                self._running += Counter()  # drops the clients at zero
                self._start_calls()


def refuse(call, message):
    """End a call that waited with a BusyError, unless its caller has cancelled it."""
    if call.future.set_running_or_notify_cancel():
        call.future.set_exception(BusyError(message))


def be_nice(niceness):
    """Lower the priority of the current thread."""
    if niceness and sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)


@dataclass(frozen=True)
class Pools:
    """The pools of a page, one for each kind of work."""

    loading: FairPool = field(default_factory=lambda: FairPool(8))  # files of models
    fetching: FairPool = field(default_factory=lambda: FairPool(8, per_client=4))  # from the Hub
    # computes, which would slow down the texts that others are watching
    scoring: FairPool = field(default_factory=lambda: FairPool(1, niceness=NICENESS))
    # indexes training texts, never two at a time
    copying: FairPool = field(default_factory=lambda: FairPool(1, niceness=NICENESS))
    writing: FairPool = field(default_factory=lambda: FairPool(1, niceness=NICENESS))  # texts
    runs: FairPool = field(default_factory=lambda: FairPool(4, per_client=2))  # starts and stops

    def leave(self, session):
        """Drop what waits for a session whose visitor has left."""
        for pool in vars(self).values():
            pool.leave(session)
