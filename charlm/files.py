"""Atomic file writes, bounded reads, strict JSON, and locks between processes.

Network mounts and containers may lack durability or locks. Then charlm says so once and goes on.
"""

import contextlib
import errno
import json
import math
import os
import threading

from charlm.console import warn_once

try:
    import fcntl
except ImportError:  # Windows has no flock, so two writers do not exclude each other there
    fcntl = None

# the errors of a file system that does not offer an operation
NOT_OFFERED = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOLCK}
NOT_OFFERED |= {errno.EBADF, errno.EPERM, errno.EACCES}


def write_atomically(target, raw, temporary_folder=None):
    """Write bytes so that readers see either the old file or the new one, even after a crash.

    `temporary_folder`: where a killed process leaves a partial file; None: the target's folder.
    Raises OSError with the file's name, as on a full disk; the old file is then unchanged and no
    other file is left.
    """
    name = f".{target.name}.{os.getpid()}-{threading.get_ident()}.tmp"
    temporary = (temporary_folder or target.parent) / name
    with naming(target):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                file.write(raw)
                file.flush()
                sync(file.fileno(), target.parent)
            temporary.replace(target)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
    sync_directory(target.parent)


@contextlib.contextmanager
def naming(path):
    """Let an OSError of this block name the file at `path`, and no temporary one."""
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            error.filename, error.filename2 = str(path), None
        raise


def sync(descriptor, directory):
    """Flush an open file or directory to the disk, where the file system offers that."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in NOT_OFFERED:
            raise
        warn_once(
            f"the file system of {directory} does not flush files ({error.strerror}): what is"
            " saved there may not survive a power failure"
        )


class PointerError(ValueError):
    """A file that Git left in place of a large one."""


def refuse_pointer(raw):
    """Raise PointerError if a file's bytes begin like a pointer of Git LFS."""
    if raw.startswith(b"version https://git-lfs"):
        raise PointerError("is a Git LFS pointer, not the file itself: run `git lfs pull`")


def read_bounded(path, most):
    """Return a file's bytes. Raises ValueError if it has more than `most`, and OSError."""
    with path.open("rb") as file:
        raw = file.read(most + 1)
    refuse_pointer(raw)
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
        try:
            handle = os.open(directory, os.O_RDONLY)
        except PermissionError:  # a directory may be writable and not readable
            return
        try:
            sync(handle, directory)
        finally:
            os.close(handle)


def try_lock(file, path, shared=False):
    """Lock the open file at `path` without waiting.

    Returns whether it was free, or None where the system or its file system has no locks.
    """
    return lock(file, path, fcntl and (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)


@contextlib.contextmanager
def locked(path):
    """Hold the lock file at `path`, which excludes every other process and thread."""
    with path.open("ab") as file:
        lock(file, path, fcntl and fcntl.LOCK_EX)
        yield


def lock(file, path, operation):
    """Call flock(2); returns whether it succeeded, or None where there are no locks."""
    if not fcntl:
        return None
    try:
        fcntl.flock(file, operation)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NOT_OFFERED:
            raise
        warn_once(
            f"the file system of {path.parent} has no locks ({error.strerror}): start one process"
            " for a run at a time"
        )
        return None
    return True
