"""The models of a page, from the disk and the Hub, each loaded when it is first used."""

import contextlib
import functools
import hashlib
import os
import threading
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from charlm.data.tokenizer import CharTokenizer
from charlm.errors import CharlmError, quote
from charlm.generation.engine import BaseEngine, Engine
from charlm.generation.scheduler import AdmissionError
from charlm.hub.client import canonical_source
from charlm.models import checkpoint
from charlm.models.snapshots import check_step, snapshot_steps, split_step
from charlm.paths import expand, resolve
from charlm.serving.fair_pool import Pools
from charlm.serving.limits import check_hub_model, streams_that_fit
from charlm.serving.location import Location
from charlm.serving.model_summary import summarize

FETCH_SECONDS = 30  # that a visitor waits for a Hub model, which shows its progress
TEXTS_OF_MODELS = 4  # times max_queue: texts of all models beyond which shares count
MAX_UPDATE_RATE = 100  # updates per second over all texts; each costs the server about 2 ms
FROM_NETWORK = "texts are being written for your network already, and others wait"
BUNDLED = ("shakespeare", "gpt", "bigram", "two-minutes")  # first in the list, in this order


@dataclass(frozen=True)
class Loaded:
    """A model in memory, and the Engine that generates with it."""

    model: torch.nn.Module
    tokenizer: CharTokenizer
    engine: BaseEngine

    @property
    def megabytes(self):
        """The size of the model's parameters in memory."""
        return sum(p.numel() * p.element_size() for p in self.model.parameters()) / 1e6


class Library:
    """The model directories in `directory`, an optional one elsewhere, and Hub models.

    Safe to use from any thread.
    """

    def __init__(self, directory, followers, limits, start=None, make_engine=Engine):
        """`followers`: the HubFollowers. `start`: the directory or Hub source to start with, or
        one of its snapshots, with "#" and the step.

        `make_engine`: see make_engines. Raises CharlmError if `start` is neither a model directory
        nor a Hub source. An unreachable Hub raises nothing, and `notices` reports it.
        """
        self.directory, self.followers, self.limits = Path(directory), followers, limits
        self.make_engine, self.pools = make_engine, Pools()
        if start and not os.path.lexists(expand(start)):
            start, self.start_step = split_step(str(start))
        else:
            self.start_step = None
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

    def names(self, chosen=None):
        """Return the models' names: the one to start with, the bundled ones, others, the Hub's.

        `chosen`: a name that may be that of a snapshot, which is then listed behind its run.
        """
        names = list(self._paths())
        if chosen and chosen not in names and self.has(chosen):
            run = split_step(chosen)[0]
            names.insert(names.index(run) + 1 if run in names else len(names), chosen)
        return names

    def has(self, name):
        """Return whether there is a model, or a snapshot, of this name."""
        try:
            return bool(self.locate(name))
        except CharlmError:
            return False

    def default(self):
        """Return the name of the model to start with; raises CharlmError if no model exists."""
        names, start = self.names(), self._start_name()
        if not names:
            raise CharlmError(f"there is no model in {self.directory}; train one with train.py")
        if start and self._loads(start):
            return start
        return next((name for name in names if name != start), names[0])

    def _start_name(self):
        """Return the name of the model to start with; None if none was chosen."""
        name = self.start_directory.name if self.start_directory else self.start_source
        return name if self.start_step is None else f"{name}#{self.start_step}"

    def _loads(self, name):
        try:
            return bool(self.get(name))
        except CharlmError:
            return False

    def notices(self):
        """Return the reasons why the model to start with is missing, outdated or damaged."""
        notices = self.followers.notices()
        if (start := self._start_name()) and split_step(start)[0] in self.names():
            try:
                self.get(start)
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

    def snapshots(self, run):
        """Return the steps of a run's snapshots, ascending. Raises CharlmError for an unknown run.

        "run#step" names one wherever a model is named.
        """
        return self._snapshots(self.locate(run))

    def _snapshots(self, location):
        pulled = self.followers.available().get(location.run)
        return pulled.snapshots if pulled else snapshot_steps(location.directory)

    def path(self, name):
        """Return the directory of a model: see `locate`."""
        return self.locate(name).directory

    def locate(self, name):
        """Return the Location of a model, "run", or of a snapshot, "run#step".

        Raises CharlmError for a name that is not listed, and a step without a snapshot.
        """
        if isinstance(name, str):
            if found := self._find(name):
                return found
            run, _, given = name.rpartition("#")
            if run and (found := self._find(run)):
                step = split_step(name)[1]
                check_step(run, given if step is None else step, self._snapshots(found))
                return replace(found, step=step)
        names = ", ".join(self.names()) or "none yet: train one with train.py"
        raise CharlmError(f"there is no model {quote(name)}; there is: {names}")

    def _find(self, name):
        """Return the Location of a model, without listing all; None for an unknown name."""
        if self.start_directory and name == self.start_directory.name:
            return Location(name, self.start_directory)
        if pulled := self.followers.available().get(name):
            return Location(name, pulled.directory, pulled.revision)
        path = self.directory / name
        plain = path.name == name and path.parent == self.directory and not name.startswith(".")
        return Location(name, path) if plain and checkpoint.is_model_directory(path) else None

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
        location = self.locate(name)
        if location.commit:
            self.followers.use(location.run)
            if location.step is not None:  # not under the lock, for which all visitors would wait
                self.followers.fetch_snapshot(location.run, location.step)
        version = location.version
        with self._lock:
            loaded_version, loaded = self._loaded.pop(name, (None, None))
            if loaded_version == version:
                self._loaded[name] = version, loaded
                return loaded
            model, tokenizer = location.load()
            streams = streams_that_fit(model.kind, model.config, self.limits)
            limits = replace(self.limits, max_streams=streams)
            loaded = Loaded(model, tokenizer, self.make_engine(model, limits))
            paths = self._paths()  # deleted models are unloaded, too
            kept = {n: each for n, each in self._loaded.items() if {n, split_step(n)[0]} & {*paths}}
            self._loaded = kept
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
        location = self.locate(name)
        if location.commit:
            return location.commit
        version = location.version
        if self._digests.get(name, (None, None))[0] != version:
            try:
                raw = location.weights.read_bytes()
            except OSError as error:
                raise CharlmError(f"cannot read the weights of {name}: {error.strerror}") from None
            self._digests[name] = version, hashlib.sha256(raw).hexdigest()[:12]
        return self._digests[name][1]

    def summary(self, name):
        """Return the ModelSummary of a model; raises CharlmError if its config is unreadable."""
        return summarize(self.locate(name))

    def _paths(self):
        """Return the directory of each model by name, in the order of `names`."""
        found = [p for p in self.directory.glob("*") if checkpoint.is_model_directory(p)]
        found = [p for p in found if not p.name.startswith(".")]
        ranks = {name: rank for rank, name in enumerate(BUNDLED)}
        newest_first = sorted(found, key=lambda p: Location(p.name, p).version[1], reverse=True)
        newest_first.sort(key=lambda p: ranks.get(p.name, len(BUNDLED)))
        paths = {p.name: p for p in newest_first}
        paths |= {source: pulled.directory for source, pulled in self.followers.available().items()}
        if self.start_directory:
            paths = {self.start_directory.name: self.start_directory} | paths
            paths[self.start_directory.name] = self.start_directory
        elif self.start_source in paths:
            paths = {self.start_source: paths[self.start_source]} | paths
        return paths
