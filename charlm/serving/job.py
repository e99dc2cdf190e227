"""A run requested on the page, as files: `.jobs/<name>/` beside the run directories.

`job.json` is the Job, `text/` holds the text to train on, `output.txt` the output of its train.py.
The files survive a restart of the app.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from charlm.errors import without_directories
from charlm.files import write_atomically

JOB_FILE, OUTPUT_FILE = "job.json", "output.txt"


@dataclass(frozen=True)
class Job:
    """job.json: the request, and the process that executes it."""

    name: str  # of the run
    arguments: list  # of train.py
    named: bool  # by the visitor; such runs never expire
    steps: int
    since: float  # Unix time at which it joined the queue or was paused
    waiting: bool = True  # in the queue
    pid: int | None = None  # of train.py, once it has been started
    started: float = 0.0  # Unix time of that start; 0: never
    paused: bool = False
    stopping: bool = False  # a stop was requested; a second would end it without saving
    stopping_since: float = 0.0  # Unix time of that request
    killed: str = ""  # why its process was killed, as a sentence; "" if it was not
    owner: str = ""  # see owners.py; "": nobody on the page
    client: str = ""  # the network address that requested it


def load_job(folder):
    """Return the Job in a folder; None if there is none or it is damaged."""
    try:
        job = Job(**json.loads((folder / JOB_FILE).read_bytes()))
        return job if job.name == folder.name and job.since + job.started >= 0 else None
    except (OSError, ValueError, TypeError):
        return None


def save_job(folder, job):
    """Write a Job; return it. Raises OSError."""
    write_atomically(folder / JOB_FILE, json.dumps(asdict(job), indent=2).encode())
    return job


def save_text(folder, name, raw):
    """Write the text that a run trains on, now and when resumed; return its path.

    A run directory that refers to this path belongs to the job: see `owns_run`.
    """
    path = folder.resolve() / "text" / Path(name).name
    write_atomically(path, raw)
    return path


def owns_run(folder, directory):
    """Return whether a run directory was created for the job in `folder`."""
    try:
        state = json.loads((directory / "resume" / "state.json").read_bytes())
        return Path(state["data_path"]).is_relative_to(folder.resolve())
    except (OSError, ValueError, TypeError, KeyError):
        return False


def failure_message(folder):
    """Return the error that train.py printed last, without directories; "" if there is none."""
    try:
        raw = (folder / OUTPUT_FILE).read_bytes()[-4096:]
    except OSError:
        return ""
    text = raw.decode(errors="replace").strip()
    last = text.rpartition("\n")[2]
    before, ours, message = last.partition("train.py: ")
    if ours and not before:
        return without_directories(message)
    return last if "Traceback (most recent call last)" in text or "error:" in last else ""
