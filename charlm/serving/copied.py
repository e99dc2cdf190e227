"""What of a text stands in the training text of a model, which is indexed when it is first used.

The text is looked for where a resumed run would look for it. Whoever may compare texts with a
training text can read all of it, piece by piece. So only the visitor who gave a text to train on
may do so: see owners.py.
"""

import threading
from dataclasses import dataclass
from pathlib import Path

from charlm.data.corpus import SHA256, DataError, find_corpus
from charlm.errors import CharlmError, name_files
from charlm.inspection.copying import TrainingIndex, baseline, copied
from charlm.models.checkpoint import load_description
from charlm.runs.resume import saved_data_path
from charlm.serving.owners import may_act

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
class Source:
    """What a model's directory says about its training text, and where a visitor may have it from.

    `owner`: the run that has the text, if only its owner may use it; "" for all others.
    """

    model: str
    name: str
    sha256: str
    paths: tuple
    owner: str
    refused: bool  # whether a text is not looked for where it is, since it is another visitor's

    @property
    def key(self):
        """What tells the text, and who may use it, from others."""
        return self.owner, self.sha256


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

    def __init__(self, library, jobs):
        """`jobs`: the JobQueue, which knows who gave a run its text."""
        self.library, self.store = library, jobs.store
        self._indexed = {}  # key of a Source -> Indexed, the least recently used one first
        self._indexing, self._fetching = threading.Lock(), threading.Lock()

    def is_indexed(self, model, by):
        """Return whether `compare` answers at once."""
        return self._source(model, by).key in self._indexed

    def compare(self, text, model, by):
        """Return what of a text stands in a model's training text: see inspection.copying.

        "corpus" is the training text's name. Raises MissingTextError, and CharlmError for a text
        of more than MAX_CHARS.
        """
        source = self._source(model, by)
        with self._indexing:
            indexed = self._indexed.pop(source.key, None) or self._index(source)
            self._indexed[source.key] = indexed
            while len(self._indexed) > MAX_INDEXES:
                del self._indexed[next(iter(self._indexed))]
        return copied(indexed.index, text, indexed.unseen) | {"corpus": source.name}

    def fetch(self, model, by):
        """Download the training text of a model, if it is Tiny Shakespeare. Raises DataError."""
        source = self._source(model, by)
        with self._fetching:
            find_corpus(source.name, source.sha256, source.paths, fetch=True)

    def _source(self, model, by):
        """Return the Source of a model's training text."""
        location = self.library.locate(model)
        directory = location.directory
        try:
            data = load_description(directory).data
        except CharlmError as error:
            raise CharlmError(name_files(str(error), directory, model)) from None
        # a repository on the Hub must not choose a file of this machine
        saved = None if location.commit else saved_data_path(directory)
        run = self._run_with(saved) if data["sha256"] != SHA256 else None
        job = run and self.store.get(run)
        refused = bool(run) and not (job and may_act(by, job))
        paths, owner = ((), "") if refused else ((saved,), run or "")
        return Source(model, data["name"], data["sha256"], paths, owner, refused)

    def _run_with(self, path):
        """Return the name of the run to which a visitor gave the text at a path, or None."""
        folder = self.store.folder.resolve()
        if path is None or not Path(path).resolve().is_relative_to(folder):
            return None
        return Path(path).resolve().relative_to(folder).parts[0]

    def _index(self, source):
        """Return the Indexed of a Source."""
        try:
            corpus, _ = find_corpus(source.name, source.sha256, source.paths, fetch=False)
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
        index = TrainingIndex(corpus.training_text())
        return Indexed(index, baseline(index, corpus.validation_text()))
