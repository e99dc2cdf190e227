"""What a run resumes from: the trainer's state, the size of its log, and the path of its text."""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch

from charlm.files import sync_directory, write_atomically
from charlm.models.checkpoint import (
    CheckpointError,
    parse,
    read_tensors,
    save_description,
    save_tokenizer,
    save_weights,
)
from charlm.training.state import TrainerState


@dataclass(frozen=True)
class Progress:
    """How far a run got: the trainer's state, the log's size then, and where its text was."""

    state: TrainerState | None  # None at the very start
    log_size: int
    data_path: str | None


def create(directory, description, model, tokenizer, data_path=None):
    """Make a new model directory that loads, and can be resumed, from the moment it exists.

    Raises FileExistsError if there is one already.
    """
    if directory.exists():
        raise FileExistsError(f"{directory} exists already")
    unfinished = directory.with_name(f".{directory.name}.{os.getpid()}.new")
    try:
        save_description(unfinished, description)
        save_tokenizer(unfinished, tokenizer)
        save_weights(unfinished, model, description.training.store)
        save_resume_note(unfinished, None, None, 0, data_path)
        unfinished.rename(directory)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    sync_directory(directory.parent)


def save_progress(directory, trainer, log, data_path):
    """Save the trainer's kept weights to load, and its whole state to resume from.

    Raises OSError, as on a full disk; the previous weights and state are then still whole.
    """
    state = trainer.state()
    save_weights(directory, trainer.kept_model, trainer.config.store)
    resume = directory / "resume"
    tensors = resume / f"step-{state.step:08}.safetensors"
    contiguous = {name: t.contiguous() for name, t in state.tensors.items()}
    write_atomically(tensors, safetensors.torch.save(contiguous))
    log.sync()
    save_resume_note(directory, state, tensors.name, log.size, data_path)
    for old in resume.glob("step-*.safetensors"):
        if old != tensors:
            old.unlink()


def save_resume_note(directory, state, tensors, log_size, data_path):
    """Write the small file that makes the tensors of that name the state to resume from."""
    note = {
        "step": state.step if state else 0,
        "time": state.time if state else 0.0,
        "tensors": tensors,
        "log_size": log_size,
        "data_path": data_path,
    }
    write_atomically(directory / "resume" / "state.json", json.dumps(note, indent=2).encode())


def sweep(directory):
    """Remove what a killed process was in the middle of writing; only for the run's one writer."""
    for unfinished in directory.rglob(".*.tmp"):
        unfinished.unlink()


def load_progress(directory):
    """The Progress saved last. Raises CheckpointError, also where only the model was kept."""
    path = directory / "resume" / "state.json"
    if not path.exists():
        raise CheckpointError(f"{directory} has no resume/ state, so its training cannot go on")

    def from_json(text):
        note, state = json.loads(text), None
        if note["tensors"]:
            tensors = read_tensors(path.with_name(Path(note["tensors"]).name))
            state = TrainerState(int(note["step"]), float(note["time"]), tensors)
        return Progress(state, int(note["log_size"]), note["data_path"])

    return parse(path, from_json)
