"""The models of a page, from the disk and the Hub, each loaded when it is first used."""

import contextlib
import functools
import hashlib
import os
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import torch

from charlm.data.tokenizer import CharTokenizer
from charlm.errors import CharlmError, name_files, quote
from charlm.generation.engine import Engine
from charlm.generation.scheduler import AdmissionError
from charlm.hub.client import canonical_source
from charlm.models import checkpoint
from charlm.paths import expand, resolve
from charlm.runs.log import RunLogError, latest_events
from charlm.serving.fair_pool import Pools
from charlm.serving.limits import check_hub_model

FETCH_SECONDS = 30  # that a visitor waits for a Hub model, which shows its progress
TEXTS_OF_MODELS = 4  # times max_queue: texts of all models beyond which shares count
MAX_UPDATE_RATE = 100  # updates per second over all texts; each costs the server about 2 ms
FROM_NETWORK = "texts are being written for your network already, and others wait"
BUNDLED = ("shakespeare", "gpt", "bigram")  # first in the list, in this order


@dataclass(frozen=True)
class ModelSummary:
    """A model's figures, which are available without loading it; None if its log lacks one."""

    kind: str
    block_size: int
    vocab_size: int
    data_name: str  # of the text that it was trained on
    parameters: int | None
    val_loss: float | None  # nats per character
    sample: str  # the last one of the training run, at step `sample_step`; "" if there is none
    sample_step: int | None
    revision: str  # the Hub's commit; "" for a model that is not from the Hub


@dataclass(frozen=True)
class Loaded:
    """A model in memory, and the Engine that generates with it."""

    model: torch.nn.Module
    tokenizer: CharTokenizer
    engine: Engine

    @property
    def megabytes(self):
        """The size of the model's parameters in memory."""
        return sum(p.numel() * p.element_size() for p in self.model.parameters()) / 1e6


class Library:
    """The model directories in `directory`, an optional one elsewhere, and Hub models.

    Safe to use from any thread.
    """

    def __init__(self, directory, followers, limits, start=None, should_yield=lambda: False):
        """`followers`: the HubFollowers. `start`: the directory or Hub source to start with.

        `should_yield`: see Engine. Raises CharlmError if `start` is neither a model directory nor a
        Hub source. An unreachable Hub raises nothing, and `notices` reports it.
        """
        self.directory, self.followers, self.limits = Path(directory), followers, limits
        self.should_yield, self.pools = should_yield, Pools()
        exists = start and os.path.lexists(expand(start))
        self.start_directory = resolve(start) if exists else None
        self.start_source = str(start) if start and not self.start_directory else None
        if self.start_directory and not checkpoint.is_model_directory(self.start_directory):
            raise CharlmError(f"{start} is not a model directory with config and weights")
        self._loaded = {}  # name -> (version, Loaded), the least recently used one first
        self._digests = {}  # name -> (version, digest)
        self._texts = Counter()  # client's address -> texts that run or wait, of any model
        self._lock = threading.Lock()
        check = functools.partial(check_hub_model, limits=limits)
        followers.configure(check, limits.max_cache * 1_000_000)
        if self.start_source:
            self._follow_start_source()

    def _follow_start_source(self):
        try:
            self.start_source = canonical_source(self.start_source)
        except CharlmError:
            raise CharlmError(
                f"{self.start_source} is neither a model directory nor a Hub model's user/repo"
            ) from None
        with contextlib.suppress(CharlmError):  # `notices` reports it; followers retry
            self.followers.follow(self.start_source, pinned=True)

    def names(self):
        """Return the models' names: the one to start with, the bundled ones, others, the Hub's."""
        return list(self._paths())

    def default(self):
        """Return the name of the model to start with; raises CharlmError if no model exists."""
        names = self.names()
        if not names:
            raise CharlmError(f"there is no model in {self.directory}; train one with train.py")
        usable = (name for name in names if name != self._start_name() or self._loads(name))
        return next(usable, names[0])

    def _start_name(self):
        """Return the name of the model to start with; None if none was chosen."""
        return self.start_directory.name if self.start_directory else self.start_source

    def _loads(self, name):
        try:
            return bool(self.get(name))
        except CharlmError:
            return False

    def notices(self):
        """Return the reasons why the model to start with is missing, outdated or damaged."""
        notices = self.followers.notices()
        if self._start_name() in self.names():
            try:
                self.get(self._start_name())
            except CharlmError as error:
                notices.append(str(error))
        return notices

    def add(self, source):
        """Add a Hub model, "user/repo" or "user/repo@revision"; return its name.

        Raises CharlmError if it cannot be fetched, exceeds the limits, or does not load.
        """
        if self.limits.hub == "off":
            raise CharlmError("models of the Hub are switched off on this page (CHARLM_HUB=off)")
        name = canonical_source(source)
        self.followers.follow(name, public=self.limits.hub == "public", wait=FETCH_SECONDS)
        try:
            self.get(name)
        except CharlmError:
            self.followers.drop(name)
            raise
        return name

    def path(self, name):
        """Return the directory of a model; raises CharlmError for a name that is not listed."""
        if isinstance(name, str) and (path := self._find(name)):
            return path
        names = ", ".join(self.names()) or "none yet: train one with train.py"
        raise CharlmError(f"there is no model {quote(name)}; there is: {names}")

    def _find(self, name):
        """Return the directory of a model, without listing all; None for an unknown name."""
        if self.start_directory and name == self.start_directory.name:
            return self.start_directory
        if pulled := self.followers.available().get(name):
            return pulled.directory
        path = self.directory / name
        plain = path.name == name and path.parent == self.directory and not name.startswith(".")
        return path if plain and checkpoint.is_model_directory(path) else None

    def get(self, name):
        """Return (model, tokenizer), loaded once, and again after its weights changed on disk.

        Raises CharlmError for an unknown name or a directory that does not load.
        """
        loaded = self._load(name)
        return loaded.model, loaded.tokenizer

    def is_loaded(self, name):
        """Return whether a model is in memory, although perhaps in an older version."""
        return name in self._loaded

    def engine(self, name):
        """Return (engine, tokenizer); all visitors share the Engine. Raises what `get` raises."""
        loaded = self._load(name)
        return loaded.engine, loaded.tokenizer

    def _load(self, name):
        """Return the Loaded of a model; drop others until the models fit in max_memory."""
        path = self.path(name)
        if name in self.followers.available():
            self.followers.use(name)
        version = path, modified_at(path)
        with self._lock:
            loaded_version, loaded = self._loaded.pop(name, (None, None))
            if loaded_version == version:
                self._loaded[name] = version, loaded
                return loaded
            model, tokenizer = load(path, name)
            loaded = Loaded(model, tokenizer, Engine(model, self.limits, self.should_yield))
            paths = self._paths()  # deleted models are unloaded, too
            self._loaded = {n: loaded for n, loaded in self._loaded.items() if n in paths}
            self._loaded[name] = version, loaded
            while len(self._loaded) > 1 and self._megabytes() > self.limits.max_memory:
                del self._loaded[next(iter(self._loaded))]  # its running streams keep it alive
            return loaded

    def _megabytes(self):
        return sum(loaded.megabytes for _, loaded in self._loaded.values())

    @contextlib.contextmanager
    def counted_text(self, client):
        """Count a text of a Client. Raises AdmissionError if it has more than its share of many."""
        with self._lock:
            total, own = self._texts.total(), self._texts[client.address]
            if total >= TEXTS_OF_MODELS * self.limits.max_queue and own >= total / 2:
                raise AdmissionError(f"{own} {FROM_NETWORK}; try again in a minute")
            self._texts[client.address] += 1
        try:
            yield
        finally:
            with self._lock:
                self._texts[client.address] -= 1
                self._texts += Counter()  # drops the clients at zero

    def update_interval(self, client):
        """Return the seconds between two updates of a text, so that those of all cost little.

        Each client has an equal share of MAX_UPDATE_RATE.
        """
        return self._texts[client.address] * len(self._texts) / MAX_UPDATE_RATE

    def revision(self, name):
        """Return the commit of a Hub model, or the first 12 digits of the weights' SHA-256.

        Raises CharlmError for an unknown name or unreadable weights.
        """
        path = self.path(name)
        if name in self.followers.available():
            return self.followers.get(name).revision
        version = path, modified_at(path)
        if self._digests.get(name, (None, None))[0] != version:
            try:
                raw = (path / checkpoint.WEIGHTS).read_bytes()
            except OSError as error:
                raise CharlmError(f"cannot read the weights of {name}: {error.strerror}") from None
            self._digests[name] = version, hashlib.sha256(raw).hexdigest()[:12]
        return self._digests[name][1]

    def summary(self, name):
        """Return the ModelSummary of a model; raises CharlmError if its config is unreadable."""
        path = self.path(name)
        try:
            description = checkpoint.load_description(path)
        except CharlmError as error:
            raise CharlmError(name_files(str(error), path, name)) from None
        try:
            last = latest_events(path)
        except (OSError, RunLogError):
            last = {}  # a model needs no log
        return ModelSummary(
            kind=description.kind,
            block_size=description.model.block_size,
            vocab_size=description.model.vocab_size,
            data_name=description.data["name"],
            parameters=last.get("start", {}).get("parameters"),
            val_loss=last.get("eval", {}).get("val_loss"),
            sample=last.get("sample", {}).get("text", ""),
            sample_step=last.get("sample", {}).get("step"),
            revision=self.revision(name) if name in self.followers.available() else "",
        )

    def _paths(self):
        """Return the directory of each model by name, in the order of `names`."""
        found = [p for p in self.directory.glob("*") if checkpoint.is_model_directory(p)]
        found = [p for p in found if not p.name.startswith(".")]
        ranks = {name: rank for rank, name in enumerate(BUNDLED)}
        newest_first = sorted(found, key=modified_at, reverse=True)
        newest_first.sort(key=lambda p: ranks.get(p.name, len(BUNDLED)))
        paths = {p.name: p for p in newest_first}
        paths |= {source: pulled.directory for source, pulled in self.followers.available().items()}
        if self.start_directory:
            paths = {self.start_directory.name: self.start_directory} | paths
            paths[self.start_directory.name] = self.start_directory
        elif self.start_source in paths:
            paths = {self.start_source: paths[self.start_source]} | paths
        return paths


def load(path, name):
    """Load a model as checkpoint.load does; errors name the model instead of its path."""
    try:
        return checkpoint.load(path)
    except CharlmError as error:
        raise CharlmError(name_files(str(error), path, name)) from None


def modified_at(path):
    """Return when a model's weights were last written, in nanoseconds; 0 if they are gone."""
    try:
        return (path / checkpoint.WEIGHTS).stat().st_mtime_ns
    except FileNotFoundError:
        return 0
