"""Hub models on a page: added by name, played from what is kept here, renewed in the background."""

import re
import threading
import time

from charlm.hub.client import HubError, is_repo_id
from charlm.hub.pull import Pulled, cached, pull

INTERVAL = 15  # seconds between looks for a new revision of a repository that is being used
PATIENCE = 8  # seconds that somebody waits for a model; it is fetched on, and there later
MOST = 20  # repositories followers at a time; the one used least lately goes
LARGEST = 100_000_000  # bytes of a repository's files that a page takes
SOURCE = re.compile(r"([^@\s]+?)(?:@([\w.-]+))?")


class HubFollowers:
    """The Hub models of a page by their source, "user/repo" or "user/repo@revision".

    A source with a revision stays at it. Safe to use from any thread.
    """

    def __init__(self):
        self._entries = {}  # source -> Entry, the one used least lately first
        self._lock = threading.Lock()

    def follow(self, source, keep=False, public=False):
        """Follow a source from now on; returns its Pulled. Raises HubError if it cannot be had.

        What is kept here already is taken as it is, and renewed in the background. `keep`: go on
        trying if it cannot be had, and never drop it for another. `public`: have nothing that the
        Hub would not give to anybody.
        """
        source = source.strip()
        repo_id, revision = split(source)
        with self._lock:
            entry = self._entries.setdefault(source, Entry(source, keep, public))
        if not public:
            entry.pulled = entry.pulled or cached(repo_id, revision)
        entry.look()
        if not entry.pulled:
            entry.looked.wait(PATIENCE)
        if not entry.pulled:
            if not entry.keep:
                self._entries.pop(source, None)
            raise HubError(entry.trouble or f"{source} is still being fetched; try again")
        with self._lock:
            others = [s for s, e in self._entries.items() if not e.keep and s != source]
            for other in others[: max(0, len(self._entries) - MOST)]:
                del self._entries[other]
        return entry.pulled

    def drop(self, source):
        self._entries.pop(source, None)

    def there(self):
        """source -> Pulled of those that are here by now, the kept ones first."""
        there = [entry for entry in list(self._entries.values()) if entry.pulled]
        return {e.source: e.pulled for e in sorted(there, key=lambda entry: not entry.keep)}

    def get(self, source):
        """The Pulled of a source that is here; raises HubError if it is not followers any more."""
        entry = self._entries.get(source)
        if entry is None or not entry.pulled:
            raise HubError(f"{source} is not here any more; fetch it again")
        return entry.pulled

    def use(self, source):
        """The same, of one that is used just now: a newer one may be there the next time."""
        pulled = self.get(source)
        with self._lock:
            if entry := self._entries.pop(source, None):
                self._entries[source] = entry
                entry.look()
        return pulled

    def notices(self):
        """What keeps those from being here, or up to date, that are to be kept."""
        kept = [entry for entry in list(self._entries.values()) if entry.keep]
        for entry in kept:
            entry.look()
        return [notice for entry in kept if (notice := entry.notice())]


class Entry:
    """A source, what there is of it here, and what was wrong when it was last looked for."""

    def __init__(self, source, keep, public):
        self.source, self.keep, self.public = source, keep, public
        self.pulled: Pulled | None = None
        self.trouble = ""
        self.looked = threading.Event()  # for the first time
        self._looked_at, self._lock = None, threading.Lock()

    def look(self):
        """Look for a newer revision, in a thread, unless that was done not long ago."""
        with self._lock:
            now = time.monotonic()
            settled = "@" in self.source and self.pulled
            if settled or (self._looked_at is not None and now - self._looked_at < INTERVAL):
                return
            self._looked_at = now
        threading.Thread(target=self._renew, daemon=True).start()

    def notice(self):
        if not self.pulled:
            return self.trouble or f"{self.source} is still being fetched"
        return self.pulled.notice

    def _renew(self):
        try:
            self.pulled = pull(*split(self.source), LARGEST, self.public)
            self.trouble = ""
        except HubError as error:
            self.trouble = str(error)  # and what is here stays
        finally:
            self.looked.set()


def split(source):
    """("user/repo", revision or None) of a source; raises HubError."""
    match = SOURCE.fullmatch(source)
    if not match or not is_repo_id(match[1]):
        raise HubError(f"{source!r} is no Hub model: give its user/repo, or user/repo@revision")
    return match.groups()
