"""How the threads of a run wait for each other."""

import threading

import pytest
import torch
from waiting import wait_until

from charlm.training import spinning
from charlm.training.spinning import Spinning


class Clock:
    """The seconds that have passed, and those that processors spent on this process."""

    def __init__(self):
        self.passed = self.spent = 0.0

    def monotonic(self):
        return self.passed

    def process_time(self):
        return self.spent


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(spinning, "time", clock)
    return clock


@pytest.fixture
def made(clock, monkeypatch):
    """A Spinning of two threads."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    made = Spinning()
    yield made
    made.close()


def work(made, clock, cores, seconds=1.0):
    """Work for some seconds, for which the process has so many cores."""
    with made.measured():
        clock.passed += seconds
        clock.spent += cores * seconds


def asleep_for(made, clock):
    """Return for how many seconds of work the threads sleep."""
    began = clock.passed
    while made.asleep:
        work(made, clock, 1.2)
    return clock.passed - began


def test_threads_sleep_while_others_need_the_cores_and_try_to_spin_less_and_less_often(made, clock):
    times = []
    for _ in range(7):
        work(made, clock, 1.0)
        assert made.asleep
        times.append(asleep_for(made, clock))
    assert times == [5, 10, 20, 40, 60, 60, 60]
    work(made, clock, 1.9)
    assert not made.asleep
    work(made, clock, 1.0)
    assert asleep_for(made, clock) == 5


@pytest.mark.parametrize("cores", [1.5, 1.9, 2.0])
def test_threads_spin_while_others_need_little(made, clock, cores):
    for _ in range(10):
        work(made, clock, cores)
    assert not made.asleep


def test_a_short_wait_does_not_count(made, clock):
    work(made, clock, 0.5, seconds=0.3)
    assert not made.asleep
    work(made, clock, 2.0, seconds=0.9)
    assert not made.asleep


def test_one_thread_waits_for_no_other(clock):
    made = Spinning()
    assert made.threads == 1  # as the tests have it
    work(made, clock, 0.2)
    assert not made.asleep


def test_idle_threads_end_when_threads_spin_again(made, clock, monkeypatch):
    monkeypatch.setattr(spinning.os, "cpu_count", lambda: 4)
    work(made, clock, 1.0)
    assert idle_threads() == 3  # 2 threads and 3 more are more than 4
    made.close()
    wait_until(lambda: idle_threads() == 0)


def idle_threads():
    return sum("keep_team" in thread.name for thread in threading.enumerate())
