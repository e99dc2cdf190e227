"""Which streams run and which wait: pure policy, with no thread and no model."""

from collections import Counter
from typing import NamedTuple

from charlm.errors import CharlmError
from charlm.generation.fair_queue import FairQueue

DISPLACED = "too many texts were asked for from your network at once, and others wait too"
CROWDED = 8  # clients that compete share max_streams divided by this, so that each is fast
FIRST_SLICE = 50  # characters, while others wait for their first ones


class AdmissionError(CharlmError):
    """A stream that the limits do not admit now; the message says why."""


class Changes(NamedTuple):
    """The decisions of `Scheduler.schedule`; apply removals before additions."""

    remove: list  # streams to take out of the batch: ended or preempted
    add: list  # streams to put into the batch


class Scheduler:
    """Serves clients in turn, with time slices while others wait. Not thread-safe.

    `limits` (see serving/limits.py): up to max_streams run and max_queue wait; a session has up to
    max_per_visitor of them. While streams wait, one that has used up its time slice of time_slice
    characters is preempted and waits again. For a stream that has never run, the slices of others
    are shorter: see `is_due`. A stream ends max_seconds after its first time slice began.

    Any number of a client's streams run while it is alone. Once another client has one, each runs
    at most its share, and what a client has beyond it is preempted. In a full queue, the newest
    stream of the client that has most makes room for a client that has less.
    """

    def __init__(self, limits):
        self.limits = limits
        self.waiting, self.running = FairQueue(), []

    def __len__(self):
        return len(self.waiting) + len(self.running)

    def submit(self, stream):
        """Append a stream to the queue. Raises AdmissionError."""
        own = sum(s.session == stream.session and not s.ended for s in self.streams())
        if stream.session is not None and own >= self.limits.max_per_visitor:
            raise AdmissionError(
                f"{own} texts are being written for you already; let one end first"
            )
        if len(self.waiting) >= self.limits.max_queue:
            self._remove_ended()
        if len(self.waiting) >= self.limits.max_queue:
            displaced = self.waiting.displaced_by(stream.client)
            if displaced is None:
                waiting = len(self.waiting)
                raise AdmissionError(f"{waiting} wait in line already; try again in a minute")
            self.waiting.remove(displaced)
            displaced.error = AdmissionError(f"{DISPLACED}; try again in a minute")
        self._wait(stream)

    def streams(self):
        """Return all streams, those that wait first."""
        return [*self.waiting, *self.running]

    def queue_position(self, stream):
        """Return a stream's position in the queue, from 1; 0 if it does not wait."""
        return self.waiting.position(stream)

    def schedule(self, now):
        """Stop, preempt and start streams; return the Changes. `now`: time.monotonic's clock."""
        for stream in self.running:
            if now - stream.start_time > self.limits.max_seconds:
                stream.stopped = stream.timed_out = True
        removed = [stream for stream in self.running if stream.ended]
        self.running = [stream for stream in self.running if not stream.ended]
        self._remove_ended()
        removed += self._preempt_beyond_shares()
        added = []
        for stream, preempted in self._decide():
            self.waiting.take(stream)
            removed += map(self._preempt, preempted)
            if stream.start_time is None:
                stream.start_time = now
            stream.slice_chars = 0
            self.running.append(stream)
            added.append(stream)
        return Changes(removed, added)

    def clear(self):
        """Remove and return all streams."""
        streams = self.streams()
        self.waiting, self.running = FairQueue(), []
        return streams

    def share(self):
        """Return how many streams of a client may run now."""
        clients = {stream.client for stream in self.running} | self.waiting.clients()
        if len(clients) <= 1:
            return self.limits.max_streams
        return max(1, self.limits.max_streams // (CROWDED * len(clients)))

    def _preempt_beyond_shares(self):
        """Preempt the streams that a client has beyond its share, the longest running first."""
        share, preempted = self.share(), []
        for client, count in Counter(stream.client for stream in self.running).items():
            own = [stream for stream in self.running if stream.client == client]
            own.sort(key=lambda stream: -stream.slice_chars)
            preempted += map(self._preempt, own[: max(0, count - share)])
        return preempted

    def _decide(self):
        """Return (stream, [the one to preempt for it, if any]) of those that start to run now."""
        if not self.waiting:
            return []
        share, running = self.share(), Counter(stream.client for stream in self.running)
        room = self.limits.max_streams - len(self.running)
        due = {new: [s for s in self.running if self.is_due(s, new)] for new in (False, True)}
        decisions, refused = [], set()
        for stream in self.waiting:
            new = stream.start_time is None
            if (stream.client, new) in refused:
                continue
            at_share = running[stream.client] >= share
            preempted = []
            if at_share or room <= 0:
                candidates = due[new]
                if at_share:
                    candidates = [s for s in candidates if s.client == stream.client]
                if not candidates:
                    refused.add((stream.client, new))
                    continue
                preempted = [max(candidates, key=lambda s: running[s.client])]
                for streams in due.values():
                    streams[:] = [s for s in streams if s is not preempted[0]]
                running[preempted[0].client] -= 1
                room += 1
            running[stream.client] += 1
            room -= 1
            decisions.append((stream, preempted))
        return decisions

    def is_due(self, stream, for_new):
        """Return whether a running stream has used up its time slice.

        `for_new`: whether the stream that waits has never run. A slice then ends after FIRST_SLICE
        characters, or as many as the context had at its beginning: the characters that are read
        again after it are at most twice those that it wrote.
        """
        chars = stream.slice_chars
        shorter = chars >= max(FIRST_SLICE, stream.context_length - chars)
        return chars >= self.limits.time_slice or (for_new and shorter)

    def _preempt(self, stream):
        self.running.remove(stream)
        self._wait(stream)
        return stream

    def _wait(self, stream):
        self.waiting.push(stream, stream.client, stream.session)

    def _remove_ended(self):
        for stream in [stream for stream in self.waiting if stream.ended]:
            self.waiting.remove(stream)
