"""The engine: one thread that generates for all streams of a model.

    submit -> Scheduler (waiting, running) -> Batch (prefilling, decoding) -> stream.ids

The Scheduler decides which streams run, the Batch computes; the thread alternates between them.
"""

import threading
import time
import traceback
from abc import ABC, abstractmethod

from charlm.generation.batch import Batch
from charlm.generation.ngram_draft import NgramDraft
from charlm.generation.scheduler import Scheduler
from charlm.generation.stream import Stream
from charlm.generation.warm_up import warm_up_draft

IDLE_SECONDS = 30  # without a stream, after which the thread ends; the next stream starts another
QUIET_SECONDS = 2  # without a stream, after which the draft is warmed up
BURST_SECONDS = 0.04  # of work between two pauses, while others need the processor
PAUSE_RATIO = 3  # seconds of pause per second of work
POLL_SECONDS = 0.2  # between checks that the program still runs


class BaseEngine(ABC):
    """The interface of engines: streams are submitted, and grow until they have ended.

    `model`: the one that generates.
    """

    def submit(self, ids, config, client=None, session=None, off=(), keep_logits=False):
        """Queue a stream that continues `ids`; return it. Its ids grow until it has ended.

        `off`: parts of the model that are switched off, as parse_parts returns them.
        `keep_logits`: whether the stream keeps the logits (V,) behind each new character.

        Raises AdmissionError, and ValueError for ids outside the vocabulary.
        """
        V = self.model.config.vocab_size
        if not ids or not all(0 <= i < V for i in ids):
            raise ValueError(f"ids must be one or more, from 0 to {V - 1}")
        logits = [] if keep_logits else None
        stream = Stream(ids, config, client, session, off=off, logits=logits)
        self.add(stream)
        return stream

    @abstractmethod
    def add(self, stream):
        """Queue a Stream. AdmissionError is raised, or ends it."""

    @abstractmethod
    def stop(self, stream):
        """End a stream at the next step."""

    @abstractmethod
    def queue_position(self, stream):
        """Return a stream's position in the queue, from 1; 0 if it does not wait."""

    @abstractmethod
    def __len__(self):
        """Return the number of streams that run or wait."""


class Engine(BaseEngine):
    """Generates the streams of one model. Safe to use from any thread.

    A stream that fails ends with its error; the others continue. `should_yield()`: whether others
    need the processor, so that the thread should pause between bursts of work.
    """

    def __init__(self, model, limits, should_yield=lambda: False):
        """`limits`: those of Scheduler."""
        self.model, self.should_yield = model, should_yield
        self.scheduler = Scheduler(limits)
        self._draft = NgramDraft(model.config.vocab_size)
        self._warm_up = warm_up_draft(model, self._draft)  # None once it is done
        self._last_busy = 0.0  # when a stream last ran or waited
        self._thread = self._batch = None
        self._changed = threading.Condition()  # guards the scheduler and the thread

    def add(self, stream):
        with self._changed:
            self.scheduler.submit(stream)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="engine")
                self._thread.start()
            self._changed.notify()

    def stop(self, stream):
        stream.stopped = True

    def queue_position(self, stream):
        with self._changed:
            return self.scheduler.queue_position(stream)

    def __len__(self):
        with self._changed:
            return len(self.scheduler)

    def _run(self):
        """Generate until no stream has been submitted for IDLE_SECONDS."""
        burst = 0.0  # seconds
        try:
            self._batch = self._new_batch()
            while self._schedule():
                began = time.monotonic()
                self._step()
                burst += time.monotonic() - began
                if burst > BURST_SECONDS:
                    if self.should_yield():
                        time.sleep(PAUSE_RATIO * burst)
                    burst = 0.0
        except BaseException as error:  # or clients would wait for their streams forever
            with self._changed:
                for stream in self.scheduler.clear():
                    stream.error = error
                self._thread = None
            raise

    def _schedule(self):
        """Wait for work and update the batch; return False to end the thread."""
        with self._changed:
            while not len(self.scheduler) and main_thread_is_alive():
                quiet = time.monotonic() - self._last_busy
                if self._warm_up and quiet > QUIET_SECONDS:
                    return True
                if quiet > IDLE_SECONDS:
                    break
                self._changed.wait(POLL_SECONDS)
            if not len(self.scheduler) or not main_thread_is_alive():
                self._thread = self._batch = None
                return False
            self._last_busy = time.monotonic()
            changes = self.scheduler.schedule(self._last_busy)
            for stream in changes.remove:
                self._batch.remove(stream)
            for stream in changes.add:
                self._batch.add(stream)
        return True

    def _step(self):
        """Extend the running streams, or warm up the draft if there are none."""
        try:
            if self.scheduler.running:
                self._batch.step()
            elif self._warm_up and next(self._warm_up, "done") == "done":
                self._warm_up = None
        except Exception:
            traceback.print_exc()
            self._isolate_failure()

    def _isolate_failure(self):
        """After a failed step, step each stream alone; those that fail again get the error."""
        self._batch = self._new_batch()
        for stream in self.scheduler.running:
            alone, length = Batch(self.model, 1, self._draft), len(stream.ids)
            alone.add(stream)
            try:
                while len(stream.ids) == length:
                    alone.step()
            except Exception as error:
                stream.error = error
            if not stream.ended:
                self._batch.add(stream)

    def _new_batch(self):
        return Batch(self.model, self.scheduler.limits.max_streams, self._draft)


def main_thread_is_alive():
    """Return whether the program still runs. Its exit must not interrupt a torch operation."""
    return threading.main_thread().is_alive()
