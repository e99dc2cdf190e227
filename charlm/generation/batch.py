"""Texts that are written together: token ids in, token ids out. It knows nothing of text.

The context is what the model sees of the text so far. It grows up to block_size characters; then
the older part is dropped and the rest read anew, and it grows again. So it is a function of the
text's length alone, and so is what a text reads like: it depends on the model, the ids that it
begins with and its SampleConfig, and not on who else is being written for.
"""

from collections import deque
from dataclasses import dataclass

import torch

from charlm.config import SampleConfig
from charlm.generation.decoder import make_decoder
from charlm.generation.ngram_draft import CONTEXTS, Draft
from charlm.generation.sampling import Settings, choose, cumulative, distribution
from charlm.rng import uniform

PREFILL_CHUNK = (
    64  # characters that are read between two steps, for those that are about to be written
)
MAX_DRAFT_ROWS = 8  # rows of a step that may be guesses, or the characters before them
WARM_UP = 128, 200  # texts that are written for nobody, and the characters of each
WARM_UP_ROWS = 64  # of these texts


def context_start(length, block_size):
    """Where the context begins in a text of `length` characters; it ends where the text does."""
    if length <= block_size:
        return 0
    dropped = max(1, block_size * 3 // 4)  # at a time: reading anew is dear, far context cheap
    return -(-(length - block_size) // dropped) * dropped


@dataclass(eq=False)
class Stream:
    """A text: the ids so far, which grow at each step, and how it goes on."""

    ids: list
    config: SampleConfig
    visitor: object = None  # whoever it is for
    error: Exception | None = None  # why it goes on no more, if something went wrong
    stopped: bool = False  # set from outside: to be left as it is at the next step
    start: int = 0  # of its context
    written: int = 0  # characters since it was its turn
    began: float | None = None  # when its first turn began, on time.monotonic's clock

    def __post_init__(self):
        self.ids = list(self.ids)
        self.length = len(self.ids) + self.config.max_new_chars

    @property
    def complete(self):
        return len(self.ids) >= self.length

    @property
    def over(self):
        """Whether nothing will be added any more."""
        return self.complete or self.stopped or self.error is not None


class Batch:
    """Streams that are written together, a character each at every step, or more if few are.

    They join at any step and leave when they are done or dropped. All but the last character of a
    context is prefilled before its stream joins, in the prefill slot, slot 0 of the decoder, one
    stream after the other. The others' slots are those from 1 on.
    """

    def __init__(self, model, rows, draft=None, learned=MAX_DRAFT_ROWS):
        self.decoder, self.rows = make_decoder(model), rows
        self.learned = learned  # rows that the draft learns from at each step
        self.draft = draft or Draft(model.config.vocab_size)
        self.block_size = model.config.block_size
        self.writing = []  # the stream in slot 1, in slot 2 ...
        self.reading = deque()
        self._read = 0  # characters of the first one's context
        self._settings = {}  # of these streams, by the rows of each

    def add(self, stream):
        self.reading.append(stream)

    def drop(self, stream):
        """Take a stream out, wherever it is."""
        if stream in self.writing:
            self._leave(self.writing.index(stream))
        elif stream in self.reading:
            if self.reading[0] is stream:
                self._read = 0
            self.reading.remove(stream)

    @torch.inference_mode()
    def step(self):
        """Add to each stream that is ready for it."""
        self._read_on()
        streams = list(self.writing)
        if not streams:
            return
        ids, numbers = self._guess(streams)  # S lists of n
        starts = [len(stream.ids) - 1 - stream.start for stream in streams]
        logits = self.decoder.step(1, ids, starts).flatten(0, 1).cpu()  # (S n, V)
        n = len(ids[0])
        if n not in self._settings:
            configs = [stream.config for stream in streams for _ in range(n)]
            self._settings[n] = Settings.of(configs)
        shares = cumulative(distribution(logits, self._settings[n]))
        chosen = choose(shares, [number for row in numbers for number in row])
        counts = [right(ids[i], chosen[i * n : i * n + n]) for i in range(len(streams))]
        self.decoder.keep(counts)
        self._learn(streams, ids, shares[: self.learned].tolist())
        for i, stream in enumerate(streams):
            stream.ids += chosen[i * n : i * n + counts[i]]
            stream.written += counts[i]
        for i in reversed(range(len(streams))):
            self._go_on(i)

    def _guess(self, streams):
        """For each stream its last id and as many guesses as for all, and the numbers that decide.

        The first guess stands for what the first number decides, the second for the second; there
        is a number more, for what comes after the last guess.
        """
        most = max(1, MAX_DRAFT_ROWS // len(streams))
        for stream in streams:
            most = min(most, stream.length - len(stream.ids))
            most = min(most, stream.start + self.block_size + 1 - len(stream.ids))
        numbers = [
            [uniform(stream.config.seed, len(stream.ids) + i) for i in range(most)]
            for stream in streams
        ]
        if most == 1:
            return [[stream.ids[-1]] for stream in streams], numbers
        guesses = [
            self.draft.guess(stream.ids, row[:-1])
            for stream, row in zip(streams, numbers, strict=True)
        ]
        n = 1 + max(map(len, guesses))
        ids = [
            [stream.ids[-1], *guess, *[0] * (n - 1 - len(guess))]
            for stream, guess in zip(streams, guesses, strict=True)
        ]
        return ids, [row[:n] for row in numbers]

    def _learn(self, streams, ids, shares):
        """Wrong guesses teach too: what would have come after them is as true."""
        n = len(ids[0])
        for i, row in enumerate(shares):
            self.draft.learn(
                [*streams[i // n].ids[-CONTEXTS[0] :], *ids[i // n][1 : i % n + 1]], row
            )

    def _go_on(self, i):
        """What is next for the stream in a place: to be written, to be read anew, or nothing."""
        stream = self.writing[i]
        if stream.complete:
            self._leave(i)
        elif context_start(len(stream.ids), self.block_size) != stream.start:
            self._leave(i)
            self.reading.append(stream)

    def _read_on(self):
        budget = PREFILL_CHUNK
        while budget > 0 and self.reading and len(self.writing) < self.rows:
            stream = self.reading[0]
            stream.start = context_start(len(stream.ids), self.block_size)
            before = stream.ids[stream.start : -1]  # the last one is read by the step
            self.decoder.reserve(len(self.writing) + 2)
            if not self._read:
                self.decoder.clear(0)
            part = before[self._read : self._read + budget]
            if part:
                self.decoder.step(0, [part], [self._read])
                self.decoder.keep([len(part)])
            self._read += len(part)
            budget -= max(1, len(part))
            if self._read == len(before):
                self._join(self.reading.popleft())

    def _join(self, stream):
        self.writing.append(stream)
        self.decoder.move(0, len(self.writing))
        self._read, self._settings = 0, {}

    def _leave(self, i):
        if i < len(self.writing) - 1:
            self.decoder.move(len(self.writing), i + 1)
            self.writing[i] = self.writing[-1]
        self.writing.pop()
        self._settings = {}


def right(ids, chosen):
    """How many of the chosen ids count: a wrong guess makes those after the choice there void."""
    for count, (guess, choice) in enumerate(zip(ids[1:], chosen[:-1], strict=True), 1):
        if guess != choice:
            return count
    return len(chosen)


def warm_up_draft(model, draft):
    """Write texts for nobody, so that a draft knows what to expect; yields after each step."""
    texts, chars = WARM_UP
    batch = Batch(model, WARM_UP_ROWS, draft, learned=WARM_UP_ROWS)
    for seed in range(texts):
        batch.add(Stream([seed % model.config.vocab_size], SampleConfig(chars, seed=seed)))
    while batch.writing or batch.reading:
        batch.step()
        yield
