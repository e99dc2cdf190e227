"""Decoding, one text or many: the thread that writes all of a model's streams, and its limits."""

import threading
import time
import traceback
from collections import deque

import torch

from charlm.errors import CharlmError
from charlm.generation.batch import Batch, Stream, context_start, warm_up_draft
from charlm.generation.ngram_draft import Draft

IDLE = 30  # seconds without a stream until an engine's thread ends; the next starts another
QUIET = 2  # seconds without a stream until it practises
BURST = 0.04  # seconds of writing between two rests, beside others who need the machine
REST = 3  # seconds of rest for each second of writing


class EngineError(CharlmError):
    """Why a stream is not written, or not to its end."""


class Engine:
    """The streams of one model, and the thread that writes them. Safe to use from any thread.

    `limits.max_streams` are written at a time; the others wait in line. While somebody waits, who
    has had `limits.turn` characters goes to the end of it, and whoever has been written for
    `limits.max_seconds` is stopped. A stream that fails fails alone. `yields_cpu`: tells whether
    others need the machine, so that there should be rests.
    """

    def __init__(self, model, limits, yields_cpu=lambda: False):
        self.model, self.limits, self.yields_cpu = model, limits, yields_cpu
        self._line, self._turn = deque(), []  # who waits, and whose turn it is
        self._draft = Draft(model.config.vocab_size)
        self._practice = warm_up_draft(
            model, self._draft
        )  # goes on while there is nothing else to do
        self._busy = 0.0  # when there was a stream last
        self._thread = self._batch = None
        self._changed = threading.Condition()

    def write(self, ids, config, visitor=None):
        """Have `ids` continued from now on; returns the Stream, which grows until it is over.

        Raises EngineError if too many wait already, or `visitor` has too many streams; ValueError
        for ids that the model does not have.
        """
        V = self.model.config.vocab_size
        if not ids or not all(0 <= i < V for i in ids):
            raise ValueError(f"ids must be one or more, from 0 to {V - 1}")
        stream = Stream(ids, config, visitor)
        with self._changed:
            own = sum(s.visitor == visitor and not s.over for s in [*self._line, *self._turn])
            if visitor is not None and own >= self.limits.max_per_visitor:
                raise EngineError(
                    f"{own} texts are being written for you already; let one end first"
                )
            waiting = sum(not s.over for s in self._line)
            if waiting >= self.limits.max_queue:
                raise EngineError(f"{waiting} wait in line already; try again in a minute")
            self._line.append(stream)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="engine")
                self._thread.start()
            self._changed.notify()
        return stream

    def place(self, stream):
        """A stream's place in line, from 1; 0 if it does not wait."""
        with self._changed:
            return self._line.index(stream) + 1 if stream in self._line else 0

    def __len__(self):
        """How many streams are being written, or wait."""
        with self._changed:
            return len(self._line) + len(self._turn)

    def _run(self):
        busy = 0.0
        try:
            self._batch = Batch(self.model, self.limits.max_streams, self._draft)
            while self._schedule():
                began = time.monotonic()
                self._step()
                busy += time.monotonic() - began
                if busy > BURST:
                    if self.yields_cpu():
                        time.sleep(REST * busy)
                    busy = 0.0
        except BaseException as error:  # whoever waits for it is told, whatever it is
            with self._changed:
                for stream in [*self._line, *self._turn]:
                    stream.error = error
                self._line, self._turn, self._thread = deque(), [], None
            raise

    def _schedule(self):
        """Let those leave and begin who should, waiting for somebody; False if nobody comes."""
        with self._changed:
            while not (self._line or self._turn) and is_needed():
                quiet = time.monotonic() - self._busy
                if self._practice and quiet > QUIET:
                    return True
                if quiet > IDLE:
                    break
                self._changed.wait(0.2)
            if not (self._line or self._turn) or not is_needed():
                self._thread = self._batch = None
                return False
            self._busy = now = time.monotonic()
            for stream in list(self._turn):
                stream.stopped |= now - stream.began > self.limits.max_seconds
                if stream.over:
                    self._preempt(stream)
            self._line = deque(stream for stream in self._line if not stream.over)
            while self._line and self._has_room():
                stream = self._line.popleft()
                stream.began, stream.written = stream.began or now, 0
                self._turn.append(stream)
                self._batch.add(stream)
        return True

    def _has_room(self):
        """Whether one more can be written now, if need be after somebody's turn is ended."""
        if len(self._turn) < self.limits.max_streams:
            return True
        had = next((s for s in self._turn if s.written >= self.limits.turn), None)
        if had:
            self._preempt(had)
            self._line.append(had)
        return had is not None

    def _preempt(self, stream):
        self._turn.remove(stream)
        self._batch.drop(stream)

    def _step(self):
        try:
            if self._turn:
                self._batch.step()
            elif self._practice and next(self._practice, self) is self:
                self._practice = None
        except Exception:
            traceback.print_exc()
            self._isolate_failure()

    def _isolate_failure(self):
        """After a step that failed: each stream goes on alone for a character, or has the error."""
        self._batch = Batch(self.model, self.limits.max_streams, self._draft)
        for stream in self._turn:
            alone, length = Batch(self.model, 1, self._draft), len(stream.ids)
            alone.add(stream)
            try:
                while len(stream.ids) == length:
                    alone.step()
            except Exception as error:
                stream.error = error
            if not stream.over:
                self._batch.add(stream)


def decode(model, ids, config):
    """Continue `ids` (at least one); yields config.max_new_chars ids, one by one."""
    batch, stream = Batch(model, rows=1), Stream(ids, config)
    batch.add(stream)
    while not stream.complete:
        length = len(stream.ids)
        batch.step()
        yield from stream.ids[length:]


def is_needed():
    """Whether the program still runs: a thread in which torch works must not be cut off with it."""
    return threading.main_thread().is_alive()


@torch.inference_mode()
def score(model, ids):
    """Log-probabilities of what follows each of the first N of `ids` (N + 1 of them).

    Yields them in parts, each (n, V), that are N together: of all at once, a long text in a large
    alphabet would fill the memory.
    """
    block_size, n = model.config.block_size, len(ids) - 1
    device = next(model.parameters()).device
    done = 0
    while done < n:
        start = context_start(done + 1, block_size)
        end = min(n, start + block_size)
        logits = model(torch.tensor([ids[start:end]], device=device))[0].cpu()  # (T, V)
        yield logits[done - start :].log_softmax(dim=-1)
        done = end
