"""Serve the engines of another process: messages in, reports of new ids out.

Messages are tuples, reports are dicts {number of a stream: {attribute: new value}}, both pickled:
only the process that started this one can write them. `charlm.generation.engine_process` is the
other end.
"""

import contextlib
import os
import pickle
import signal
import socket
import sys
import threading
import time

import torch

from charlm.errors import CharlmError
from charlm.generation.engine import Engine
from charlm.generation.scheduler import AdmissionError

REPORT_SECONDS = 0.002, 5e-5  # between two reports, and more for each stream
POSITION_SECONDS = 0.1  # between two reports of positions in the queue
# what a report may have of a stream, in the order in which it is applied: others see a text
# complete once it has its ids, and ended without more ids once it is stopped or has an error
REPORTED = ("ended", "queue_position", "start_time", "timed_out", "logits", "ids")
REPORTED += ("stopped", "error")


class EngineServer:
    """Engines and their streams, by the numbers that the other process gave them."""

    def __init__(self, connection):
        """`connection`: a connected socket."""
        self.connection = connection
        self.engines, self.streams = {}, {}  # number -> Engine; number -> Reported
        self.should_yield = False  # see Engine
        self._changed = threading.Condition()  # guards `streams`

    def serve(self):
        """Carry out messages until the connection is closed."""
        threading.Thread(target=self._report, name="reports", daemon=True).start()
        with self.connection.makefile("rb") as messages, contextlib.suppress(EOFError, OSError):
            while True:
                self._carry_out(*pickle.load(messages))

    def _carry_out(self, action, *arguments):
        match action, *arguments:
            case "load", number, model, limits:
                self.engines[number] = Engine(model, limits, lambda: self.should_yield)
            case "unload", number:
                self.engines.pop(number, None)  # its running streams keep it alive
            case "submit", engine, number, stream:
                self._submit(self.engines[engine], number, stream)
            case "stop", number:
                if reported := self.streams.get(number):
                    reported.stream.stopped = True
            case "yield", should_yield:
                self.should_yield = should_yield

    def _submit(self, engine, number, stream):
        reported = Reported(engine, stream)
        try:
            engine.add(stream)
        except AdmissionError as error:
            stream.error = error
        with self._changed:
            self.streams[number] = reported
            self._changed.notify()

    def _report(self):
        """Send changes until the connection is closed."""
        positions_due = 0.0
        with contextlib.suppress(OSError):
            self._send({})  # it is ready
            while True:
                time.sleep(REPORT_SECONDS[0] + REPORT_SECONDS[1] * len(self.streams))
                with self._changed:
                    while not self.streams:
                        self._changed.wait()
                    positions = time.monotonic() >= positions_due
                    changes = {n: each.changes(positions) for n, each in self.streams.items()}
                    reports = {number: changed for number, changed in changes.items() if changed}
                    for number in [n for n, changed in reports.items() if changed.get("ended")]:
                        del self.streams[number]
                if positions:
                    positions_due = time.monotonic() + POSITION_SECONDS
                if reports:
                    self._send(reports)

    def _send(self, reports):
        self.connection.sendall(pickle.dumps(reports))


class Reported:
    """A stream, and how much of it was reported."""

    def __init__(self, engine, stream):
        self.engine, self.stream = engine, stream
        self._ids, self._logits = len(stream.ids), 0  # how many the other process has
        self._state = self._current_state(position=0)

    def changes(self, positions):
        """Return what has changed, by the names in REPORTED; of `logits` and `ids` the new ones.

        `positions`: whether to look for the position in the queue.
        """
        stream, old = self.stream, self._state
        ended = stream.ended  # before the ids are read
        new_ids, position = stream.ids[self._ids :], old["queue_position"]
        if positions or (position and new_ids):  # which it got once it no longer waited
            position = self.engine.queue_position(stream)
        self._state = self._current_state(position)
        changes = {name: value for name, value in self._state.items() if value != old[name]}
        if ended:
            changes["ended"] = True
        if new_ids and stream.logits is not None:
            # a copy, or the logits of the whole step would be sent
            changes["logits"] = [row.clone() for row in stream.logits[self._logits :]]
            self._logits += len(changes["logits"])
        if new_ids:
            changes["ids"] = new_ids
            self._ids += len(new_ids)
        return {name: changes[name] for name in REPORTED if name in changes}

    def _current_state(self, position):
        stream, error = self.stream, self.stream.error
        if error and not isinstance(error, CharlmError):  # of a kind that may not be pickled
            stream.error = RuntimeError(str(error))
        names = ("start_time", "timed_out", "stopped", "error")
        return {name: getattr(stream, name) for name in names} | {"queue_position": position}


def serve(connection):
    """Serve a connection, and end this process with it."""
    status = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all of its processes
        torch.set_num_threads(1)
        EngineServer(connection).serve()
        status = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(status)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
