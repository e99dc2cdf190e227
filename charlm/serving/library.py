"""The models that the page can play, from the disk and the Hub, loaded when first asked for."""

import contextlib
import hashlib
import threading
from dataclasses import dataclass
from pathlib import Path

import torch

from charlm.data.tokenizer import CharTokenizer
from charlm.errors import CharlmError
from charlm.generation.engine import Engine
from charlm.hub.follow import split
from charlm.models import checkpoint
from charlm.runs import log as runlog
from charlm.serving.limits import check_model

FIRST = ("shakespeare", "gpt", "bigram")  # the bundled ones lead the list, in this order


@dataclass(frozen=True)
class ModelSummary:
    """What is known of a model without loading it; None where its log does not say."""

    kind: str
    block_size: int
    parameters: int | None
    val_loss: float | None  # nats per character
    sample: str  # what it wrote at its last evaluation, at step `sample_step`
    sample_step: int | None
    revision: str  # the Hub's commit; "" for a model that is not from there


@dataclass(frozen=True)
class Loaded:
    """A model in memory, and who writes with it."""

    model: torch.nn.Module
    tokenizer: CharTokenizer
    engine: Engine

    @property
    def megabytes(self):
        return sum(p.numel() * p.element_size() for p in self.model.parameters()) / 1e6


class Library:
    """Model directories below `directory`, one that may lie elsewhere, and models of the Hub."""

    def __init__(self, directory, followers, limits, first=None, yields_cpu=lambda: False):
        """`followers`: the HubFollowers. `first`: a directory or Hub source to start with.
        `yields_cpu`: tells whether others need the machine, see Engine.

        Raises CharlmError if `first` is neither; that the Hub cannot be reached is in `notices`.
        """
        self.directory, self.followers, self.limits = Path(directory), followers, limits
        self.yields_cpu = yields_cpu
        self.elsewhere = Path(first).resolve() if first and Path(first).exists() else None
        self.wanted = str(first) if first and not self.elsewhere else None
        if self.elsewhere and not checkpoint.is_model_directory(self.elsewhere):
            raise CharlmError(f"{first} is not a model directory with config and weights")
        self._loaded = {}  # name -> (version, Loaded), the one used least lately first
        self._digests = {}  # name -> (version, digest)
        self._lock = threading.Lock()
        if self.wanted:
            self._want()

    def _want(self):
        try:
            split(self.wanted)
        except CharlmError:
            raise CharlmError(
                f"{self.wanted} is neither a model directory nor a Hub model's user/repo"
            ) from None
        with contextlib.suppress(CharlmError):  # told by `notices`, and tried again
            self.followers.follow(self.wanted, keep=True)

    def names(self):
        """The models' names: the one to start with, the bundled ones, the others, the Hub's."""
        return list(self._paths())

    def default(self):
        """The name to start with; raises CharlmError if there is no model to play at all."""
        names = self.names()
        if not names:
            raise CharlmError(f"there is no model in {self.directory}; train one with train.py")
        return next((name for name in names if name != self.wanted or self._loads(name)), names[0])

    def _loads(self, name):
        try:
            return bool(self.get(name))
        except CharlmError:
            return False

    def notices(self):
        """Sentences on what keeps the page from starting with the model that it should."""
        notices = self.followers.notices()
        if self.wanted in self.names():
            try:
                self.get(self.wanted)
            except CharlmError as error:
                notices.append(str(error))
        return notices

    def add(self, source):
        """Have a Hub model, "user/repo" or "user/repo@revision", among the others; its name.

        Raises CharlmError if it cannot be had, is too large for this page, or does not load.
        """
        if self.limits.hub == "off":
            raise CharlmError("models of the Hub are switched off on this page (CHARLM_HUB=off)")
        name = source.strip()
        self.followers.follow(name, public=self.limits.hub == "public")
        try:
            check_model(checkpoint.load_description(self.path(name)), self.limits)
            self.get(name)
        except CharlmError:
            self.followers.drop(name)
            raise
        return name

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
        loaded = self._load(name)
        return loaded.model, loaded.tokenizer

    def engine(self, name):
        """(engine, tokenizer): the Engine that writes for all visitors. Raises as `get` does."""
        loaded = self._load(name)
        return loaded.engine, loaded.tokenizer

    def _load(self, name):
        path = self.path(name)
        if name in self.followers.there():
            self.followers.use(name)
        version = path, changed(path)
        with self._lock:
            there = self._paths()  # a model that was deleted is not kept in memory either
            self._loaded = {n: loaded for n, loaded in self._loaded.items() if n in there}
            before, loaded = self._loaded.pop(name, (None, None))
            if before != version:
                model, tokenizer = load(path, name)
                loaded = Loaded(model, tokenizer, Engine(model, self.limits, self.yields_cpu))
            self._loaded[name] = version, loaded
            while len(self._loaded) > 1 and self._megabytes() > self.limits.max_memory:
                del self._loaded[next(iter(self._loaded))]  # who still reads it keeps it alive
            return loaded

    def _megabytes(self):
        return sum(loaded.megabytes for _, loaded in self._loaded.values())

    def revision(self, name):
        """Which weights these are: the Hub's commit, or the start of their own SHA-256.

        Raises CharlmError for an unknown name.
        """
        path = self.path(name)
        if name in self.followers.there():
            return self.followers.get(name).revision
        version = path, changed(path)
        if self._digests.get(name, (None, None))[0] != version:
            try:
                raw = (path / checkpoint.WEIGHTS).read_bytes()
            except OSError as error:
                raise CharlmError(f"cannot read the weights of {name}: {error.strerror}") from None
            self._digests[name] = version, hashlib.sha256(raw).hexdigest()[:12]
        return self._digests[name][1]

    def summary(self, name):
        """The ModelSummary of a model; raises CharlmError if it has no readable config."""
        path = self.path(name)
        description = checkpoint.load_description(path)
        try:
            last = {event["event"]: event for event in runlog.read(path)[0]}
        except (OSError, runlog.RunLogError):
            last = {}  # a model without its history is still a model
        return ModelSummary(
            kind=description.kind,
            block_size=description.model.block_size,
            parameters=last.get("start", {}).get("parameters"),
            val_loss=last.get("eval", {}).get("val_loss"),
            sample=last.get("sample", {}).get("text", ""),
            sample_step=last.get("sample", {}).get("step"),
            revision=self.revision(name) if name in self.followers.there() else "",
        )

    def _paths(self):
        found = [p for p in self.directory.glob("*") if checkpoint.is_model_directory(p)]
        found = [p for p in found if not p.name.startswith(".")]
        newest_first = sorted(found, key=changed, reverse=True)
        newest_first.sort(key=lambda p: FIRST.index(p.name) if p.name in FIRST else len(FIRST))
        paths = {p.name: p for p in newest_first}
        paths |= {source: pulled.directory for source, pulled in self.followers.there().items()}
        if self.elsewhere:
            paths = {self.elsewhere.name: self.elsewhere} | paths
            paths[self.elsewhere.name] = self.elsewhere
        elif self.wanted in paths:
            paths = {self.wanted: paths[self.wanted]} | paths
        return paths


def load(path, name):
    """What checkpoint.load gives; its errors name the model, and not where it lies."""
    try:
        return checkpoint.load(path)
    except CharlmError as error:
        raise CharlmError(str(error).replace(str(path), name)) from None


def changed(path):
    """When a model's weights were written last, in nanoseconds; 0 if they are gone by now."""
    try:
        return (path / checkpoint.WEIGHTS).stat().st_mtime_ns
    except FileNotFoundError:
        return 0
