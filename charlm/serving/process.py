"""Background processes that outlive the one that started them and yield to everything else."""

import contextlib
import os
import signal
import subprocess
from pathlib import Path

NICENESS = 10  # of 19: beside one busy core of two, a run at 19 got half of what it gets at 10
CAN_PAUSE = hasattr(signal, "SIGSTOP")


def start_in_background(command, output):
    """Start a command in a session of its own, at low priority, its output going to a file.

    OpenMP threads sleep while they wait for each other. Spinning, one thread kept a core from the
    other, which got next to no time beside a page that generates: the run stood still.

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
    """Let other processes go first for processor time; kill this one first if memory runs out."""
    with contextlib.suppress(OSError, AttributeError):  # already over, or not POSIX
        os.setpriority(os.PRIO_PROCESS, pid, NICENESS)
    # Linux may weigh whole sessions against each other and apply niceness only within one.
    for file, value in (("autogroup", str(NICENESS)), ("oom_score_adj", "1000")):
        with contextlib.suppress(OSError):
            Path(f"/proc/{pid}/{file}").write_text(value)


def pause_process(pid):
    send_signal(pid, "SIGSTOP")


def continue_process(pid):
    send_signal(pid, "SIGCONT")


def terminate_process(pid):
    send_signal(pid, "SIGTERM")


def send_signal(pid, name):
    """Send a signal to a process, which may have exited."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, getattr(signal, name))


def command_of(pid):
    """Return the command line of a process as a list; empty if there is no such process."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        if Path("/proc/self").exists():
            return []
    try:  # a system without /proc
        ps = ["ps", "-o", "command=", "-p", str(pid)]
        done = subprocess.run(ps, capture_output=True, check=False)
        return done.stdout.decode(errors="replace").split()
    except OSError:
        return []
