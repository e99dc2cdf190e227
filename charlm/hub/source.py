"""Find a model by its name: in a directory, or on the Hub."""

import contextlib
import os
from pathlib import Path

from charlm.hub import snapshots
from charlm.hub.client import HubError, parse_source
from charlm.hub.pull import pull
from charlm.models import checkpoint
from charlm.models.checkpoint import WEIGHTS, CheckpointError
from charlm.models.snapshots import check_step, snapshot_file, snapshot_steps, split_step
from charlm.paths import expand, is_directory


def load(source, revision=None):
    """Load a model directory, or "user/repo" from the Hub; returns the model and its tokenizer.

    The model is fp32, on the CPU, in evaluation mode. "#500" after either loads the snapshot of
    step 500. `revision`: a branch, tag or commit on the Hub. Raises CharlmError.
    """
    return checkpoint.load(*find_model(source, revision))


def find_model(source, revision=None):
    """Return (directory, file of the weights) of a model that is named as for `load`.

    A model on the Hub is fetched. Raises CharlmError.
    """
    run, step = (source, None) if is_directory(expand(source)) else split_step(str(source))
    path = expand(run)
    if is_directory(path) and str(run).strip():
        if revision:
            raise HubError(f"{run} is a directory, which has no revision {revision}")
        return path, weights_of(path, step)
    if os.path.lexists(path) or is_local(path):
        raise CheckpointError(f"{run} is not a model directory{others_beside(path)}")
    repo_id, in_source = parse_source(str(run))
    pulled = pull(repo_id, revision or in_source)
    if step is not None:
        snapshots.fetch(pulled, step)
    return pulled.directory, weights_of(pulled.directory, step)


def weights_of(directory, step):
    """Return the file of a model's weights, or of its snapshot at a step. Raises CharlmError."""
    if step is None:
        return WEIGHTS
    check_step(directory, step, snapshot_steps(directory))
    return snapshot_file(step)


def is_local(path):
    """Return whether what may be a path or the name of a Hub model can only be a path."""
    return path.is_absolute() or (path.parts and is_directory(Path(path.parts[0])))


def others_beside(path):
    """Return "; there is: ..." with the model directories beside a path; "" if there are none."""
    with contextlib.suppress(OSError):
        names = sorted(p.name for p in path.parent.iterdir() if checkpoint.is_model_directory(p))
        return f"; there is: {', '.join(names)}" if names else ""
    return ""
