"""Which streams run and which wait: pure policy, with no thread and no model."""

from collections import deque
from typing import NamedTuple

from charlm.errors import CharlmError


class AdmissionError(CharlmError):
    """A stream that the limits do not admit now; the message says why."""


class Changes(NamedTuple):
    """The decisions of `Scheduler.schedule`; apply removals before additions."""

    remove: list  # streams to take out of the batch: ended or preempted
    add: list  # streams to put into the batch


class Scheduler:
    """First come, first served, with time slices while others wait. Not thread-safe.

    `limits` (see serving/limits.py): up to max_streams run and max_queue wait; a client has up to
    max_per_visitor of them. While streams wait, one that has used up its time slice of time_slice
    characters is preempted and goes to the end of the queue. A stream ends max_seconds after
    its first time slice began.
    """

    def __init__(self, limits):
        self.limits = limits
        self.waiting, self.running = deque(), []

    def __len__(self):
        return len(self.waiting) + len(self.running)

    def submit(self, stream):
        """Append a stream to the queue. Raises AdmissionError."""
        own = sum(s.client == stream.client and not s.ended for s in self.streams())
        if stream.client is not None and own >= self.limits.max_per_visitor:
            raise AdmissionError(
                f"{own} texts are being written for you already; let one end first"
            )
        waiting = sum(not s.ended for s in self.waiting)
        if waiting >= self.limits.max_queue:
            raise AdmissionError(f"{waiting} wait in line already; try again in a minute")
        self.waiting.append(stream)

    def streams(self):
        """Return all streams, those that wait first."""
        return [*self.waiting, *self.running]

    def queue_position(self, stream):
        """Return a stream's position in the queue, from 1; 0 if it does not wait."""
        return self.waiting.index(stream) + 1 if stream in self.waiting else 0

    def schedule(self, now):
        """Stop, preempt and start streams; return the Changes. `now`: time.monotonic's clock."""
        for stream in self.running:
            stream.stopped |= now - stream.start_time > self.limits.max_seconds
        removed = [stream for stream in self.running if stream.ended]
        self.running = [stream for stream in self.running if not stream.ended]
        self.waiting = deque(stream for stream in self.waiting if not stream.ended)
        added = []
        while self.waiting and (preempted := self._make_room()) is not None:
            removed += preempted
            stream = self.waiting.popleft()
            if stream.start_time is None:
                stream.start_time = now
            stream.slice_chars = 0
            self.running.append(stream)
            added.append(stream)
        return Changes(removed, added)

    def clear(self):
        """Remove and return all streams."""
        streams = self.streams()
        self.waiting, self.running = deque(), []
        return streams

    def _make_room(self):
        """Return the streams preempted so that one more can run; None if there is no room."""
        if len(self.running) < self.limits.max_streams:
            return []
        for stream in self.running:
            if stream.slice_chars >= self.limits.time_slice:
                self.running.remove(stream)
                self.waiting.append(stream)
                return [stream]
        return None
