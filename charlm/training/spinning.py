"""Threads that wait for each other by spinning, or asleep while other programs need the cores.

A step is faster if its threads spin while they wait. But a thread that spins keeps its core from
the one that it waits for if another program has the other core; then a run makes hardly any
progress. OpenMP's policy cannot be changed in a running process, but GCC's library, which torch
uses on Linux, spins 3,000 times less while it has more threads than there are cores (its manual,
GOMP_SPINCOUNT). So threads that do nothing are added while others need the cores.
"""

import contextlib
import os
import threading
import time

import torch

WINDOW = 1  # seconds of work that are measured
LACK = 0.6  # of a core; beside a program that computes, the threads lack about one
FIRST_SLEEP, LONGEST_SLEEP = 5, 60  # seconds until spinning is tried again, longer each time


class Spinning:
    """Decides how the threads of this process wait, by how much of the cores its work gets."""

    def __init__(self):
        self.threads = torch.get_num_threads()
        self._wall = self._processor = 0.0  # seconds in this window
        self._teams, self._awake_at, self._sleep = None, 0.0, FIRST_SLEEP

    @property
    def asleep(self):
        """Whether threads sleep while they wait."""
        return self._teams is not None

    @contextlib.contextmanager
    def measured(self):
        """Measure the work in this block, and decide how the threads wait after it."""
        wall, processor = time.monotonic(), time.process_time()
        yield
        now = time.monotonic()
        self._wall += now - wall
        self._processor += time.process_time() - processor
        if self.threads > 1 and self._wall >= WINDOW:
            self._decide(self.threads - self._processor / self._wall, now)
            self._wall = self._processor = 0.0

    def _decide(self, lack, now):
        """`lack`: how many cores fewer than its threads the work had."""
        if self.asleep:
            if now >= self._awake_at:
                self.close()
        elif lack > LACK:
            self._teams = threading.Event()
            start_teams(self.threads, self._teams)
            self._awake_at = now + self._sleep
            self._sleep = min(2 * self._sleep, LONGEST_SLEEP)
        else:
            self._sleep = FIRST_SLEEP

    def close(self):
        """Let threads spin again."""
        if self.asleep:
            self._teams.set()
            self._teams = None


def start_teams(size, end):
    """Start idle OpenMP threads, in teams of `size`, until there are more than cores."""
    for _ in range(size, os.cpu_count() + 1, size - 1):
        started = threading.Event()
        threading.Thread(target=keep_team, args=(started, end), daemon=True).start()
        started.wait()


def keep_team(started, end):
    """Start a team of this thread's own, by an operation that all of it share, and wait."""
    torch.ones(2**20).add_(1)
    started.set()
    end.wait()
