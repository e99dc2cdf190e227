"""Writing files so that nobody ever sees half of one."""

import os


def write_atomically(target, raw):
    """Write bytes so that a reader, or a crash at any moment, finds the old file or the new one.

    Raises OSError, as on a full disk, with the old file as it was and no other left behind.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
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
