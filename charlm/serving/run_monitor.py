"""The state of every run, read once for all visitors."""

import contextlib
import dataclasses
import threading
import time
from pathlib import Path

from charlm.errors import CharlmError, name_files
from charlm.hub.client import HubError
from charlm.models.checkpoint import CheckpointError
from charlm.runs.history import History
from charlm.runs.log import LOG_FILE, RunLogError, is_log_locked, latest_events
from charlm.runs.status import PROCESS_DIED, Status, poll_events, read_status

MAX_AGE = 0.5  # seconds until statuses are read again
MAX_CHARTS = 64  # in the cache
ENDED = ("finished", "stopped", "failed")
MAX_PUSH_INTERVAL = 900  # seconds after its last push until a run on the Hub counts as stopped
PUSHES_ENDED = "it was pushed while it went on, and not again since"


class RunMonitor:
    """The statuses and histories of the runs of a JobQueue, and of those on the Hub.

    The name of a run on the Hub is its source, "user/repo"; other names contain no slash. Safe to
    use from any thread.
    """

    def __init__(self, jobs, followers):
        """`jobs`: the JobQueue. `followers`: the HubFollowers."""
        self.jobs, self.followers = jobs, followers
        self._lock = threading.Lock()
        self._statuses, self._read_at = {}, -MAX_AGE  # on time.monotonic's clock
        self._cached = {}  # name -> (fingerprint, Status)
        self._histories, self._charts = {}, {}

    def statuses(self, fresh=False):
        """Return the Status of each run by name, most recently changed first, the Hub's last.

        They are at most MAX_AGE seconds old, or read now if `fresh`.
        """
        with self._lock:
            if fresh or time.monotonic() - self._read_at >= MAX_AGE:
                names = [*self.jobs.names(), *self._names_on_hub()]
                self._statuses = found = {name: self._cached_status(name) for name in names}
                self._cached = {n: cached for n, cached in self._cached.items() if n in found}
                self._histories = {n: h for n, h in self._histories.items() if n in found}
                self._read_at = time.monotonic()
            return self._statuses

    def is_training(self):
        """Return whether a run is training on this machine."""
        running = [name for name, s in self.statuses().items() if s.state == "running"]
        return not all("/" in name for name in running)

    def history(self, name):
        """Return the History of a run up to now; an empty one if it has no readable log."""
        with self._lock:
            try:
                empty = History(self.directory(name), name=name)
            except HubError:  # no longer followed
                return History(Path(name), name=name)
            history = self._histories.get(name, empty)
            if history.directory != empty.directory:  # another revision was pulled
                history = empty
            self._histories[name] = history
        try:
            return history.update()
        except (OSError, CharlmError):
            return empty

    def directory(self, name):
        """Return the directory of a run; for one on the Hub, that of its latest pulled revision."""
        if "/" in name:
            return self.followers.get(name).directory
        return self.jobs.directory / name

    def allowed_actions(self, status, by=None):
        """Return the actions that a run allows now, see JobQueue; a run on the Hub has none."""
        return set() if "/" in status.name else self.jobs.allowed_actions(status, by)

    def status(self, name):
        """Return the Status of a run, read now. Raises CharlmError for an unknown name."""
        if not isinstance(name, str) or name not in self.followers.available():
            with without_path(self.jobs.directory / str(name), name):
                return self.jobs.status(name)
        pulled = self.followers.get(name)
        with without_path(pulled.directory, name):
            status = read_status(pulled.directory, was_pushed_recently(pulled))
        if status.message == PROCESS_DIED:
            status = dataclasses.replace(status, state="stopped", message=PUSHES_ENDED)
        return dataclasses.replace(status, name=name)

    def events(self, name, cursor):
        """Return the events of a run from a cursor on, and the new cursor: see JobQueue.events."""
        if not isinstance(name, str) or name not in self.followers.available():
            with without_path(self.jobs.directory / str(name), name):
                return self.jobs.events(name, cursor)
        directory = self.directory(name)
        with without_path(directory, name):
            return poll_events(directory, cursor)

    def chart(self, key, draw):
        """Return draw(), cached by a key that determines it."""
        if key not in self._charts:
            if len(self._charts) >= MAX_CHARTS:
                self._charts = {}
            self._charts[key] = draw()
        return self._charts.get(key) or draw()  # another thread may have just emptied the cache

    def _names_on_hub(self):
        pulled = self.followers.available().items()
        return [source for source, model in pulled if (model.directory / LOG_FILE).exists()]

    def _cached_status(self, name):
        """Return the Status of a run, read again only if its fingerprint has changed.

        A damaged run has failed.
        """
        fingerprint = self._fingerprint(name)
        cached_fingerprint, status = self._cached.get(name, (None, None))
        if fingerprint is None or fingerprint != cached_fingerprint:
            try:
                status = self.status(name)
                if "/" in name or status.state in ENDED:
                    self._check_log(name)
            except CharlmError as error:
                status = Status(name, "failed", 0, 0, str(error))
            self._cached[name] = fingerprint, status
        if "/" in name and status.state != "finished":
            with contextlib.suppress(CharlmError):  # no longer followed
                self.followers.use(name)  # checks for a new revision
        return status

    def _check_log(self, name):
        """Raise CharlmError unless all of a log is readable: a Status needs its ends only."""
        directory = self.directory(name)
        try:
            with without_path(directory, name):
                latest_events(directory)
        except FileNotFoundError:  # the run failed before it began
            pass
        except OSError as error:
            raise CharlmError(f"cannot read {LOG_FILE} of {name}: {error.strerror}") from None

    def _fingerprint(self, name):
        """Return a value that changes whenever the run's Status does; None if none is known."""
        try:
            directory = self.directory(name)
            log = (directory / LOG_FILE).stat()
            if "/" in name:
                return directory, was_pushed_recently(self.followers.get(name))
        except (OSError, CharlmError):
            return None
        fingerprint = log.st_mtime_ns, log.st_size, is_log_locked(directory)
        # the status of a job also depends on the queue
        return None if self.jobs.is_pending(name) else fingerprint


@contextlib.contextmanager
def without_path(directory, name):
    """Raise errors about a run's files with the run's name in place of its directory."""
    try:
        yield
    except (RunLogError, CheckpointError) as error:
        raise CharlmError(name_files(str(error), directory, name)) from None


def was_pushed_recently(pulled):
    """Return whether the run of a PulledModel may still be running elsewhere."""
    return time.time() - pulled.updated < MAX_PUSH_INTERVAL
