"""The directory of all runs: in the checkout, or in the user's own data directory."""

import contextlib
import os
import tempfile
from pathlib import Path

from charlm.errors import CharlmError


def checkpoints_directory(checkout):
    """Return the directory of all model directories, those bundled with `checkout` included.

    It is $CHARLM_CHECKPOINTS, else checkpoints/ in the checkout. If the checkout is read-only, it
    is charlm/ in $XDG_DATA_HOME or ~/.local/share, else a directory among the temporary files.
    Outside the checkout, it contains links to the bundled models. Raises CharlmError.
    """
    bundled = Path(checkout) / "checkpoints"
    chosen = os.environ.get("CHARLM_CHECKPOINTS")
    if not chosen and is_writable(bundled):
        return bundled
    directory = Path(chosen) if chosen else next(filter(is_writable, user_directories()), None)
    if directory is None:
        raise CharlmError(f"{bundled} is read-only; set CHARLM_CHECKPOINTS to another directory")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for model in bundled.glob("*/config.json"):
            link(directory / model.parent.name, model.parent.resolve())
    except OSError as error:
        raise CharlmError(f"cannot keep runs in {directory}: {error.strerror}") from None
    return directory


def user_directories():
    """Yield the directories to try when the checkout is read-only."""
    data = os.environ.get("XDG_DATA_HOME")
    with contextlib.suppress(RuntimeError):  # the user has no home directory
        yield Path(data or Path.home() / ".local" / "share") / "charlm"
    user = os.getuid() if hasattr(os, "getuid") else "user"
    yield Path(tempfile.gettempdir()) / f"charlm-{user}"


def is_writable(path):
    """Return whether files can be made in a directory, which may not exist yet."""
    existing = next(p for p in (path, *path.absolute().parents) if p.exists())
    return existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)


def link(path, target):
    """Make `path` a symbolic link to a directory, unless something else is there already."""
    if path.is_symlink() and path.resolve() != target:
        path.unlink()  # it points to an earlier checkout
    with contextlib.suppress(FileExistsError):
        path.symlink_to(target, target_is_directory=True)
