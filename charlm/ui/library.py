"""The models that the page can play: the model directories, loaded when first asked for."""

import threading
from dataclasses import dataclass
from pathlib import Path

from charlm import checkpoint, runlog
from charlm.config import CharlmError

FIRST = ("shakespeare", "gpt", "bigram")  # the bundled ones lead the list, in this order


@dataclass(frozen=True)
class Portrait:
    """What is known of a model without loading it; None where its log does not say."""

    kind: str
    block_size: int
    parameters: int | None
    val_loss: float | None  # nats per character
    sample: str  # what it wrote at its last evaluation, at step `sample_step`
    sample_step: int | None


class Library:
    """Model directories below `directory`, and `extra`, one that lies elsewhere."""

    def __init__(self, directory, extra=None):
        self.directory = Path(directory)
        self.extra = Path(extra).resolve() if extra else None
        if self.extra and not checkpoint.is_model_directory(self.extra):
            raise CharlmError(f"{extra} is not a model directory with config and weights")
        self._loaded = {}  # name -> (version, (model, tokenizer))
        self._lock = threading.Lock()

    def names(self):
        """The models' names: the extra one, the bundled ones, then the others, newest first."""
        return list(self._paths())

    def default(self):
        """The name to start with; raises CharlmError if there is no model to play at all."""
        names = self.names()
        if not names:
            raise CharlmError(f"there is no model in {self.directory}; train one with train.py")
        return names[0]

    def path(self, name):
        """The directory of a model; raises CharlmError for a name that is not listed."""
        paths = self._paths()
        if not isinstance(name, str) or name not in paths:
            there = ", ".join(paths) or "none yet: train one with train.py"
            raise CharlmError(f"there is no model {name!r}; there is: {there}")
        return paths[name]

    def get(self, name):
        """(model, tokenizer), loaded once and again when its weights change on the disk.

        Raises CharlmError for an unknown name or a directory that does not load.
        """
        path = self.path(name)
        version = changed(path)
        with self._lock:
            there = self._paths()  # a model that was deleted is not kept in memory either
            self._loaded = {n: loaded for n, loaded in self._loaded.items() if n in there}
            if name not in self._loaded or self._loaded[name][0] != version:
                self._loaded[name] = version, checkpoint.load(path)
            return self._loaded[name][1]

    def portrait(self, name):
        """The Portrait of a model; raises CharlmError if it has no readable config."""
        path = self.path(name)
        description = checkpoint.load_description(path)
        try:
            last = {event["event"]: event for event in runlog.read(path)[0]}
        except (OSError, runlog.RunLogError):
            last = {}  # a model without its history is still a model
        return Portrait(
            kind=description.kind,
            block_size=description.model.block_size,
            parameters=last.get("start", {}).get("parameters"),
            val_loss=last.get("eval", {}).get("val_loss"),
            sample=last.get("sample", {}).get("text", ""),
            sample_step=last.get("sample", {}).get("step"),
        )

    def _paths(self):
        found = [p for p in self.directory.glob("*") if checkpoint.is_model_directory(p)]
        found = [p for p in found if not p.name.startswith(".")]
        newest_first = sorted(found, key=changed, reverse=True)
        newest_first.sort(key=lambda p: FIRST.index(p.name) if p.name in FIRST else len(FIRST))
        extra = [self.extra] if self.extra else []
        return {p.name: p for p in [*extra, *newest_first]} | {p.name: p for p in extra}


def changed(path):
    """When a model's weights were written last, in nanoseconds; 0 if they are gone by now."""
    try:
        return (path / checkpoint.WEIGHTS).stat().st_mtime_ns
    except FileNotFoundError:
        return 0
