"""Atomic file writes, bounded reads, strict JSON, and locks between processes."""

import contextlib
import json
import math
import os
import threading

try:
    import fcntl
except ImportError:  # Windows has no flock, so two writers do not exclude each other there
    fcntl = None


def write_atomically(target, raw):
    """Write bytes so that readers see either the old file or the new one, even after a crash.

    Raises OSError, as on a full disk; the old file is then unchanged and no other file is left.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    sync_directory(target.parent)


def read_bounded(path, most):
    """Return a file's bytes. Raises ValueError if it has more than `most`, and OSError."""
    with path.open("rb") as file:
        raw = file.read(most + 1)
    if len(raw) > most:
        raise ValueError(f"it has more than {most:,} bytes")
    return raw


def parse_json(text):
    """Return the value of a JSON text whose numbers all fit: ints in 64 bits, floats finite.

    Raises ValueError for any other text, and RecursionError for one that is nested too deeply.
    """
    return json.loads(
        text, parse_int=parse_int, parse_float=parse_float, parse_constant=parse_float
    )


def parse_int(digits):
    """Return the int of a JSON number; raises ValueError unless it fits in 64 bits."""
    if len(digits) > 20 or not -(2**63) <= int(digits) < 2**63:
        raise ValueError(f"{digits[:20]} is too large a number")
    return int(digits)


def parse_float(digits):
    """Return the float of a JSON number; raises ValueError unless it is finite."""
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits[:20]} is not a finite number")
    return number


def sync_directory(directory):
    """Make renames in a directory survive a power failure, where the system can (not Windows)."""
    if os.name == "posix":
        handle = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def try_lock(file, shared=False):
    """Lock an open file without waiting; return whether it was free. True on Windows."""
    try:
        if fcntl:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def locked(path):
    """Hold the lock file at `path`, which excludes every other process and thread."""
    with path.open("ab") as file:
        if fcntl:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
