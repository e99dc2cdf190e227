"""Guesses of what comes next in a text, from what came after the same few characters before.

A guess costs a look into a table, and several guessed characters are checked by the model in one
pass, which takes hardly longer than a pass for one: most of a pass is spent on fetching weights.
What is wrong is thrown away, so the text is that which the model would have written by itself
(Leviathan et al. 2023, "Fast Inference from Transformers via Speculative Decoding"; here the number
that decides a character is known beforehand, so the draft decides by the same number).
"""

from array import array
from bisect import bisect_right
from collections import OrderedDict

CONTEXTS = (5, 4, 3, 2, 1)  # lengths, tried in this order
NUMBERS = 4_000_000  # that are kept at most, of four bytes each


class Draft:
    """For each short context, how the model shared out [0, 1) when it last came by."""

    def __init__(self, vocab_size):
        self.size = max(1, NUMBERS // vocab_size)
        self.shares = OrderedDict()  # those that came by longest ago are first

    def learn(self, ids, shares):
        """Note the shares, a list of V borders, of what comes after `ids`."""
        shares = array("f", shares)
        for n in CONTEXTS:
            if n <= len(ids):
                context = tuple(ids[-n:])
                self.shares[context] = shares
                self.shares.move_to_end(context)
        while len(self.shares) > self.size:
            self.shares.popitem(last=False)

    def guess(self, ids, numbers):
        """Ids to follow `ids`, one for each number in [0, 1) or fewer."""
        ids, guessed = list(ids[-CONTEXTS[0] :]), []
        for number in numbers:
            contexts = (tuple(ids[-n:]) for n in CONTEXTS if n <= len(ids))
            shares = next((self.shares[c] for c in contexts if c in self.shares), None)
            if shares is None:
                break
            guessed.append(min(bisect_right(shares, number), len(shares) - 1))
            ids = [*ids[-CONTEXTS[0] + 1 :], guessed[-1]]
        return guessed
