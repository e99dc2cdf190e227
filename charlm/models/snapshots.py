"""Snapshots: the weights of a run at some of its steps, in snapshots/ of its directory.

`run#step` names a snapshot wherever a model is named.
"""

import re
from pathlib import Path

import torch

from charlm.errors import CharlmError, quote
from charlm.files import write_atomically
from charlm.models import checkpoint

FOLDER = "snapshots"
STEP = re.compile(r"0|[1-9][0-9]{0,9}")
FILE = re.compile(rf"{FOLDER}/({STEP.pattern})\.safetensors")


def snapshot_file(step):
    """Return the path of a snapshot's file within the model directory."""
    return f"{FOLDER}/{step}.safetensors"


def step_of_file(path):
    """Return the step of a snapshot's path within the model directory; None for another file's."""
    match = FILE.fullmatch(path)
    return match and int(match[1])


def snapshot_steps(directory):
    """Return the steps of a model directory's snapshots, ascending."""
    files = (directory / FOLDER).glob("*.safetensors")
    steps = (step_of_file(f"{FOLDER}/{path.name}") for path in files)
    return tuple(sorted(step for step in steps if step is not None))


def save_snapshot(directory, model, step):
    """Write the weights of a model as a snapshot, in bf16. Raises OSError, as on a full disk.

    The folder never contains a partial file, even after the process was killed.
    """
    tensors = {name: t.to(torch.bfloat16) for name, t in model.state_dict().items()}
    target = directory / snapshot_file(step)
    write_atomically(target, checkpoint.serialize(tensors), temporary_folder=directory)


def remove_snapshots(directory, after):
    """Delete the snapshots of later steps than `after`."""
    for step in snapshot_steps(directory):
        if step > after:
            (directory / snapshot_file(step)).unlink()


def check_step(name, step, steps):
    """Raise CharlmError unless `step` is one of the steps of a run's snapshots."""
    if step not in steps:
        there = f"it has: {', '.join(map(str, steps))}" if steps else "it has none"
        raise CharlmError(f"{name} has no snapshot of step {quote(step)}; {there}")


def load_snapshot(directory, step):
    """Return the model and tokenizer of a snapshot, as checkpoint.load does.

    Raises CharlmError if the directory has no snapshot of the step, or it does not load.
    """
    directory = Path(directory)
    check_step(directory, step, snapshot_steps(directory))
    return checkpoint.load(directory, snapshot_file(step))


def split_step(name):
    """Return (run, step) of "run#step"; the step is None in any other name."""
    run, _, step = name.rpartition("#")
    return (run, int(step)) if STEP.fullmatch(step) and run else (name, None)
