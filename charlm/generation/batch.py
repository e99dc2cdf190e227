"""Continuous batching: streams decoded together, each by one or more characters per step.

Token ids in, token ids out; no text.
"""

from collections import deque
from itertools import islice

import torch

from charlm.generation.decoder import make_decoder
from charlm.generation.ngram_draft import CONTEXTS, NgramDraft, accepted_length
from charlm.generation.sampling import Settings, cdf, distribution, sample_from_cdf
from charlm.generation.stream import Stream, context_start
from charlm.models.parts import switches
from charlm.rng import uniform

PREFILL_ROWS = 128  # characters prefilled between two steps
PREFILL_SLOT = 0  # of the decoder, for a long context; decoding[i] uses slot i + 1
MAX_ROWS_WITH_DRAFT = 8  # proposals fill a step up to this many rows


class Batch:
    """The streams that one decoder decodes together.

    Streams join at any step and leave when they end or are removed. A stream first waits in
    `prefilling`, until all of its context but the last character has been read. Then it moves to
    `decoding`. Short contexts are read together, each in the slot where its stream will decode; a
    long one is read in chunks in the prefill slot.
    """

    def __init__(self, model, max_streams, draft=None, max_draft_updates=MAX_ROWS_WITH_DRAFT):
        """`max_draft_updates`: rows per step whose cdf the draft stores."""
        self.decoder, self.max_streams = make_decoder(model), max_streams
        self.draft, self.max_draft_updates = draft, max_draft_updates
        if draft is None:
            self.draft = NgramDraft(model.config.vocab_size)
        self.config, self.block_size = model.config, model.config.block_size
        self.decoding = []  # decoding[i] is in slot i + 1
        self.prefilling = deque()
        self._prefilled = 0  # characters of the first one's context, read so far
        self._settings = {}  # rows per stream -> Settings of all rows

    @property
    def is_empty(self):
        return not (self.decoding or self.prefilling)

    def add(self, stream):
        """Add a stream, which grows once its context is prefilled."""
        self.prefilling.append(stream)

    def remove(self, stream):
        """Remove a stream, unless it has left already."""
        if stream in self.decoding:
            self._free_slot(self.decoding.index(stream))
        elif stream in self.prefilling:
            if self.prefilling[0] is stream:
                self._prefilled = 0
            self.prefilling.remove(stream)

    @torch.inference_mode()
    def step(self):
        """Prefill a chunk, then extend every decoding stream by at least one character."""
        self._prefill()
        streams = list(self.decoding)  # S of them
        if not streams:
            return
        ids, uniforms = self._propose(streams)  # S lists of n each
        n = len(ids[0])
        positions = [len(stream.ids) - 1 - stream.context_start for stream in streams]
        on = self._switches_of(streams)
        logits = self.decoder.step(PREFILL_SLOT + 1, ids, positions, on).flatten(0, 1)
        logits = logits.cpu()  # (S n, V)
        cdfs = cdf(distribution(logits, self._settings_of(streams, n)))
        chosen = sample_from_cdf(cdfs, [u for row in uniforms for u in row])
        chosen = [chosen[i * n : (i + 1) * n] for i in range(len(streams))]
        accepted = [accepted_length(*pair) for pair in zip(ids, chosen, strict=True)]
        self.decoder.accept(accepted)
        self._update_draft(streams, ids, cdfs)
        for i, stream in enumerate(streams):
            if stream.logits is not None:  # before the ids, which show others that it has ended
                stream.logits += logits[i * n : i * n + accepted[i]]
            stream.ids += chosen[i][: accepted[i]]
            stream.slice_chars += accepted[i]
        for i in reversed(range(len(streams))):  # freeing a slot moves only streams after it
            self._leave_if_due(i)

    def _propose(self, streams):
        """Return the ids to read, each stream's last one and its proposals, and the uniforms.

        Both are lists of equal length. The i-th uniform chooses the character after the i-th id.
        Short proposals are padded; the padding is rejected like any wrong proposal.
        """
        n = max(1, MAX_ROWS_WITH_DRAFT // len(streams))
        for stream in streams:
            n = min(n, stream.final_length - len(stream.ids))
            n = min(n, stream.context_start + self.block_size + 1 - len(stream.ids))
        uniforms = [
            [uniform(stream.config.seed, len(stream.ids) + i) for i in range(n)]
            for stream in streams
        ]
        if n == 1:
            return [[stream.ids[-1]] for stream in streams], uniforms
        proposals = [
            self.draft.propose(stream.ids, row[:-1])
            for stream, row in zip(streams, uniforms, strict=True)
        ]
        n = 1 + max(map(len, proposals))
        ids = [
            [stream.ids[-1], *proposed, *[0] * (n - 1 - len(proposed))]
            for stream, proposed in zip(streams, proposals, strict=True)
        ]
        return ids, [row[:n] for row in uniforms]

    def _settings_of(self, streams, n):
        """Return the Settings of n rows per stream, cached until the streams change."""
        if n not in self._settings:
            configs = [stream.config for stream in streams for _ in range(n)]
            self._settings[n] = Settings.of(configs)
        return self._settings[n]

    def _switches_of(self, streams):
        """Return the Switches of the streams; None if all parts of all are on."""
        if not any(stream.off for stream in streams):
            return None
        return switches(self.config, [stream.off for stream in streams])

    def _update_draft(self, streams, ids, cdfs):
        """Store the cdfs after accepted and rejected ids: all are predictions of the model."""
        n = len(ids[0])
        for row, values in enumerate(cdfs[: self.max_draft_updates].tolist()):
            i, j = divmod(row, n)
            if streams[i].off:
                continue
            self.draft.update([*streams[i].ids[-CONTEXTS[0] :], *ids[i][1 : j + 1]], values)

    def _leave_if_due(self, i):
        """Free the slot of a stream that is complete, or whose context is to be prefilled again."""
        stream = self.decoding[i]
        if stream.complete:
            self._free_slot(i)
        elif context_start(len(stream.ids), self.block_size) != stream.context_start:
            self._free_slot(i)
            self.prefilling.append(stream)

    def _free_slot(self, i):
        """Remove a stream and move the last one into its slot."""
        last = len(self.decoding) - 1
        if i < last:
            self.decoder.copy(PREFILL_SLOT + 1 + last, PREFILL_SLOT + 1 + i)
            self.decoding[i] = self.decoding[last]
        self.decoding.pop()
        self._settings = {}

    def _prefill(self):
        """Read up to PREFILL_ROWS characters of the contexts that wait, padding included."""
        rows = PREFILL_ROWS
        streams = min(self.max_streams, len(self.decoding) + len(self.prefilling))
        self.decoder.reserve(PREFILL_SLOT + 1 + streams)  # at once, since it copies all slots
        while rows > 0 and self.prefilling and len(self.decoding) < self.max_streams:
            contexts = [] if self._prefilled else self._short_contexts(rows)
            rows -= self._prefill_together(contexts) if contexts else self._prefill_chunk(rows)

    def _short_contexts(self, rows):
        """Return the contexts of the first streams that wait, which fit in `rows` if padded."""
        contexts, longest = [], 1
        for stream in islice(self.prefilling, self.max_streams - len(self.decoding)):
            context = self._context_of(stream)
            longest = max(longest, len(context))
            if (len(contexts) + 1) * longest > rows:
                break
            contexts.append(context)
        return contexts

    def _prefill_together(self, contexts):
        """Read the contexts of the first streams that wait; return the rows that it took."""
        first, S, n = PREFILL_SLOT + 1 + len(self.decoding), len(contexts), max(map(len, contexts))
        streams = [self.prefilling.popleft() for _ in contexts]
        self.decoder.reset(first, S)
        if n:
            ids = [[*context, *[0] * (n - len(context))] for context in contexts]
            self.decoder.step(first, ids, [0] * S, self._switches_of(streams))
            self.decoder.accept([len(context) for context in contexts])
        self.decoding += streams
        self._settings = {}
        return S * max(1, n)

    def _prefill_chunk(self, rows):
        """Read a part of the first context that waits; return the rows that it took."""
        stream = self.prefilling[0]
        context = self._context_of(stream)
        if not self._prefilled:
            self.decoder.reset(PREFILL_SLOT)
        chunk = context[self._prefilled : self._prefilled + rows]
        self.decoder.step(PREFILL_SLOT, [chunk], [self._prefilled], self._switches_of([stream]))
        self.decoder.accept([len(chunk)])
        self._prefilled += len(chunk)
        if self._prefilled == len(context):
            self.decoding.append(self.prefilling.popleft())
            self.decoder.copy(PREFILL_SLOT, PREFILL_SLOT + len(self.decoding))
            self._prefilled, self._settings = 0, {}
        return len(chunk)

    def _context_of(self, stream):
        """Return the ids to prefill; the next step reads the last id."""
        stream.context_start = context_start(len(stream.ids), self.block_size)
        return stream.ids[stream.context_start : -1]


def decode(model, ids, config):
    """Continue `ids` (at least one); yield config.max_new_chars ids, one by one."""
    batch, stream = Batch(model, max_streams=1), Stream(ids, config)
    batch.add(stream)
    while not stream.complete:
        length = len(stream.ids)
        batch.step()
        yield from stream.ids[length:]
