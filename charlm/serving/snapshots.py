"""The snapshots of a run with their losses."""


def snapshots_of(library, monitor, run):
    """Return [{step, val_loss, estimated}, ...] of a run's snapshots, ascending.

    `val_loss`: nats per character, over the whole validation part of the text where the run was
    evaluated at that step; else it is `estimated` from a few batches of it, and None if the run's
    log has neither. Raises CharlmError for an unknown run.
    """
    steps, history = library.snapshots(run), monitor.history(run)
    whole = {step: val for step, _, val in history.evals}
    losses = dict(history.snapshots) | whole
    return [
        {"step": step, "val_loss": losses.get(step), "estimated": step not in whole}
        for step in steps
    ]
