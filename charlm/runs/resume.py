"""The resume state of a run: resume/ in its directory, from which training continues.

`state.json` names a safetensors file with the trainer's tensors. Replacing `state.json` makes a new
state current, so an interrupted save leaves the previous state intact.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from charlm.files import write_atomically
from charlm.models.checkpoint import CheckpointError, parse_file, read_tensors, serialize
from charlm.training.state import TrainerState

FOLDER, STATE_FILE = "resume", "state.json"


@dataclass(frozen=True)
class ResumeState:
    """The state that a run needs to continue, besides its model directory."""

    state: TrainerState | None  # None until the first save
    log_size: int  # bytes of run.jsonl when it was saved
    data_path: str | None  # of the text; None if it is the default one
    teachers: tuple = ()  # names with which the teachers are found from any working directory


def save_resume_state(directory, resume):
    """Save a ResumeState. Raises OSError, as on a full disk, with the previous state intact."""
    folder, state, file = directory / FOLDER, resume.state, None
    if state:
        file = folder / f"step-{state.step:08}.safetensors"
        write_atomically(file, serialize(state.tensors))
    parts = {
        "step": state.step if state else 0,
        "time": state.time if state else 0.0,
        "evaluated": bool(state and state.evaluated),
        "tensors": file and file.name,
        "log_size": resume.log_size,
        "data_path": resume.data_path,
        "teachers": list(resume.teachers),
    }
    write_atomically(folder / STATE_FILE, json.dumps(parts, indent=2).encode())
    for old in folder.glob("step-*.safetensors"):
        if old != file:
            old.unlink()


def load_resume_state(directory):
    """Return the ResumeState saved last. Raises CheckpointError if it is damaged or missing."""
    path = directory / FOLDER / STATE_FILE
    if not path.exists():
        raise CheckpointError(f"{directory} has no resume/ state, so its training cannot continue")

    def from_json(text):
        parts, state = json.loads(text), None
        if parts["tensors"]:
            tensors = read_tensors(path.with_name(Path(parts["tensors"]).name))
            evaluated = bool(parts.get("evaluated", True))  # older files lack it
            state = TrainerState(int(parts["step"]), float(parts["time"]), tensors, evaluated)
        teachers = tuple(map(str, parts.get("teachers", ())))
        return ResumeState(state, int(parts["log_size"]), parts["data_path"], teachers)

    return parse_file(path, from_json)


def can_resume(directory):
    """Return whether a run directory has a resume state."""
    return (Path(directory) / FOLDER / STATE_FILE).is_file()


def saved_data_path(directory):
    """Return the path of a run's text, as it was saved; None if there is none, or none is known."""
    try:
        path = json.loads((Path(directory) / FOLDER / STATE_FILE).read_bytes())["data_path"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return path if isinstance(path, str) else None
