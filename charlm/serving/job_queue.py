"""Runs started on behalf of others: a line, one `train.py` at a time, and bounds for all of it.

What is known of a job lies below `.jobs/`, beside the run directories (see jobfile.py), so that it
outlives the process that serves the page: the next one finds the run going on and the line whole.
"""

import contextlib
import dataclasses
import shutil
import sys
import threading
import time
import traceback
from pathlib import Path

from charlm.config import require
from charlm.data.corpus import load_corpus
from charlm.errors import CharlmError
from charlm.files import locked
from charlm.runs import log as runlog
from charlm.runs import status as runs
from charlm.serving import job as jobfile
from charlm.serving.job import Job
from charlm.serving.limits import allowed_plan, check_text
from charlm.serving.process import (
    CAN_PAUSE,
    command_of,
    continue_process,
    pause_process,
    start_in_background,
    terminate_process,
)

OFF = "training is switched off on this page (CHARLM_TRAINING=off)"
PAUSE = 600  # seconds that a paused run may keep others waiting
LAUNCH = 5  # seconds that starting a process may take
STOPPING = 15  # seconds to wait for a run that was told to stop
EVALUATIONS = 5  # in a run that is watched, besides the one at its start


class JobError(CharlmError):
    """What cannot be started, stopped or deleted; the message says why."""


class Jobs:
    """The runs asked for on the page that serves the model directories below `directory`.

    All methods may be called from any thread. Those that change something raise JobError where it
    cannot be done, and all raise CharlmError for a name that is no run's.
    """

    def __init__(self, directory, limits, trainer=None):
        """`trainer`: the path of train.py; None expects it beside `directory`."""
        self.directory, self.limits = Path(directory), limits
        self.trainer = trainer or self.directory.parent / "train.py"
        self.home = self.directory / ".jobs"
        self._children = {}  # name -> Popen, of the trainers that this process started
        self._guard, self._thread, self._problem = threading.RLock(), None, ""

    def names(self):
        """Every run there is, in line, started here or not: those touched last come first."""
        started = runs.list_runs(self.directory)
        young = [job.name for job in self._jobs() if job.name not in started]
        return young[::-1] + started

    def status(self, name):
        """The Status of a run: what its directory tells, and what only the line knows.

        Its state can also be waiting (with a place in line, 1 is next), starting or paused.
        """
        runs.check_name(name)
        job = self._job(name)
        log = self.directory / name / runlog.FILE
        if job is None:
            return runs.status(log.parent)
        # the history so far, of one that had begun before it got in line
        past = runs.status(log.parent) if log.exists() else runs.Status(name, "", 0, job.steps)
        if job.waiting:
            line = [other.name for other in self._jobs() if other.waiting]
            place = line.index(name) + 1 if name in line else 1
            return dataclasses.replace(past, state="waiting", message=self._problem, place=place)
        if not log.exists() or log.stat().st_mtime <= job.started:  # nothing was told yet
            if self._is_alive(job):
                return dataclasses.replace(past, state="starting", message="")
            message = jobfile.failure_message(self.home / name) or runs.DIED
            return dataclasses.replace(past, state="failed", message=message)
        if job.paused and past.state == "running":
            return dataclasses.replace(past, state="paused", eta_seconds=None)
        if past.message == runs.DIED:
            if job.stopping:  # it was not far enough to save
                return dataclasses.replace(past, state="stopped", message="")
            message = jobfile.failure_message(self.home / name) or runs.DIED
            return dataclasses.replace(past, message=message)
        return past

    def events(self, name, cursor=0):
        """The events of a run from a cursor on, and the new cursor; a long log comes in parts.

        Raises ConfigError for a cursor that is none, and CharlmError if the log is damaged.
        """
        runs.check_name(name)
        return runs.events(self.directory / name, cursor)

    def is_pending(self, name):
        """Whether a run started here is in line or going on."""
        job = self._job(name)
        return job is not None and (job.waiting or self._is_alive(job))

    def allowed_actions(self, status):
        """What can be done to a run of this Status now: some of pause, resume, stop, delete."""
        job = self._job(status.name)
        if job is None or self.limits.training == "off":
            return set()
        if status.state in ("waiting", "starting"):
            return {"stop"}
        if self._is_busy(job):
            ours = status.state in ("running", "paused") and self._is_alive(job)
            able = {"resume" if job.paused else "pause", "stop"} if ours else set()
            return able - ({"pause"} if job.stopping or not CAN_PAUSE else set())
        resumable = status.state != "finished" and runs.can_resume(self.directory / job.name)
        return {"delete", "resume"} if resumable else {"delete"}

    def check(self, preset="fast", name="", text="", **options):
        """The Preset that `start` would train. Raises what `start` would, but fetches no text."""
        jobs, limits = self._jobs(), self.limits
        if limits.training == "off":
            raise JobError(OFF)
        if name:
            runs.check_name(name)
            require(name not in self._taken(), "name", name, "another: there is such a run already")
            if sum(job.named for job in jobs) >= limits.max_kept:
                raise JobError(
                    f"this page has {limits.max_kept} runs with names, as many as it keeps; leave"
                    " the name empty, or delete one"
                )
        if sum(job.waiting for job in jobs) >= limits.max_waiting:
            raise JobError(f"{limits.max_waiting} runs wait in line already; try again later")
        return allowed_plan(preset, text, options, limits)

    def start(self, preset="fast", name="", text="", **options):
        """Put a run in line; returns its name, which is made from the preset's if none is given.

        `text`: what to learn; "" is Tiny Shakespeare. `options`: some of limits.OPTIONS. Raises
        ConfigError, DataError or JobError for what train.py would refuse or is beyond the limits.
        """
        plan = self.check(preset, name, text, **options)
        corpus = None if text else load_corpus()
        if corpus:
            check_text(plan, corpus, self.limits)
        flags = {"preset": preset, "eval_interval": -(-plan.training.steps // EVALUATIONS)}
        flags |= {"time_limit": self.limits.max_minutes} | options
        with self._exclusive():
            self.check(preset, name, **options)  # once more: by now somebody may have the name
            run = name or runs.free_name(preset, self._taken())
            self._prune()
            called, raw = (corpus.name, corpus.text) if corpus else (f"{run}.txt", text)
            path = jobfile.save_text(self.home / run, called, raw.encode("utf-8", "replace"))
            flags |= {"name": run, "data": path}
            arguments = [f"--{flag.replace('_', '-')}={value}" for flag, value in flags.items()]
            self._save(Job(run, arguments, bool(name), plan.training.steps, time.time()))
        self.wake()
        return run

    def resume(self, name):
        """Let a paused run go on, or put one that stopped or failed in line again."""
        with self._exclusive():
            job = self._job_that_allows(name, "resume")
            if self._is_alive(job):
                continue_process(job.pid)
                self._save(job, paused=False)
                return
            arguments = [f"--name={name}", "--resume", f"--time-limit={self.limits.max_minutes}"]
            self._save(job, arguments=arguments, since=time.time(), waiting=True)
        self.wake()

    def pause(self, name):
        """Halt a run where it is, in memory; it keeps its place for as long as PAUSE says."""
        with self._exclusive():
            job = self._job_that_allows(name, "pause")
            self._save(job, paused=True, since=time.time())
            pause_process(job.pid)
        self.wake()

    def stop(self, name, wait=STOPPING):
        """Take a run out of the line, or let it save and end.

        Returns its state when that is done, or after `wait` seconds. A run that had not begun
        leaves nothing behind, and its state is then "deleted".
        """
        with self._exclusive():
            job = self._job_that_allows(name, "stop")
            job = self._save(job, waiting=False, pid=None) if job.waiting else self._tell(job)
        self.wake()
        give_up = time.monotonic() + wait
        while self._is_alive(job) and time.monotonic() < give_up:
            time.sleep(0.05)
        with self._exclusive():
            self._delete_never_started()
        return self.status(name).state if self.home.joinpath(name).exists() else "deleted"

    def delete(self, name):
        """Remove a run that was started here and is not going on, its model and its text."""
        with self._exclusive():
            self._job_that_allows(name, "delete")
            self._forget(name)

    def wake(self):
        """See to the line from now on, in a thread that ends when there is nothing left to do."""
        with self._guard:
            if not (self._thread and self._thread.is_alive()) and self.home.is_dir():
                self._thread = threading.Thread(target=self._run_queue, daemon=True)
                self._thread.start()

    def _run_queue(self):
        self._sweep()
        while True:
            with self._guard:
                try:
                    busy, self._problem = self._advance(), ""
                except JobError as error:  # a full disk, for instance: told, and tried again
                    busy, self._problem = True, str(error)
                except Exception as error:  # a fault of ours must not end the line for good
                    traceback.print_exc()
                    busy, self._problem = True, f"it cannot be started: {error!r}"
                if not busy:
                    self._thread = None
                    return
            time.sleep(0.5)

    def _advance(self):
        """Start who is next if nobody is at it; returns whether anybody is or waits."""
        with self._exclusive():
            self._delete_never_started()
            jobs, off = self._jobs(), self.limits.training == "off"
            busy = [job for job in jobs if not job.waiting and self._is_busy(job)]
            waiting = [] if off else [job for job in jobs if job.waiting]
            for job in busy:
                overdue = waiting and time.time() - job.since > PAUSE
                if job.paused and (overdue or off) and self._is_alive(job):
                    self._tell(job)
            if waiting and not busy:
                self._launch(waiting[0])
            return bool(busy or waiting)

    def _launch(self, job):
        command = [sys.executable, str(self.trainer), *job.arguments]
        # out of the line first: what then goes wrong cannot start it twice
        job = self._save(
            job, waiting=False, pid=None, started=time.time(), paused=False, stopping=False
        )
        process = None
        try:
            process = start_in_background(command, self.home / job.name / jobfile.OUTPUT)
            self._save(job, pid=process.pid)
        except OSError:
            if process:  # which nobody could stop
                process.kill()
            self._save(job, waiting=True)
            raise
        self._children[job.name] = process

    def _tell(self, job):
        """Tell a trainer to stop, once; returns the Job."""
        if job.pid and not job.stopping:
            terminate_process(job.pid)
        if job.paused:
            continue_process(job.pid)
        return self._save(job, stopping=True, paused=False)

    def _is_alive(self, job):
        """Whether its train.py is at it, or about to be."""
        child = self._children.get(job.name)
        if child and child.pid == job.pid:
            return child.poll() is None
        if job.pid is None:  # being started this moment, unless whoever did so was killed
            return not job.waiting and time.time() - job.started < LAUNCH
        # started by a process that served this page before; its number may be another's by now
        return f"--name={job.name}" in command_of(job.pid)

    def _is_busy(self, job):
        """Whether anybody trains it: in a terminal, too, or for a page that died meanwhile."""
        return self._is_alive(job) or runlog.is_locked(self.directory / job.name)

    def _taken(self):
        return {*self.names(), *(path.name for path in self.directory.glob("*"))}

    def _prune(self):
        """Delete the oldest of the unnamed runs that are over, to make room for one more."""
        unnamed = [job for job in self._jobs() if not job.named]
        over = [job for job in unnamed if not job.waiting and not self._is_busy(job)]
        for job in over[: max(0, len(unnamed) + 1 - self.limits.max_kept)]:
            self._forget(job.name)

    def _job_that_allows(self, name, action):
        """The Job of a run started here; raises JobError if there is none or it cannot be done."""
        if self.limits.training == "off":
            raise JobError(OFF)
        status, job = self.status(name), self._job(name)
        if job is None:
            raise JobError(f"{name} was not started on this page, which leaves it alone")
        if action not in self.allowed_actions(status):
            raise JobError(f"{name} is {status.state}; it cannot {action} now")
        return job

    @contextlib.contextmanager
    def _exclusive(self):
        """Be the only one, of all threads and processes, that changes anything."""
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            with self._guard, locked(self.home / "lock"):
                yield
        except OSError as error:
            raise JobError(f"this page cannot keep runs: {error.strerror}") from None

    def _jobs(self):
        """All jobs, the longest unchanged first."""
        found = [self._job(path.parent.name) for path in self.home.glob(f"*/{jobfile.FILE}")]
        return sorted((job for job in found if job), key=lambda job: job.since)

    def _job(self, name):
        """The Job of that name; None, too, if the run of that name is not the job's."""
        job = jobfile.load(self.home / name)
        there = job and (self.directory / name).exists()
        return (
            None if there and not jobfile.is_ours(self.home / name, self.directory / name) else job
        )

    def _save(self, job, **changes):
        return jobfile.save(self.home / job.name, job, **changes)

    def _delete_never_started(self):
        """Delete the jobs that were told to stop before they had become runs."""
        for job in self._jobs():
            told = job.stopping or not (job.waiting or job.started)
            if told and not (self.directory / job.name).exists() and not self._is_alive(job):
                self._forget(job.name)

    def _forget(self, name):
        """Delete all there is of a run, the run directory first and at once."""
        self._children.pop(name, None)
        directory, gone = self.directory / name, self.directory / f".{name}.deleted"
        shutil.rmtree(gone, ignore_errors=True)  # of a time when that was not brought to its end
        with contextlib.suppress(FileNotFoundError):
            directory.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)
        shutil.rmtree(self.home / name, ignore_errors=True)

    def _sweep(self):
        """Delete what processes left behind that were killed while they made or deleted a run."""
        for path in self.directory.glob(".*.deleted"):
            shutil.rmtree(path, ignore_errors=True)
        for path in self.directory.glob(".*.new"):
            pid = path.name.split(".")[-2]
            if pid.isdecimal() and not command_of(int(pid)):
                shutil.rmtree(path, ignore_errors=True)
