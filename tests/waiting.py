"""Waits for what other threads and processes do, each with a deadline."""

import inspect
import threading
import time

WITHIN = 120  # seconds, for what takes a few on an idle machine


def wait_until(holds, instead=lambda: "", seconds=WITHIN, poll_seconds=0.02):
    """Call `holds` until it returns something true, which is returned.

    instead: returns what to report if that takes too long, besides the source of `holds`.
    """
    give_up = time.monotonic() + seconds
    while not (result := holds()):
        if time.monotonic() > give_up:
            source = inspect.getsource(holds).strip()
            raise AssertionError(f"waited {seconds} s in vain: {source}; {instead()}")
        threading.Event().wait(poll_seconds)  # tests replace time.sleep
    return result


def wait_for_line(process, part="", seconds=WITHIN):
    """Read the output of a process up to a line with a part, and return that line.

    Return "" if the output ends before; a process that writes none in time is killed, and fails.
    """
    late = threading.Event()

    def end():
        late.set()
        process.kill()

    timer = threading.Timer(seconds, end)
    timer.start()
    try:
        line = next((line for line in process.stdout if part in line), "")
    finally:
        timer.cancel()
    assert not late.is_set(), f"waited {seconds} s in vain for a line with {part!r}"
    return line


def join(*threads, seconds=WITHIN):
    """Wait until threads have ended."""
    give_up = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0, give_up - time.monotonic()))
        assert not thread.is_alive(), f"{thread.name} has not ended after {seconds} s"
