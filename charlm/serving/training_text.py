"""Where the training text of a model is on this machine, and for whom it is read.

It is looked for where a resumed run would look for it, under one rule for all that quotes it. The
path that a run saved counts for nothing
- for a model from the Hub, whose repository must not choose a file of this machine,
- for a text that a visitor gave, unless this visitor asks: see owners.py,
- where everybody sees the quotations, as in the game, unless the page was started with the model.
"""

import functools
from dataclasses import dataclass
from pathlib import Path

from charlm.data.corpus import SHA256, find_corpus, read_corpus
from charlm.errors import CharlmError, name_files
from charlm.models.checkpoint import load_description
from charlm.runs.resume import saved_data_path
from charlm.serving.job_store import JobStore

MAX_TEXTS = 2  # in memory


@dataclass(frozen=True)
class TrainingText:
    """What a model's directory says about its training text, and where a visitor may have it from.

    `owner`: the run that has the text, if only its owner may use it; "" for all others.
    """

    model: str
    name: str
    sha256: str
    path: str | None
    owner: str
    refused: bool  # whether it is not looked for where it is, since it is another visitor's

    @property
    def key(self):
        """What tells the text, and who may use it, from others."""
        return self.owner, self.sha256

    def read(self, fetch=False):
        """Return the Corpus; with `fetch`, download it if it is Tiny Shakespeare.

        Raises DataError if it is not on this machine.
        """
        return find_corpus(self.name, self.sha256, [self.path], fetch, read_once)[0]


def training_text_of(library, model, by=None):
    """Return the TrainingText of a model or snapshot, for a Visitor, or None for everybody.

    Raises CharlmError for an unknown model.
    """
    location, store = library.locate(model), JobStore(library.directory)
    try:
        data = load_description(location.directory).data
    except CharlmError as error:
        raise CharlmError(name_files(str(error), location.directory, model)) from None
    public = by is None and location.directory != library.start_directory
    path = None if location.commit or public else saved_data_path(location.directory)
    run = run_with(store, path) if path and data["sha256"] != SHA256 else ""
    job = store.get(run) if run else None
    refused = bool(run) and not (by and job and by.owns(job))
    place = (None, "") if refused else (path, run)
    return TrainingText(model, data["name"], data["sha256"], *place, refused)


def run_with(store, path):
    """Return the name of the run to which a visitor gave the text at a path, or ""."""
    folder, path = store.folder.resolve(), Path(path).resolve()
    return path.relative_to(folder).parts[0] if path.is_relative_to(folder) else ""


def read_once(path):
    """Return the Corpus in a file, which is read again after it changed; raises DataError."""
    try:
        stat = path.stat()
    except OSError:
        return read_corpus(path)  # its error says why
    return read_version(path, stat.st_mtime_ns, stat.st_size)


@functools.lru_cache(maxsize=MAX_TEXTS)
def read_version(path, mtime, size):
    return read_corpus(path)
