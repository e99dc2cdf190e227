"""What of a text stands in the training text of a model, which is indexed when it is first used.

A client that compares texts with a training text can read all of it, piece by piece. So only the
visitor who gave a text to train on may do so: see training_text.py.
"""

import threading
from dataclasses import dataclass

from charlm.data.corpus import SHA256, DataError
from charlm.errors import CharlmError
from charlm.inspection.copying import TrainingIndex, baseline, copied
from charlm.serving.training_text import training_text_of

MAX_INDEXES = 2  # in memory; each takes up to 50 bytes per character
MAX_CHARS = 2_000_000  # of a text that is indexed


class MissingTextError(CharlmError):
    """A training text that is not on this machine; `can_fetch`: whether `fetch` can change that."""

    def __init__(self, model, name, can_fetch):
        advice = 'the button "Copied?" of the page fetches it, or ' if can_fetch else ""
        super().__init__(
            f"the text that {model} was trained on, {name}, is not on this machine; {advice}start"
            " the page with CHARLM_DATA=FILE"
        )
        self.can_fetch = can_fetch


@dataclass(frozen=True)
class Indexed:
    """A training text with its index, and what unseen text has in common with it."""

    index: TrainingIndex
    unseen: dict


class TrainingTexts:
    """The training texts of a Library's models, of which the last MAX_INDEXES stay indexed.

    Safe to use from any thread. All methods raise CharlmError for an unknown model, and for a text
    that is not the visitor's to use; `by` is the Visitor.
    """

    def __init__(self, library):
        self.library = library
        self._indexed = {}  # key of a TrainingText -> Indexed, the least recently used one first
        self._indexing, self._fetching = threading.Lock(), threading.Lock()

    def is_indexed(self, model, by):
        """Return whether `compare` answers at once."""
        return training_text_of(self.library, model, by).key in self._indexed

    def compare(self, text, model, by):
        """Return what of a text stands in a model's training text: see inspection.copying.

        "corpus" is the training text's name. Raises MissingTextError, and CharlmError for a text
        of more than MAX_CHARS.
        """
        source = training_text_of(self.library, model, by)
        with self._indexing:
            indexed = self._indexed.pop(source.key, None) or self._index(source)
            self._indexed[source.key] = indexed
            while len(self._indexed) > MAX_INDEXES:
                del self._indexed[next(iter(self._indexed))]
        return copied(indexed.index, text, indexed.unseen) | {"corpus": source.name}

    def fetch(self, model, by):
        """Download the training text of a model, if it is Tiny Shakespeare. Raises DataError."""
        source = training_text_of(self.library, model, by)
        with self._fetching:
            source.read(fetch=True)

    def _index(self, source):
        """Return the Indexed of a TrainingText."""
        try:
            corpus = source.read()
        except DataError:
            if source.refused:
                raise CharlmError(
                    f"{source.model} was trained on a text that a visitor gave; only that visitor"
                    " can compare others with it"
                ) from None
            can_fetch = source.sha256 == SHA256
            raise MissingTextError(source.model, source.name, can_fetch) from None
        if len(corpus.text) > MAX_CHARS:
            raise CharlmError(
                f"the text that {source.model} was trained on has {len(corpus.text):,} characters;"
                f" at most {MAX_CHARS:,} are compared with others"
            )
        index = TrainingIndex(corpus.training_part)
        return Indexed(index, baseline(index, corpus.validation_part))
