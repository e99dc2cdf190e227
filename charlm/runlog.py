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

    `size`, the bytes written so far, is what a resume state remembers: reopening with `keep=size`
    drops everything after it, torn or not, so that the resumed run writes those lines again.
    """

    def __init__(self, directory, keep=0):
        self.path = Path(directory) / FILE
        self.size = keep
        if keep and (not self.path.is_file() or self.path.stat().st_size < keep):
            raise RunLogError(f"{self.path} is shorter than when the run was saved; restore it")

    def __enter__(self):
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            if fcntl:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise RunLogError(f"{self.path.parent} is being trained by another process") from None
        os.ftruncate(self._file, self.size)
        os.lseek(self._file, self.size, os.SEEK_SET)
        return self

    def __exit__(self, *_):
        os.close(self._file)

    def append(self, event):
        """Write one event as one line, in one system call. Raises OSError on a full disk."""
        record = {"event": event.event, **asdict(event)}
        line = json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n"
        raw = line.encode()
        if os.write(self._file, raw) != len(raw):  # a disk that fills up may take a part of it
            os.ftruncate(self._file, self.size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.size += len(raw)

    def sync(self):
        """Return once what was appended is on the disk."""
        os.fsync(self._file)


def read(directory, cursor=0):
    """The events after byte `cursor` and the new cursor; a line still being written is left out.

    A log shorter than the cursor was cut back by a resumed run: it is read from its start.
    """
    path = Path(directory) / FILE
    with path.open("rb") as file:
        if cursor > os.fstat(file.fileno()).st_size:
            cursor = 0
        file.seek(cursor)
        whole = file.read().rpartition(b"\n")[0]
    if not whole:
        return [], cursor
    return [json.loads(line) for line in whole.split(b"\n")], cursor + len(whole) + 1
