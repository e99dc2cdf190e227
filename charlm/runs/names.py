"""The names of runs: existing, free and allowed ones."""

import contextlib
import itertools
import re
from pathlib import Path

from charlm.config import ConfigError
from charlm.errors import CharlmError
from charlm.runs.log import LOG_FILE

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def list_runs(checkpoints):
    """Return the names of the runs in a directory, the most recently written one first."""
    written = {}
    for log in Path(checkpoints).glob(f"*/{LOG_FILE}"):
        with contextlib.suppress(OSError):  # deleted in the meantime, or unreadable
            if NAME.fullmatch(log.parent.name):
                written[log.parent.name] = log.stat().st_mtime
    return sorted(written, key=lambda name: (-written[name], name))


def names_of_preset(checkpoints, preset):
    """Return the names in a directory that are a preset's defaults: `fast`, `fast-2`, ..."""
    pattern = re.compile(re.escape(preset) + r"(-\d+)?")
    names = {path.name for path in Path(checkpoints).glob(f"{preset}*")}
    return {name for name in names if pattern.fullmatch(name)}


def free_name(preset, taken):
    """Return the first of `fast`, `fast-2`, ... that is not taken."""
    names = itertools.chain([preset], (f"{preset}-{n}" for n in itertools.count(2)))
    return next(name for name in names if name not in taken)


def newest_name(checkpoints, preset):
    """Return the most recent run with a default name of the preset; raises CharlmError."""
    candidates = names_of_preset(checkpoints, preset)
    for name in list_runs(checkpoints):
        if name in candidates:
            return name
    raise CharlmError(f"there is no run of {preset} to resume; give its --name")


def check_name(name):
    """Raise ConfigError unless `name` is allowed, so that user input cannot form a path."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} cannot be a run's name; use up to 64 of a-z, 0-9, '-', '_' and '.',"
            " a letter or digit first",
            "name",
        )
