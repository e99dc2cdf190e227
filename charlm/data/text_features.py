"""Compare a generated text with the training text: its words, its lines, its speakers."""

import re
from collections import Counter

WORD = re.compile(r"[^\W\d_]+")  # letters of any alphabet
SPEAKER_LINES = 5  # times that a line ending in a colon occurs in the text of a play
LINES = 0.05, 0.95  # quantiles of the lengths of the training text's lines


class TextFeatures:
    """The words, lengths of lines and speakers of a training text."""

    def __init__(self, text):
        lines = [line for line in text.split("\n") if line]
        lengths = sorted(map(len, lines)) or [0]
        self.words = set(WORD.findall(text.lower()))
        self.shortest, self.longest = (lengths[int(q * len(lengths))] for q in LINES)
        titles = Counter(line for line in lines if line.endswith(":"))
        self.speakers = {line[:-1] for line, count in titles.items() if count >= SPEAKER_LINES}

    def compare(self, sample):
        """Return what a sample has in common with the training text, by name.

        `words`: the share of its letters in words that occur there. `lines`: the share of its
        lines that are as long as nine tenths of the lines there; 0 for a sample of fewer than four.
        `speaker`: the first of its lines that names a speaker of the play; "" if none does. The
        first and the last line do not count, since they may be cut.
        """
        words = WORD.findall(sample.lower())
        known = sum(len(word) for word in words if word in self.words)
        whole = sample.split("\n")[1:-1]
        lengths = [len(line) for line in whole if line]
        fitting = sum(self.shortest <= length <= self.longest for length in lengths)
        named = (line[:-1] for line in whole if line.endswith(":"))
        return {
            "words": round(known / max(1, sum(map(len, words))), 3),
            "lines": round(fitting / len(lengths), 3) if len(lengths) >= 4 else 0.0,
            "speaker": next((name for name in named if name in self.speakers), ""),
        }
