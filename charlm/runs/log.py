"""run.jsonl: a run's events, one JSON object a line, appended by one and followers by many."""

import errno
import json
import os
import time
import zlib
from dataclasses import asdict
from numbers import Real
from pathlib import Path

from charlm.errors import CharlmError
from charlm.files import try_lock

FILE = "run.jsonl"
PATIENCE = 0.5  # seconds: who looks whether a log is held has to hold it for an instant
FIELDS = {  # that whoever reads an event relies on, besides its step and its time
    "start": {"config": dict, "data": dict},
    "step": {"loss": Real, "lr": Real, "chars_per_second": Real},
    "eval": {"train_loss": Real, "val_loss": Real},
    "sample": {"text": str},
    "end": {"reason": str},
}
MARKED = 256  # bytes before a cursor, by which it knows its place again


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
        began = time.monotonic()
        while not try_lock(self._file):
            if time.monotonic() - began > PATIENCE:
                os.close(self._file)
                raise RunLogError(f"{self.path.parent} is being trained by another process")
            time.sleep(PATIENCE / 20)
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


def is_locked(directory):
    """Whether a process has the log open to write; False where the system cannot tell."""
    try:
        with (Path(directory) / FILE).open("rb") as file:
            return not try_lock(file, shared=True)
    except OSError:  # no log, or a file system without locks
        return False


def read(directory, cursor=0, most=-1):
    """The events from `cursor` on and the new cursor; a line still being written is left out.

    A cursor is a number to be handed back; 0 is the log's start. `most` bounds the bytes read at a
    time, but for the first line; -1 reads all. A cursor from before a resumed run cut the log back
    is noticed, and the log then read from its start. Raises RunLogError if a line is no event.
    """
    path = Path(directory) / FILE
    with path.open("rb") as file:
        offset, mark = divmod(cursor, 2**16)
        if offset and mark_before(file, offset) != mark:
            offset = 0
        file.seek(offset)
        raw = file.read(most)
        if b"\n" not in raw:
            raw += file.readline()
        whole, end, _ = raw.rpartition(b"\n")
        offset += len(whole + end)
        cursor = offset * 2**16 + mark_before(file, offset) if offset else 0
    return [parse(path, line) for line in whole.split(b"\n") if end], cursor


def mark_before(file, offset):
    """16 bits that depend on what stands before `offset`."""
    file.seek(max(0, offset - MARKED))
    return zlib.crc32(file.read(min(MARKED, offset))) % 2**16


def tail(directory, size=2**16):
    """The last events, as many as lie whole in the last `size` bytes, at least one if there is one.

    Raises RunLogError if a line is no event.
    """
    path = Path(directory) / FILE
    with path.open("rb") as file:
        length = file.seek(0, os.SEEK_END)
        while True:
            start = max(0, length - size)
            file.seek(start)
            lines = file.read(length - start).split(b"\n")[bool(start) : -1]
            if lines or not start:
                return [parse(path, line) for line in lines]
            size *= 4


def refuse(constant):
    """NaN and the infinities, which Python's JSON reader would take."""
    raise ValueError(constant)


def parse(path, line):
    """One line as the event that it is."""
    try:
        event = json.loads(line, parse_constant=refuse)
        required = {"step": int, "time": Real} | FIELDS.get(event["event"], {})
        if not all(isinstance(event[name], kind) for name, kind in required.items()):
            raise TypeError
    except (ValueError, TypeError, KeyError, RecursionError):
        raise RunLogError(f"{path} is damaged: {line[:40]!r} is no event") from None
    return event
