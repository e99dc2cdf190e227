"""A run of some seconds, killed at any moment, and compared with an uninterrupted one."""

import signal
import time

from small_models import SMALL_FLAGS
from waiting import wait_for_line

from charlm.runs.log import LOG_FILE, read_events

LONG = [*SMALL_FLAGS, "--steps", 400, "--eval-interval", 20, "--log-interval", 5]


def log_of(directory):
    """Return the events of a run without the fields that depend on the clock."""
    events, cursor = read_events(directory)
    assert cursor // 2**16 == (directory / LOG_FILE).stat().st_size, "the last line is torn"
    for event in events:
        event.pop("time")
        event.pop("started", None)
        event.pop("chars_per_second", None)
    return events


def kill_soon(process, seconds):
    """Kill a run `seconds` after it started training; return whether it was still running."""
    wait_for_line(process, " parameters, ")
    time.sleep(seconds)
    process.kill()
    process.communicate()
    return process.returncode == -signal.SIGKILL


def assert_same_run(directory, expected):
    weights = "model.safetensors"
    assert (directory / weights).read_bytes() == (expected / weights).read_bytes()
    assert log_of(directory) == log_of(expected)
