"""Processes that go on by themselves: they outlive who started them, and let the rest go first."""

import contextlib
import os
import signal
import subprocess
from pathlib import Path

BACK = 10  # of 19: at 19, beside one busy core of two, a run got half of what 10 leaves it
CAN_PAUSE = hasattr(signal, "SIGSTOP")


def start_in_background(command, output):
    """Start a command on its own, at low priority, what it prints going to the file `output`.

    Its threads sleep while they wait for each other. Spinning, one kept a core from the other,
    which got next to nothing beside a page that wrote: the run stood still.

    Returns the subprocess.Popen. Raises OSError if it cannot be started.
    """
    with output.open("wb") as file:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"},
        )
    lower_priority(process.pid)
    return process


def lower_priority(pid):
    """Let everything else on the machine go first, when it comes to time and to memory."""
    with contextlib.suppress(OSError, AttributeError):  # over already, or not such a system
        os.setpriority(os.PRIO_PROCESS, pid, BACK)
    # Linux may weigh whole sessions against each other, and heed the number only within one
    for file, value in (("autogroup", str(BACK)), ("oom_score_adj", "1000")):
        with contextlib.suppress(OSError):
            Path(f"/proc/{pid}/{file}").write_text(value)


def pause_process(pid):
    send(pid, "SIGSTOP")


def continue_process(pid):
    send(pid, "SIGCONT")


def terminate_process(pid):
    send(pid, "SIGTERM")


def send(pid, name):
    """Send a signal to a process, which may be over by now."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, getattr(signal, name))


def command_of(pid):
    """The command line of a process, as a list; empty if there is none, or no way to know."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        if Path("/proc/self").exists():
            return []
    try:  # a system without /proc
        asked = ["ps", "-o", "command=", "-p", str(pid)]
        done = subprocess.run(asked, capture_output=True, check=False)
        return done.stdout.decode(errors="replace").split()
    except OSError:
        return []
