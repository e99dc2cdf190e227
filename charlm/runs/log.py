"""run.jsonl, the log of a run: one event per line as JSON; one writer, any number of readers."""

import errno
import json
import os
import time
import zlib
from dataclasses import asdict
from pathlib import Path

from charlm.errors import CharlmError, quote
from charlm.files import naming, sync, try_lock
from charlm.runs.log_schema import parse_line

LOG_FILE = "run.jsonl"
LOCK_TIMEOUT = 0.5  # seconds; a reader's is_log_locked() holds the lock for an instant
MAX_LINE = 2**25  # bytes of an event
QUIET = 600  # seconds without an event after which a run without locks counts as ended
CHECKSUM_BYTES = 256  # bytes before a cursor whose checksum is part of it


class RunLogError(CharlmError):
    """A log that is damaged or cannot be written; the message names it and the reason."""


class RunLog:
    """Appends events to a run directory's log. A context manager; one writer at a time.

    `size` is the length of the log in bytes. The resume state stores it, so that `truncate` can
    drop later lines, torn ones included, and the resumed run writes them again.
    """

    def __init__(self, directory):
        self.path = Path(directory) / LOG_FILE

    def __enter__(self):
        """Open and lock the log.

        Raises RunLogError if another process is writing it, and OSError.
        """
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
        start = time.monotonic()
        while try_lock(self._file, self.path) is False:
            if time.monotonic() - start > LOCK_TIMEOUT:
                os.close(self._file)
                raise RunLogError(f"{self.path.parent} is being trained by another process")
            time.sleep(LOCK_TIMEOUT / 20)
        self.size = os.fstat(self._file).st_size
        return self

    def __exit__(self, *_):
        os.close(self._file)

    def truncate(self, size):
        """Drop everything after the first `size` bytes. Raises RunLogError if it is shorter."""
        if size > self.size:
            raise RunLogError(f"{self.path} is shorter than when the run was saved; restore it")
        os.ftruncate(self._file, size)
        self.size = size

    def append(self, event):
        """Write one event as one line, whole or not at all. Raises OSError on a full disk."""
        record = {"event": event.event, **asdict(event)}
        raw = (json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n").encode()
        with naming(self.path):
            os.lseek(self._file, self.size, os.SEEK_SET)
            if os.write(self._file, raw) != len(raw):  # a disk that fills up may take a part
                os.ftruncate(self._file, self.size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.size += len(raw)

    def sync(self):
        """Flush the log to the disk."""
        with naming(self.path):
            sync(self._file, self.path.parent)


def is_log_locked(directory):
    """Return whether a process is writing the log.

    Where there are no locks, it is one that was written within QUIET seconds.
    """
    path = Path(directory) / LOG_FILE
    try:
        with path.open("rb") as file:
            free = try_lock(file, path, shared=True)
            age = time.time() - os.fstat(file.fileno()).st_mtime
    except OSError:  # no log
        return False
    return age < QUIET if free is None else not free


def read_events(directory, cursor=0, max_bytes=-1):
    """Return the events after `cursor` and the new cursor, without a line still being written.

    `cursor`: 0 for the start of the log, else one returned before. `max_bytes`: how much of the log
    to read, but at least one line; -1 reads all. If a resumed run has truncated the log before the
    cursor, reading restarts at the beginning.

    Raises RunLogError if a line is not an event, and OSError if the log cannot be read.
    """
    path = Path(directory) / LOG_FILE
    with path.open("rb") as file:
        offset, checksum = divmod(cursor, 2**16)
        if offset and checksum_before(file, offset) != checksum:
            offset = 0
        file.seek(offset)
        raw = file.read(max_bytes)
        if b"\n" not in raw:
            raw += file.readline(MAX_LINE)
            check_line_length(path, raw)
        complete, newline, _ = raw.rpartition(b"\n")
        offset += len(complete + newline)
        cursor = offset * 2**16 + checksum_before(file, offset) if offset else 0
    return [parse_event(path, line) for line in complete.split(b"\n") if newline], cursor


def latest_events(directory, max_bytes=2**18):
    """Return the latest event of each kind, by kind. Reads `max_bytes` of the log at a time.

    Raises RunLogError if a line is not an event, and OSError if the log cannot be read.
    """
    latest, cursor = {}, 0
    while True:
        events, cursor = read_events(directory, cursor, max_bytes)
        if not events:
            return latest
        latest |= {event["event"]: event for event in events}


def read_first_event(directory):
    """Return the first event of the log; None if it has none yet. Raises as read_events does."""
    events, _ = read_events(directory, 0, 2**12)
    return events[0] if events else None


def checksum_before(file, offset):
    """Return a 16-bit checksum of the bytes just before `offset`."""
    file.seek(max(0, offset - CHECKSUM_BYTES))
    return zlib.crc32(file.read(min(CHECKSUM_BYTES, offset))) % 2**16


def read_last_events(directory, size=2**16):
    """Return the events in the last `size` bytes of the log, but at least one if it has any.

    Raises RunLogError if a line is not an event, and OSError if the log cannot be read.
    """
    path = Path(directory) / LOG_FILE
    with path.open("rb") as file:
        length = file.seek(0, os.SEEK_END)
        while True:
            start = max(0, length - size)
            if size > 4 * MAX_LINE:
                raise RunLogError(f"{path} is damaged: its last line is too long for an event")
            file.seek(start)
            lines = file.read(length - start).split(b"\n")[bool(start) : -1]
            if lines or not start:
                return [parse_event(path, line) for line in lines]
            size *= 4


def parse_event(path, line):
    """Return the event of a line; raises RunLogError, naming the log at `path`."""
    try:
        return parse_line(line)
    except (ValueError, TypeError, KeyError, RecursionError):
        raise RunLogError(f"{path} is damaged: {quote(line)} is no event") from None


def check_line_length(path, raw):
    """Raise RunLogError if bytes without a line end are too long for an event."""
    if len(raw) >= MAX_LINE and b"\n" not in raw:
        raise RunLogError(f"{path} is damaged: a line is too long for an event")
