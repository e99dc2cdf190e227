"""What all watchers of a page share: the state of every run, looked up once for everybody."""

import threading
import time

from charlm import runlog, runs
from charlm.config import CharlmError

FRESH = 0.5  # seconds for which what was seen is not looked up again
DRAWINGS = 64  # kept at a time


class Board:
    """The statuses and histories of the runs that a Jobs knows."""

    def __init__(self, jobs):
        self.jobs = jobs
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
                names = self.jobs.names()
                found = {name: self._status(name) for name in names}
                self._statuses = {name: status for name, status in found.items() if status}
                self._known = {n: known for n, known in self._known.items() if n in found}
                self._histories = {n: h for n, h in self._histories.items() if n in found}
                self._seen_at = time.monotonic()
            return self._statuses

    def is_training(self):
        """Whether a run goes on, on this machine."""
        return any(status.state == "running" for status in self.statuses().values())

    def history(self, name):
        """The History of a run up to now; an empty one if it has none yet, or none to read."""
        with self._lock:
            fresh = runs.History(self.jobs.directory / name)
            history = self._histories.setdefault(name, fresh)
        try:
            return history.update()
        except (OSError, CharlmError):
            return fresh

    def drawing(self, key, draw):
        """What `draw()` gives, or gave before for an equal key."""
        if key not in self._drawings:
            if len(self._drawings) >= DRAWINGS:
                self._drawings = {}
            self._drawings[key] = draw()
        return self._drawings.get(key) or draw()  # another thread may have made room just now

    def _status(self, name):
        looks = self._looks(name)
        known, status = self._known.get(name, (None, None))
        if looks is None or looks != known:
            try:
                status = self.jobs.status(name)
            except CharlmError as error:
                status = runs.Status(name, "failed", 0, 0, str(error))
            except OSError:  # deleted this very moment
                return None
            self._known[name] = looks, status
        return status

    def _looks(self, name):
        """What cannot stay the same while a run's status changes; None if there is no telling."""
        directory = self.jobs.directory / name
        try:
            log = (directory / runlog.FILE).stat()
        except OSError:
            return None
        looks = log.st_mtime_ns, log.st_size, runlog.is_held(directory)
        return None if self.jobs.is_pending(name) else looks
