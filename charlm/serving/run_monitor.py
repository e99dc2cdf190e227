"""What all watchers of a page share: the state of every run, looked up once for everybody."""

import contextlib
import dataclasses
import threading
import time

from charlm.errors import CharlmError
from charlm.runs import log as runlog
from charlm.runs import status as runs

FRESH = 0.5  # seconds for which what was seen is not looked up again
DRAWINGS = 64  # kept at a time
SILENT = "it was pushed while it went on, and not again since"
LIVE = 900  # seconds after a push for which a run on the Hub that has no end counts as going on


class RunMonitor:
    """The statuses and histories of the runs that a Jobs knows, and of those on the Hub."""

    def __init__(self, jobs, followers):
        self.jobs, self.followers = jobs, followers
        self._lock = threading.Lock()
        self._seen_at, self._statuses = -FRESH, {}
        self._known = {}  # name -> (what its files looked like, Status)
        self._histories, self._drawings = {}, {}

    def statuses(self, fresh=False):
        """The Status of each run by its name, those touched last first.

        What was looked up less than FRESH seconds ago is given again, unless `fresh`.
        """
        with self._lock:
            if fresh or time.monotonic() - self._seen_at >= FRESH:
                names = [*self.jobs.names(), *self._on_hub()]
                found = {name: self._status(name) for name in names}
                self._statuses = {name: status for name, status in found.items() if status}
                self._known = {n: known for n, known in self._known.items() if n in found}
                self._histories = {n: h for n, h in self._histories.items() if n in found}
                self._seen_at = time.monotonic()
            return self._statuses

    def is_training(self):
        """Whether a run goes on, on this machine."""
        going = [name for name, s in self.statuses().items() if s.state == "running"]
        return not all("/" in name for name in going)

    def history(self, name):
        """The History of a run up to now; an empty one if it has none yet, or none to read."""
        with self._lock:
            fresh = runs.History(self.directory(name))
            history = self._histories.get(name, fresh)
            if history.directory != fresh.directory:  # another revision
                history = fresh
            self._histories[name] = history
        try:
            return history.update()
        except (OSError, CharlmError):
            return fresh

    def directory(self, name):
        """Where a run is; of one on the Hub, where its latest known revision is kept here."""
        if "/" in name:
            return self.followers.get(name).directory
        return self.jobs.directory / name

    def allowed_actions(self, status):
        """What can be done to a run of this Status now; nothing to one on the Hub."""
        return set() if "/" in status.name else self.jobs.allowed_actions(status)

    def status(self, name):
        """The Status of a run, looked up now. Raises CharlmError for a name that is no run's."""
        if not isinstance(name, str) or name not in self.followers.there():
            return self.jobs.status(name)
        pulled = self.followers.get(name)
        status = runs.status(pulled.directory, time.time() - pulled.updated < LIVE)
        if status.message == runs.DIED:
            status = dataclasses.replace(status, state="stopped", message=SILENT)
        return dataclasses.replace(status, name=name)

    def events(self, name, cursor):
        """The events of a run from a cursor on, and the new cursor: see Jobs.events."""
        if not isinstance(name, str) or name not in self.followers.there():
            return self.jobs.events(name, cursor)
        return runs.events(self.directory(name), cursor)

    def drawing(self, key, draw):
        """What `draw()` gives, or gave before for an equal key."""
        if key not in self._drawings:
            if len(self._drawings) >= DRAWINGS:
                self._drawings = {}
            self._drawings[key] = draw()
        return self._drawings.get(key) or draw()  # another thread may have made room just now

    def _on_hub(self):
        there = self.followers.there().items()
        return [source for source, pulled in there if (pulled.directory / runlog.FILE).exists()]

    def _status(self, name):
        looks = self._looks(name)
        known, status = self._known.get(name, (None, None))
        if looks is None or looks != known:
            try:
                status = self.status(name)
            except CharlmError as error:
                status = runs.Status(name, "failed", 0, 0, str(error))
            except OSError:  # deleted this very moment
                return None
            self._known[name] = looks, status
        if "/" in name and status.state != "finished":
            with contextlib.suppress(CharlmError):  # dropped this very moment
                self.followers.use(name)  # more of it may have been pushed
        return status

    def _looks(self, name):
        """What cannot stay the same while a run's status changes; None if there is no telling."""
        try:
            directory = self.directory(name)
            log = (directory / runlog.FILE).stat()
        except (OSError, CharlmError):
            return None
        if "/" in name:
            return directory, time.time() - self.followers.get(name).updated < LIVE
        looks = log.st_mtime_ns, log.st_size, runlog.is_locked(directory)
        return None if self.jobs.is_pending(name) else looks
