"""What a run directory tells of its run: its state, how far it is, its curves and its samples.

Nothing else is asked, so a run in this process's care, in a terminal, on another machine or over
since last week all look the same.
"""

import contextlib
import itertools
import re
import threading
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from charlm.config import ConfigError, require
from charlm.data.baselines import reference_losses
from charlm.errors import CharlmError
from charlm.models import checkpoint
from charlm.runs import log as runlog

DIED = "its process ended without a word: killed, out of memory, or the machine went down"
MOST = 2**18  # bytes of a log that are handed out at a time


@dataclass(frozen=True)
class Status:
    """How a run is doing. `state`: running, finished, stopped or failed."""

    name: str
    state: str
    step: int
    steps: int
    message: str = ""  # why it stopped or failed
    learning_rate: float | None = None
    chars_per_second: float | None = None
    eta_seconds: float | None = None  # of a running one
    val_loss: float | None = None  # the last one, if it is not long ago
    place: int | None = None  # of one that waits in line; see jobs.py


def list_runs(directory):
    """The names of the runs below `directory`, those that were written to last coming first."""
    logs = {}
    for log in Path(directory).glob(f"*/{runlog.FILE}"):
        with contextlib.suppress(FileNotFoundError):  # deleted this very moment
            if checkpoint.SLUG.fullmatch(log.parent.name):
                logs[log.parent.name] = log.stat().st_mtime
    return sorted(logs, key=lambda name: (-logs[name], name))


def status(directory, going=None):
    """The Status of the run in a directory, at a cost that does not grow with the run's length.

    `going`: whether a run without an end still goes on; None asks whether anybody writes its log.
    Raises CharlmError if there is no run or if its files are damaged.
    """
    directory = Path(directory)
    held = runlog.is_locked(directory)  # asked first: an end that comes after it is read
    try:
        events = runlog.tail(directory)
    except OSError:
        raise CharlmError(f"there is no run {directory.name}") from None
    steps = checkpoint.load_description(directory).training.steps
    last = {event["event"]: event for event in events}
    end = events[-1] if events and events[-1]["event"] == "end" else None
    if going is not None:
        held = going and not end
    reason = end["reason"] if end and end["reason"] in ("finished", "stopped") else "failed"
    step = events[-1]["step"] if events else 0
    seconds = pace(events) if held else None
    speeds = [event["chars_per_second"] for event in events if event["event"] == "step"]
    return Status(
        name=directory.name,
        state="running" if held else reason,
        step=step,
        steps=steps,
        message="" if held else end.get("message", "") if end else DIED,
        learning_rate=last.get("step", {}).get("lr"),
        chars_per_second=median(speeds[-5:]) if speeds else None,
        eta_seconds=seconds and seconds * (steps - step),
        val_loss=last.get("eval", {}).get("val_loss"),
    )


def events(directory, cursor=0):
    """The events of a run from a cursor on, and the new cursor; a long log comes in parts.

    Raises ConfigError for a cursor that is none, and CharlmError if the log is damaged.
    """
    ok = isinstance(cursor, int) and 0 <= cursor < 2**63
    require(ok, "cursor", cursor, "0, or what was given before")
    try:
        return runlog.read(directory, cursor, MOST)
    except FileNotFoundError:  # it has not begun
        return [], 0


def pace(events):
    """Seconds a step, evaluations and samples included; None if there is too little to tell by."""
    steps = [event for event in events if event["event"] == "step"]
    gaps = [
        (later["time"] - earlier["time"], later["step"] - earlier["step"])
        for earlier, later in itertools.pairwise(steps)
    ]
    if len(gaps) > 3:  # the longest may hold a pause
        gaps.remove(max(gaps))
    steps_taken = sum(taken for _, taken in gaps)
    return sum(seconds for seconds, _ in gaps) / steps_taken if steps_taken else None


def can_resume(directory):
    """Whether what the run needs to go on is there."""
    return (Path(directory) / "resume" / "state.json").is_file()


@dataclass
class History:
    """A run's events sorted into curves, which `update` lets grow by what the log has gained."""

    directory: Path
    start: dict | None = None
    losses: list = field(default_factory=list)  # (step, training loss of its batch)
    evals: list = field(default_factory=list)  # (step, training loss, validation loss)
    samples: list = field(default_factory=list)  # (step, text)
    cursor: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def update(self):
        """Read on; returns self. Raises CharlmError or OSError if the log is damaged or gone."""
        with self.lock:
            while True:
                events, self.cursor = runlog.read(self.directory, self.cursor, MOST)
                if not events:
                    return self
                for event in events:
                    self._take(event)

    def _take(self, event):
        step = event["step"]
        if event["event"] == "start":
            self.start = event
            if step == 0:  # the first line, once more if the log was cut back and is read anew
                self.losses, self.evals, self.samples = [], [], []
        elif event["event"] == "step":
            self.losses.append((step, event["loss"]))
        elif event["event"] == "eval":
            self.evals.append((step, event["train_loss"], event["val_loss"]))
        elif event["event"] == "sample":
            self.samples.append((step, event["text"]))

    @property
    def references(self):
        """Losses to compare with, by name: see baselines.reference_losses."""
        return reference_losses(self.start) if self.start else {}

    def milestones(self):
        """(name, step) of each of the references that the validation loss got below, in order."""
        passed = {
            name: next((step for step, _, val in self.evals if step and val < loss), None)
            for name, loss in self.references.items()
        }
        return sorted(((n, s) for n, s in passed.items() if s is not None), key=lambda p: p[1])


def named_after(directory, preset):
    """The names below `directory` that a preset's runs get: `fast`, `fast-2`, ..."""
    pattern = re.compile(re.escape(preset) + r"(-\d+)?")
    return {
        path.name for path in Path(directory).glob(f"{preset}*") if pattern.fullmatch(path.name)
    }


def free_name(preset, taken):
    """The first of `fast`, `fast-2`, ... that is not among those taken."""
    names = itertools.chain([preset], (f"{preset}-{n}" for n in itertools.count(2)))
    return next(name for name in names if name not in taken)


def check_name(name):
    """Raise ConfigError unless `name` can be a run's: nothing that is typed becomes a path."""
    if not isinstance(name, str) or not checkpoint.SLUG.fullmatch(name):
        raise ConfigError(
            f"{name!r} cannot be a run's name; use up to 64 of a-z, 0-9, '-', '_' and '.',"
            " a letter or digit first",
            "name",
        )
