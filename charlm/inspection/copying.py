"""Which pieces of a text stand word for word in a training text: exact, for any characters.

The index is a suffix array (Manber and Myers, 1993) with the ranks of the blocks that it was sorted
by (Karp, Miller and Rosenberg, 1972): one comparison of ranks compares two blocks. All characters
of a text are looked up at once, as tensors.
"""

import math
import sys
from collections import deque
from typing import NamedTuple

import torch

GROWTH = 4  # factor between two block lengths; with a smaller one, the index would be larger
MISSING = -2  # rank of a block that the training text does not have; -1 is the text's end
CONTEXT = 150  # characters before and after a piece, and of its start and end if it is long
MIN_SPANS = 20  # in an answer, if the text has so many
MAX_CONTEXTS = 1000  # in an answer


class Piece(NamedTuple):
    """A maximal piece of a text: it stands in the training text, and no longer one contains it."""

    start: int
    end: int  # exclusive
    low: int  # the interval of the suffix array in which the suffixes begin with it
    high: int


class TrainingIndex:
    """The index of a training text. It takes 4 bytes per character and distinct block length."""

    def __init__(self, text):
        self.text = text
        codes = code_points(text)
        self.chars, counts = codes.unique(return_counts=True)
        self.first = torch.cat([torch.zeros(1, dtype=torch.long), counts.cumsum(0)])
        self.order, rank, is_unique = ranked(codes)
        self.ranks = [rank]  # of the blocks of 1, GROWTH, GROWTH**2, ... characters
        length = 1
        while length < len(text):
            # once no block occurs twice, longer ones have the same ranks
            if not is_unique:
                self.order, rank, is_unique = ranked(pairs(rank, length))
            length *= 2
            if length == GROWTH ** len(self.ranks):
                self.ranks.append(rank)

    def pieces(self, text):
        """Return the Pieces of a text, in order."""
        low, high, length = self._longest(text)
        ends = torch.arange(len(text)) + length
        previous = torch.cat([ends.new_zeros(1), ends])[: len(text)]
        starts = ((length > 0) & (ends > previous)).nonzero()[:, 0]
        columns = (starts, *(column[starts] for column in (ends, low, high)))
        return [Piece(*row) for row in zip(*(c.tolist() for c in columns), strict=True)]

    def first_offset(self, piece):
        """Return where a Piece stands first in the training text."""
        return int(self.order[piece.low : piece.high].min())

    def _longest(self, text):
        """Return the longest match that begins at each character: (low, high, length)."""
        m = len(text)
        names = self._names(text)
        low, length = torch.zeros(2, m, dtype=torch.long)
        high = torch.full((m,), len(self.text))
        for level in reversed(range(len(names))):
            name, active = names[level], torch.arange(m)
            while len(active):
                wanted = name[(active + length[active]).clamp(max=m)]
                active, wanted = active[wanted >= 0], wanted[wanted >= 0]
                place = low[active], high[active], length[active]
                narrow_low, narrow_high = self._narrowed(*place, level, wanted)
                found = narrow_high > narrow_low
                active = active[found]
                low[active], high[active] = narrow_low[found], narrow_high[found]
                length[active] += GROWTH**level
        return low, high, length

    def _names(self, text):
        """Return the rank of the block at each character, and MISSING at the end, per length."""
        m, codes = len(text), code_points(text)
        char = torch.searchsorted(self.chars, codes).clamp(max=max(0, len(self.chars) - 1))
        known = self.chars[char] == codes if len(self.chars) else torch.zeros(m, dtype=torch.bool)
        low = torch.where(known, self.first[char], MISSING)
        high = torch.where(known, self.first[(char + 1).clamp(max=len(self.chars))], MISSING)
        names = []
        for level in range(len(self.ranks)):
            names.append(name := torch.cat([low, low.new_full((1,), MISSING)]))
            for part in range(1, GROWTH):
                depth = part * GROWTH**level
                at = (torch.arange(m) + depth).clamp(max=m)
                found = ((low >= 0) & (name[at] >= 0)).nonzero()[:, 0]
                place = low[found], high[found], torch.full_like(found, depth)
                narrow_low, narrow_high = self._narrowed(*place, level, name[at[found]])
                found, kept = found[narrow_high > narrow_low], narrow_high > narrow_low
                low, high = torch.full_like(low, MISSING), torch.full_like(high, MISSING)
                low[found], high[found] = narrow_low[kept], narrow_high[kept]
        return names

    def _narrowed(self, low, high, depth, level, name):
        """Return the parts of intervals in which blocks of a level follow `depth` characters.

        `name`: the ranks of the blocks. All are tensors of one length; if low is high, it is empty.
        """
        low = self._bound(low, high, depth, self.ranks[level], name)
        return low, self._bound(low, high, depth, self.ranks[level], name + 1)

    def _bound(self, low, high, depth, rank, least):
        """Return the first index in [low, high) with a rank of at least `least` there, or high."""
        n = len(self.text)
        while bool((low < high).any()):
            middle = (low + high) // 2
            at = self.order[middle.clamp(max=n - 1)] + depth
            is_before = (low < high) & (rank[at.clamp(max=n)] < least)
            low = torch.where(is_before, middle + 1, low)
            high = torch.where(is_before, high, middle)
        return low


def lengths_of(pieces, size):
    """Return for each of `size` characters the length of the longest of the Pieces that has it.

    Starts and ends of the Pieces rise. So a piece that a longer one follows is not needed anymore.
    """
    lengths, waiting, needed = [], deque(pieces), deque()
    for at in range(size):
        if waiting and waiting[0].start == at:
            piece = waiting.popleft()
            while needed and size_of(needed[-1]) <= size_of(piece):
                needed.pop()
            needed.append(piece)
        if needed and needed[0].end == at:
            needed.popleft()
        lengths.append(size_of(needed[0]) if needed else 0)
    return lengths


def size_of(piece):
    return piece.end - piece.start


def baseline(index, text):
    """Return {"median", "p95"} of the lengths over a text that the model never saw.

    They are the smallest lengths that at least half, and 95 %, of its characters do not exceed.
    """
    lengths = sorted(lengths_of(index.pieces(text), len(text)))
    shares = {"median": 0.5, "p95": 0.95}
    return {name: nearest_rank(lengths, share) for name, share in shares.items()}


def nearest_rank(values, share):
    """Return the percentile of sorted values that is one of them; 0 of none."""
    return values[math.ceil(share * len(values)) - 1] if values else 0


def copied(index, text, unseen):
    """Return what of a text stands word for word in the training text of an index.

    The value is {"lengths", "spans": [{"start", "end", "offset", "count", "context"}, ...],
    "unseen"}. The spans are the maximal ones, the longest first: all that are longer than
    unseen["p95"], and others up to MIN_SPANS. `offset` is where the span stands first, of `count`
    times. `context` is the `shortened` span with CONTEXT characters more on both sides, as far as
    there are any; only the first MAX_CONTEXTS spans have one, since each may overlap many others.
    """
    pieces = index.pieces(text)
    longest = sorted(pieces, key=lambda piece: (-size_of(piece), piece.start))
    n_longer = sum(size_of(piece) > unseen["p95"] for piece in pieces)
    offsets, spans = {}, []
    for piece in longest[: max(n_longer, MIN_SPANS)]:
        interval = piece.low, piece.high
        if interval not in offsets:
            offsets[interval] = index.first_offset(piece)
        offset, count = offsets[interval], piece.high - piece.low
        spans.append({"start": piece.start, "end": piece.end, "offset": offset, "count": count})
        if len(spans) <= MAX_CONTEXTS:
            spans[-1]["context"] = context_of(index.text, offset, offset + size_of(piece))
    return {"lengths": lengths_of(pieces, len(text)), "spans": spans, "unseen": unseen}


def context_of(text, start, end):
    """Return a `shortened` piece of a text, and CONTEXT characters before and after it."""
    before, after = text[max(0, start - CONTEXT) : start], text[end : end + CONTEXT]
    return before + shortened(text[start:end]) + after


def shortened(piece):
    """Return a piece with "…" for its middle if it has more than 2 * CONTEXT characters."""
    return piece if len(piece) <= 2 * CONTEXT else f"{piece[:CONTEXT]}…{piece[-CONTEXT:]}"


def code_points(text):
    """Return the code points of a text, an int32 tensor."""
    if not text:
        return torch.zeros(0, dtype=torch.int32)
    codes = bytearray(text, "utf-32-le" if sys.byteorder == "little" else "utf-32-be")
    return torch.frombuffer(codes, dtype=torch.int32)


def ranked(keys):
    """Return (the order of the keys, the rank of each, whether all differ).

    The rank of a key is the number of smaller ones. One more, -1, follows the last.
    """
    n = len(keys)
    keys, order = keys.sort()
    is_first = torch.ones(n, dtype=torch.bool)
    is_first[1:] = keys[1:] != keys[:-1]
    smaller = torch.where(is_first, torch.arange(n), 0).cummax(0).values
    rank = torch.full((n + 1,), -1, dtype=torch.int32)
    rank[order] = smaller.int()
    return order.int(), rank, bool(is_first.all())


def pairs(rank, length):
    """Return a key for each pair of a block and the one that follows it, `length` later."""
    n = len(rank) - 1
    following = rank.new_full((n,), -1)
    following[: max(0, n - length)] = rank[length:n]
    return rank[:n].long() * (n + 1) + following + 1
