"""Where runs are kept: beside the code or, where that is read-only, in a place of one's own."""

import contextlib
import os
import tempfile
from pathlib import Path

from charlm.errors import CharlmError


def checkpoints(checkout):
    """The directory of all model directories, those bundled with `checkout` included.

    $CHARLM_CHECKPOINTS, else checkpoints/ in the checkout. Where that cannot be written, charlm/
    below $XDG_DATA_HOME or ~/.local/share, else below the directory for temporary files. Elsewhere
    than in the checkout, the bundled models are links to it. Raises CharlmError.
    """
    bundled = Path(checkout) / "checkpoints"
    given = os.environ.get("CHARLM_CHECKPOINTS")
    if not given and can_write(bundled):
        return bundled
    there = Path(given) if given else next(filter(can_write, own_places()), None)
    if there is None:
        raise CharlmError(f"{bundled} cannot be written; say where else by CHARLM_CHECKPOINTS")
    try:
        there.mkdir(parents=True, exist_ok=True)
        for model in bundled.glob("*/config.json"):
            link(there / model.parent.name, model.parent.resolve())
    except OSError as error:
        raise CharlmError(f"cannot keep runs in {there}: {error.strerror}") from None
    return there


def own_places():
    data = os.environ.get("XDG_DATA_HOME")
    with contextlib.suppress(RuntimeError):  # nobody's home
        yield Path(data or Path.home() / ".local" / "share") / "charlm"
    user = os.getuid() if hasattr(os, "getuid") else "user"
    yield Path(tempfile.gettempdir()) / f"charlm-{user}"


def can_write(path):
    """Whether something can be made in a directory, which may itself still have to be made."""
    existing = next(p for p in (path, *path.absolute().parents) if p.exists())
    return existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)


def link(path, target):
    """Have `path` lead to `target`, unless there is something else already."""
    if path.is_symlink() and path.resolve() != target:
        path.unlink()  # to a checkout that was here before
    with contextlib.suppress(FileExistsError):
        path.symlink_to(target, target_is_directory=True)
