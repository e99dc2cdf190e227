"""A run that was asked for on the page: what is known of it, in a folder of its own.

`job.json` is the Job, `text/` what it is to learn, `output.txt` what its train.py printed.
"""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from charlm.files import write_atomically

FILE, OUTPUT = "job.json", "output.txt"


@dataclass(frozen=True)
class Job:
    """job.json: what was asked for, and how far that got."""

    name: str
    arguments: list  # of train.py
    named: bool  # by whoever asked for it: such runs are never pruned
    steps: int
    since: float  # Unix time at which it joined the line, or was paused
    waiting: bool = True  # in line
    pid: int | None = None  # of train.py, once it was started ...
    started: float = 0.0  # ... at this Unix time
    paused: bool = False
    stopping: bool = False  # told to; telling it twice would end it without saving


def load(folder):
    """The Job in a folder; None if there is none, or what is there is damaged."""
    try:
        job = Job(**json.loads((folder / FILE).read_bytes()))
        return job if job.name == folder.name and job.since + job.started >= 0 else None
    except (OSError, ValueError, TypeError):
        return None


def save(folder, job, **changes):
    """Write a Job with the changes given; returns it. Raises OSError."""
    job = replace(job, **changes)
    write_atomically(folder / FILE, json.dumps(asdict(job), indent=2).encode())
    return job


def save_text(folder, name, raw):
    """Keep the text that a run is to learn, and goes on with when it is resumed; returns its path.

    That it lies here is also how the run directory shows whose it is: see `is_ours`.
    """
    path = folder.resolve() / "text" / Path(name).name
    write_atomically(path, raw)
    return path


def is_ours(folder, directory):
    """Whether a run directory was made for the job in `folder`, not by somebody with that name."""
    try:
        note = json.loads((directory / "resume" / "state.json").read_bytes())
        return Path(note["data_path"]).is_relative_to(folder.resolve())
    except (OSError, ValueError, TypeError, KeyError):
        return False


def failure_message(folder):
    """What train.py said it died of; "" if it said nothing of the kind."""
    try:
        raw = (folder / OUTPUT).read_bytes()[-4096:]
    except OSError:
        return ""
    text = raw.decode(errors="replace").strip()
    last = text.rpartition("\n")[2]
    said, ours, message = last.partition("train.py: ")
    if ours and not said:
        return message
    return last if "Traceback (most recent call last)" in text or "error:" in last else ""
