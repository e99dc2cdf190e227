"""How the threads of a run wait for each other."""

import sys
import threading
import time

import pytest
import torch

from charlm.training import spinning
from charlm.training.spinning import Spinning


def work(pause):
    """Use a core for some time, and wait for `pause` times as long."""
    began = time.process_time()
    while time.process_time() - began < 0.02:
        pass
    time.sleep(0.02 * pause)


@pytest.fixture
def made(monkeypatch):
    """A Spinning of one busy thread, counted as two, with short times."""
    monkeypatch.setattr(spinning, "WINDOW", 0.02)
    monkeypatch.setattr(spinning, "FIRST_SLEEP", 0.2)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    made = Spinning()
    yield made
    made.close()


def measure(made, pause=0):
    with made.measured():
        work(pause)


def test_threads_sleep_while_others_need_the_cores_and_spin_again_later(made):
    measure(made)  # half of two cores
    assert made.asleep
    began = time.monotonic()
    while made.asleep:
        measure(made)
    assert time.monotonic() - began >= 0.15
    measure(made)
    assert made.asleep
    began = time.monotonic()
    while made.asleep:
        measure(made)
    assert time.monotonic() - began >= 0.35  # longer each time


def test_threads_spin_while_nobody_else_needs_the_cores(made, monkeypatch):
    monkeypatch.setattr(spinning, "LACK", 1.4)  # the work above lacks one core of two
    measure(made)
    assert not made.asleep
    measure(made, pause=2)
    assert made.asleep


def test_one_thread_waits_for_no_other(monkeypatch):
    monkeypatch.setattr(spinning, "WINDOW", 0.02)
    made = Spinning()
    assert made.threads == 1  # as the tests have it
    measure(made, pause=2)
    assert not made.asleep


@pytest.mark.skipif(sys.platform != "linux", reason="another OpenMP than GCC's")
def test_idle_threads_end_when_threads_spin_again(made):
    before = threading.active_count()
    measure(made)
    assert threading.active_count() > before
    made.close()
    deadline = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before
