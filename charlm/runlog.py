"""run.jsonl: a run's events, one JSON object a line, appended by one and followed by many."""

import errno
import json
import os
from dataclasses import asdict
from pathlib import Path

from charlm.config import CharlmError

try:
    import fcntl
except ImportError:  # Windows has no such locks; there, nothing keeps two writers apart
    fcntl = None

FILE = "run.jsonl"


class RunLogError(CharlmError):
    """A log that cannot be written to; the message names it and says why."""


class RunLog:
    """Appends events to a run directory's log. A context manager; one writer at a time.

    `size` is what was written so far, in bytes. A resume state remembers it, so that `cut_back`
    can drop whatever came later, torn or not, and the resumed run writes those lines again.
    """

    def __init__(self, directory):
        self.path = Path(directory) / FILE

    def __enter__(self):
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
        try:
            if fcntl:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise RunLogError(f"{self.path.parent} is being trained by another process") from None
        self.size = os.fstat(self._file).st_size
        return self

    def __exit__(self, *_):
        os.close(self._file)

    def cut_back(self, size):
        """Keep the first `size` bytes only. Raises RunLogError if there are not as many."""
        if size > self.size:
            raise RunLogError(f"{self.path} is shorter than when the run was saved; restore it")
        os.ftruncate(self._file, size)
        self.size = size

    def append(self, event):
        """Write one event as one line, whole or not at all. Raises OSError on a full disk."""
        record = {"event": event.event, **asdict(event)}
        raw = (json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n").encode()
        os.lseek(self._file, self.size, os.SEEK_SET)
        if os.write(self._file, raw) != len(raw):  # a disk that fills up may take a part of it
            os.ftruncate(self._file, self.size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
        self.size += len(raw)

    def sync(self):
        """Return once what was appended is on the disk."""
        os.fsync(self._file)


def read(directory, cursor=0):
    """The events after byte `cursor` and the new cursor; a line still being written is left out.

    A cursor at which no line begins is from before a resumed run cut the log back: the log is then
    read from its start. Raises RunLogError if a line is no event.
    """
    path = Path(directory) / FILE
    with path.open("rb") as file:
        file.seek(max(cursor - 1, 0))
        if cursor and file.read(1) != b"\n":
            cursor = 0
            file.seek(0)
        whole = file.read().rpartition(b"\n")[0]
    if not whole:
        return [], cursor
    return [parse(path, line) for line in whole.split(b"\n")], cursor + len(whole) + 1


def parse(path, line):
    """One line as the event that it is."""
    try:
        event = json.loads(line)
        event["event"], event["step"], event["time"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise RunLogError(f"{path} is damaged: {line[:40]!r} is no event") from None
    return event
