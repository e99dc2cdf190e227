"""Where runs and downloads are stored: the first directory that the user can write to."""

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

from charlm.console import warn_once
from charlm.errors import CharlmError

HOMES = {"data": "~/.local/share", "cache": "~/.cache"}  # unless XDG_DATA_HOME, ... name others


def expand(path):
    """Return a path that the user gave, with "~" replaced by the home, if there is one."""
    with contextlib.suppress(RuntimeError):
        return Path(path).expanduser()
    return Path(path)


def resolve(path):
    """Return the absolute path without links of a path that the user gave."""
    return Path(os.path.realpath(expand(path)))  # Path.resolve would raise for a link to itself


def is_directory(path):
    """Return whether a path is that of a directory; False for one that cannot exist or be seen."""
    with contextlib.suppress(OSError, ValueError):
        return path.is_dir()
    return False


def user_directories(kind):
    """Return charlm's directories for a kind of files, "data" or "cache", the preferred one first.

    The last one, among the temporary files, serves users without a home of their own.
    """
    own = expand(os.environ.get(f"XDG_{kind.upper()}_HOME") or HOMES[kind])
    user = os.getuid() if hasattr(os, "getuid") else "user"
    folder = f"charlm-{user}" if kind == "data" else f"charlm-{kind}-{user}"
    first = [resolve(own) / "charlm"] if own.is_absolute() else []
    return [*first, Path(tempfile.gettempdir()) / folder]


def is_writable(directory):
    """Return whether this user can make files in a directory, which may not exist yet."""
    above = (directory, *directory.absolute().parents)
    existing = next(path for path in above if os.path.lexists(path))
    return os.access(existing, os.W_OK | os.X_OK) and existing.is_dir()


def checkpoints_directory(checkout):
    """Return the directory of all model directories, those bundled with `checkout` included.

    It is $CHARLM_CHECKPOINTS, else checkpoints/ in the checkout. If the checkout is read-only, it
    is one of `user_directories`, and a warning names it. Outside the checkout, it contains links to
    the bundled models. Raises CharlmError.
    """
    bundled = Path(checkout) / "checkpoints"
    if chosen := os.environ.get("CHARLM_CHECKPOINTS"):
        directory = resolve(chosen)
    elif is_writable(bundled):
        return bundled
    else:
        directory = next(filter(is_writable, user_directories("data")), None)
        if directory is None:
            raise CharlmError(f"{bundled} is read-only; set CHARLM_CHECKPOINTS to a directory")
        warn_once(f"{bundled} is read-only; runs are kept in {directory}")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for config in bundled.glob("*/config.json"):
            offer(config.parent.resolve(), directory)
    except OSError as error:
        raise CharlmError(f"cannot keep runs in {directory}: {error.strerror}") from None
    return directory


def offer(model, directory):
    """Link to a bundled model in a directory, unless something of its name is there already.

    A broken link that an earlier checkout left is replaced. Without links, the model is copied.
    """
    link = directory / model.name
    with contextlib.suppress(OSError):  # no link
        if not link.exists() and link.readlink().parts[-2:] == model.parts[-2:]:
            link.unlink()
    if os.path.lexists(link):
        return
    try:
        link.symlink_to(model, target_is_directory=True)
    except FileExistsError:  # another process was faster
        return
    except OSError:
        copy = directory / f".{model.name}.{os.getpid()}.new"
        shutil.copytree(model, copy)
        copy.rename(link)
