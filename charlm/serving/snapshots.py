"""The snapshots of a run with their losses."""

import contextlib

from charlm.errors import CharlmError, quote
from charlm.runs.history import History


def snapshots_of(library, run):
    """Return [{step, val_loss, estimated}, ...] of a run's snapshots, ascending.

    `val_loss`: nats per character, over the whole validation part of the text where the run was
    evaluated at that step; else it is `estimated` from a few batches of it, and None if the run's
    log has neither. Raises CharlmError for an unknown run.
    """
    location = library.locate(run)
    if location.step is not None:
        raise CharlmError(f"run is {quote(run)}; it must be a run, without the step of a snapshot")
    history = History(location.directory)
    with contextlib.suppress(OSError, CharlmError):  # a model needs no log
        history.update()
    whole = {step: val for step, _, val in history.evals}
    losses = dict(history.snapshots) | whole
    return [
        {"step": step, "val_loss": losses.get(step), "estimated": step not in whole}
        for step in library.snapshots(run)
    ]
