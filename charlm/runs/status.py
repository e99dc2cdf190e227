"""The status of a run, read from its directory alone.

A run looks the same whether it was started by the app, in a terminal or on another machine, and
whether it is running or over.
"""

import itertools
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from charlm.config import require
from charlm.errors import CharlmError
from charlm.models.checkpoint import load_description
from charlm.models.sizes import parameter_count
from charlm.presets import PRESETS
from charlm.runs.log import (
    LOG_FILE,
    RunLogError,
    is_log_locked,
    read_events,
    read_first_event,
    read_last_events,
)

PROCESS_DIED = "its process ended without a word: killed, out of memory, or the machine went down"
MAX_BYTES = 2**18  # of a log, read at a time
# options that change no weight
REPORTING = {"eval_interval", "eval_iters", "log_interval", "sample_chars", "snapshots"}


@dataclass(frozen=True)
class Status:
    """The state of a run: running, finished, stopped or failed.

    The job queue adds the states waiting, starting and paused.
    """

    name: str
    state: str
    step: int
    steps: int
    message: str = ""  # why it stopped or failed
    learning_rate: float | None = None
    chars_per_second: float | None = None
    eta_seconds: float | None = None  # only while running
    val_loss: float | None = None  # of the latest evaluation, if the end of the log has one
    queue_position: int | None = None  # only while waiting; 1 is next
    started: int | None = None  # Unix time; None if the log does not say
    data_name: str = ""  # of the text
    parameters: int | None = None
    preset: str = ""  # "" if the run recorded none
    changed: tuple = ()  # (option, value) where it is not as in its preset
    vocab_size: int | None = None


def read_status(directory, running=None):
    """Return the Status of the run in a directory. The cost does not grow with the run's length.

    `running`: whether a run without an end event is still running; None: it is running if its log
    is locked. Raises CharlmError if the directory has no run or its files are damaged.
    """
    directory = Path(directory)
    locked = is_log_locked(directory)  # first, so that an end event in between is read
    try:
        events, first = read_last_events(directory), read_first_event(directory)
    except (FileNotFoundError, NotADirectoryError):
        raise CharlmError(f"there is no run {directory.name}") from None
    except OSError as error:
        raise RunLogError(f"cannot read {directory / LOG_FILE}: {error.strerror}") from None
    description = load_description(directory)
    steps = description.training.steps
    last = {event["event"]: event for event in events}
    end = events[-1] if events and events[-1]["event"] == "end" else None
    if running is None:
        running = locked
    elif end:
        running = False
    reason = end["reason"] if end and end["reason"] in ("finished", "stopped") else "failed"
    step = events[-1]["step"] if events else 0
    pace = seconds_per_step(events) if running else None
    speeds = [event["chars_per_second"] for event in events if event["event"] == "step"]
    return Status(
        name=directory.name,
        state="running" if running else reason,
        step=step,
        steps=steps,
        message="" if running else end.get("message", "") if end else PROCESS_DIED,
        learning_rate=last.get("step", {}).get("lr"),
        chars_per_second=median(speeds[-5:]) if speeds else None,
        eta_seconds=pace and pace * max(0, steps - step),
        val_loss=last.get("eval", {}).get("val_loss"),
        started=first and first.get("started"),
        **fields_of(description),
    )


def fields_of(description):
    """Return the fields of a Status that follow from a Description."""
    parameters = parameter_count(description.kind, description.model)
    fields = {"data_name": description.data["name"], "parameters": parameters}
    fields |= {"vocab_size": description.model.vocab_size}
    preset = PRESETS.get(description.preset)
    if preset is None or preset.kind != description.kind:
        return fields
    differences = preset.differences(description.model, description.training)
    changed = tuple((o, value) for o, value in differences.items() if o not in REPORTING)
    return fields | {"preset": description.preset, "changed": changed}


def seconds_per_step(events):
    """Return the seconds per step, evaluations and samples included; None if it is unknown yet."""
    steps = [event for event in events if event["event"] == "step"]
    gaps = [
        (later["time"] - earlier["time"], later["step"] - earlier["step"])
        for earlier, later in itertools.pairwise(steps)
    ]
    # a resumed run may go back to an earlier step
    gaps = [gap for gap in gaps if gap[0] >= 0 and gap[1] > 0]
    if len(gaps) > 3:  # the longest may include a pause
        gaps.remove(max(gaps))
    steps_taken = sum(taken for _, taken in gaps)
    return sum(seconds for seconds, _ in gaps) / steps_taken if steps_taken else None


def poll_events(directory, cursor=0):
    """Return the events of a run after a cursor, and the new cursor; a long log comes in parts.

    Raises ConfigError for an invalid cursor, and CharlmError if the log is damaged.
    """
    valid = isinstance(cursor, int) and 0 <= cursor < 2**63
    require(valid, "cursor", cursor, "0, or a cursor returned before")
    try:
        return read_events(directory, cursor, MAX_BYTES)
    except FileNotFoundError:  # the run has not started
        return [], 0
