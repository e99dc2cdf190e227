"""Hub models on a page: added by name, used from the cache, and updated in the background."""

import contextlib
import threading
import time
import weakref
from collections import OrderedDict
from dataclasses import replace

from charlm.hub import cache, snapshots
from charlm.hub.client import HubError, canonical_source, describe_error, parse_source
from charlm.hub.pull import Download, PulledModel, RefusedError, find_cached, pull

CHECK_INTERVAL = 15  # seconds between checks for a new revision of a model that is in use
FIRST_WAIT = 8  # seconds to wait for a new model, unless the caller says otherwise
MAX_MODELS = 20  # followed at a time; the least recently used one is dropped
MAX_BYTES = 100_000_000  # of a repository's files


class HubFollowers:
    """The Hub models of a page by their source, "user/repo" or "user/repo@revision".

    A source without a revision follows the latest one. All methods are thread-safe.
    """

    def __init__(self, check=lambda directory, sizes: None, max_cache=None):
        """`check`: see pull.download_checked; every revision passes it before it is used.

        `max_cache`: bytes of the models that the page keeps in the Hub's cache; None: any.
        """
        self.configure(check, max_cache)
        self._followers = OrderedDict()  # source -> Follower, the least recently used one first
        self._refused = {}  # (repo_id, sha) -> message
        self._downloads = weakref.WeakValueDictionary()  # repo_id -> Lock of its downloads
        self._lock = threading.Lock()
        self._downloading = []  # ids of repositories, guarded by _cache_lock
        self._cache_lock = threading.Lock()

    def configure(self, check, max_cache):
        """Set the check of every revision and the limit of the cache, as in __init__."""
        self._check, self._max_cache = check, max_cache

    def follow(self, source, pinned=False, public=False, wait=FIRST_WAIT):
        """Follow a source; returns its PulledModel. Raises HubError if it cannot be pulled.

        A cached model is used at once, and updated in the background. `pinned`: keep trying if it
        cannot be pulled, and never drop it for another one. `public`: accept only repositories that
        anybody can read. `wait`: seconds to wait for a new model, whose download then continues.
        """
        source = canonical_source(source)
        repo_id, revision = parse_source(source)
        with self._lock:
            follower = self._followers.get(source)
            if follower is None:
                downloads = self._downloads.setdefault(repo_id, threading.Lock())
                follower = Follower(source, pinned, public, self._pull, downloads)
                self._followers[source] = follower
        if not public and not follower.pulled:
            follower.pulled = find_cached(repo_id, revision, self._check)
        follower.check()
        if not follower.pulled:
            follower.checked.wait(wait)
        if not follower.pulled:
            if not follower.pinned:
                self._followers.pop(source, None)
            raise HubError(follower.error or f"{source} is still being fetched; try again")
        with self._lock:
            others = [s for s, f in self._followers.items() if not f.pinned and s != source]
            for other in others[: max(0, len(self._followers) - MAX_MODELS)]:
                del self._followers[other]
        return follower.pulled

    def _pull(self, follower):
        """Return the PulledModel of a Follower's latest revision; raises HubError."""
        repo_id, revision = parse_source(follower.source)
        options = {"check": self._check, "refused": self._refused}
        options["progress"] = follower.download = Download()
        with self._downloading_of(repo_id) as downloaded, follower.downloads:
            pulled = pull(repo_id, revision, MAX_BYTES, follower.public, **options)
            cache.touch(repo_id)
            downloaded.append(pulled)
        return pulled

    @contextlib.contextmanager
    def _downloading_of(self, repo_id):
        """Keep a repository while it is downloaded, and limit the cache afterwards.

        The block appends the PulledModel to the list that it gets.
        """
        with self._cache_lock:  # waits while models are deleted
            self._downloading.append(repo_id)
        downloaded = []
        try:
            yield downloaded
        finally:
            self._limit_cache(repo_id, downloaded)

    def _limit_cache(self, repo_id, downloaded):
        """Delete unfollowed Hub models beyond the limit, after a download has ended."""
        with self._cache_lock:
            self._downloading.remove(repo_id)
            if self._max_cache is None:
                return
            in_use = [f.pulled for f in list(self._followers.values())] + downloaded
            directories = {pulled.directory for pulled in in_use if pulled}
            with contextlib.suppress(OSError):  # the next download tries again
                cache.limit_size(self._max_cache, directories, self._downloading)

    def drop(self, source):
        """Stop following a source."""
        with self._lock:
            self._followers.pop(source, None)

    def available(self):
        """Return source -> PulledModel of the models that have been pulled, pinned ones first."""
        pulled = [follower for follower in list(self._followers.values()) if follower.pulled]
        return {f.source: f.pulled for f in sorted(pulled, key=lambda f: not f.pinned)}

    def get(self, source):
        """Return the PulledModel of a source; raises HubError if it is no longer followed."""
        follower = self._followers.get(source)
        if follower is None or not follower.pulled:
            raise HubError(f"{source} is not here any more; fetch it again")
        return follower.pulled

    def use(self, source):
        """Return the PulledModel as `get` does, mark it as used, and check for a new revision."""
        pulled = self.get(source)
        with self._lock:
            if follower := self._followers.get(source):
                self._followers.move_to_end(source)  # readers without the lock always find it
                follower.check()
        return pulled

    def fetch_snapshot(self, source, step):
        """Download a snapshot of a source, unless it is there. Raises CharlmError."""
        pulled, follower = self.get(source), self._followers.get(source)
        with self._downloading_of(pulled.repo_id) as downloaded:
            snapshots.fetch(pulled, step, public=bool(follower and follower.public))
            downloaded.append(pulled)

    def download(self, source):
        """Return the Download of a source that is being pulled for the first time, or None."""
        follower = self._followers.get(source)
        return follower.download if follower and not follower.pulled else None

    def notices(self):
        """Return a sentence for each pinned model that is missing or may be out of date."""
        pinned = [follower for follower in list(self._followers.values()) if follower.pinned]
        for follower in pinned:
            follower.check()
        return [notice for follower in pinned if (notice := follower.notice())]


class Follower:
    """A source with its latest PulledModel and the error of the latest check."""

    def __init__(self, source, pinned, public, fetch, downloads):
        """`fetch(follower)` returns its latest PulledModel. `downloads`: a lock, for `fetch`."""
        self.source, self.pinned, self.public = source, pinned, public
        self.fetch, self.downloads = fetch, downloads
        self.pulled: PulledModel | None = None
        self.download: Download | None = None  # the latest one
        self.error = ""
        self.checked = threading.Event()  # set after the first check
        self._checked_at, self._lock = None, threading.Lock()

    def check(self):
        """Check for a new revision in a thread, at most once every CHECK_INTERVAL seconds."""
        with self._lock:
            now = time.monotonic()
            fixed = "@" in self.source and self.pulled
            recent = self._checked_at is not None and now - self._checked_at < CHECK_INTERVAL
            if fixed or recent:
                return
            self._checked_at = now
        threading.Thread(target=self._pull, daemon=True).start()

    def notice(self):
        """Return why the model is missing or may be out of date; "" if it is up to date."""
        if not self.pulled:
            return self.error or f"{self.source} is still being fetched"
        return self.pulled.notice

    def _pull(self):
        try:
            self.pulled = self.fetch(self)
            self.error = ""
        except HubError as error:
            self.error = str(error)  # the last pulled revision stays available
            if self.pulled and isinstance(error, RefusedError):
                notice = f"the new revision {error.sha[:7]} of {self.source} is refused: {error};"
                notice += f" {self.pulled.revision[:7]} stays in use"
                self.pulled = replace(self.pulled, notice=notice)
        except Exception as error:
            self.error = f"cannot fetch {self.source}: {describe_error(error)}"
            raise  # the thread prints it
        finally:
            self.checked.set()
