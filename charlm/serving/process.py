"""Background processes, which outlive the process that started them and have low priority."""

import contextlib
import os
import signal
import subprocess
from pathlib import Path

NICENESS = 10  # of 19: beside one busy core of two, a run at 19 was half as fast as at 10
CAN_PAUSE = hasattr(signal, "SIGSTOP")


def start_in_background(command, output):
    """Start a command in a new session, at low priority, with its output in a file.

    Returns the subprocess.Popen. Raises OSError if it cannot be started.
    """
    with output.open("wb") as file:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    lower_priority(process.pid)
    return process


def lower_priority(pid):
    """Prefer other processes for processor time; kill this one first if memory runs out."""
    with contextlib.suppress(OSError, AttributeError):  # already over, or not POSIX
        os.setpriority(os.PRIO_PROCESS, pid, NICENESS)
    # Linux may schedule whole sessions against each other; niceness then counts within one only.
    for file, value in (("autogroup", str(NICENESS)), ("oom_score_adj", "1000")):
        with contextlib.suppress(OSError):
            Path(f"/proc/{pid}/{file}").write_text(value)


def pause_process(pid):
    send_signal(pid, "SIGSTOP")


def continue_process(pid):
    send_signal(pid, "SIGCONT")


def terminate_process(pid):
    send_signal(pid, "SIGTERM")


def kill_process(pid):
    """Kill a process that `start_in_background` started, and those that it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def memory_of(pid):
    """Return the megabytes of memory that a process holds; 0 where /proc does not tell."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


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
