"""An n-gram draft for speculative decoding: proposes the next characters for the model to verify.

A proposal is a table lookup. The model verifies several proposed characters in one pass, which
takes hardly longer than a pass for one, since fetching the weights dominates. Rejected characters
are discarded, so the text is the one that the model would have generated alone.

Source: Leviathan et al. 2023, "Fast Inference from Transformers via Speculative Decoding". Here the
uniform number that chooses a character is known in advance, so the draft inverts its cdf at the
same number as the model.
"""

from array import array
from bisect import bisect_right
from collections import OrderedDict

CONTEXTS = (5, 4, 3, 2, 1)  # context lengths, longest first
MAX_NUMBERS = 4_000_000  # float32 numbers in the table


class NgramDraft:
    """For each short context, the model's latest cdf after it. The least recent are evicted."""

    def __init__(self, vocab_size):
        self.max_contexts = max(1, MAX_NUMBERS // vocab_size)
        self.cdfs = OrderedDict()  # context, a tuple of ids -> cdf; least recently updated first

    def update(self, ids, cdf):
        """Store the cdf, a list of V numbers, of the character after `ids`."""
        cdf = array("f", cdf)
        for n in CONTEXTS:
            if n <= len(ids):
                context = tuple(ids[-n:])
                self.cdfs[context] = cdf
                self.cdfs.move_to_end(context)
        while len(self.cdfs) > self.max_contexts:
            self.cdfs.popitem(last=False)

    def propose(self, ids, uniforms):
        """Propose ids after `ids`: one per number in [0, 1), fewer where no context is known."""
        ids, proposed = list(ids[-CONTEXTS[0] :]), []
        for u in uniforms:
            contexts = (tuple(ids[-n:]) for n in CONTEXTS if n <= len(ids))
            cdf = next((self.cdfs[c] for c in contexts if c in self.cdfs), None)
            if cdf is None:
                break
            proposed.append(min(bisect_right(cdf, u), len(cdf) - 1))
            ids = [*ids[-CONTEXTS[0] + 1 :], proposed[-1]]
        return proposed


def accepted_length(ids, chosen):
    """Return how many of the `chosen` ids are valid.

    `ids` (n) are the last character and n - 1 proposals; chosen[i] follows ids[i]. A wrong proposal
    invalidates every choice after it.
    """
    for count, (proposed, choice) in enumerate(zip(ids[1:], chosen[:-1], strict=True), 1):
        if proposed != choice:
            return count
    return len(chosen)
