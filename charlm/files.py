"""Writing files so that nobody ever sees half of one, nor two write at once."""

import contextlib
import os
import threading

try:
    import fcntl
except ImportError:  # Windows has no such locks; there, nothing keeps two writers apart
    fcntl = None


def write_atomically(target, raw):
    """Write bytes so that a reader, or a crash at any moment, finds the old file or the new one.

    Raises OSError, as on a full disk, with the old file as it was and no other left behind.
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


def sync_directory(directory):
    """Make the renames in a directory survive a power cut, where the system can (not Windows)."""
    if os.name == "posix":
        handle = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def try_lock(file, shared=False):
    """Take a lock on an open file without waiting; whether it was free. True where none exist."""
    try:
        if fcntl:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def locked(path):
    """Keep every other process and thread out that asks for the same, while in the context."""
    with path.open("ab") as file:
        if fcntl:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
