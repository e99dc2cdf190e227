"""The queue of training runs requested on the page: it starts one `train.py` at a time.

job_state.py makes the decisions, which this module executes; job_store.py stores the files, and
process.py handles processes. Runs and the queue survive a restart of the app.
"""

import contextlib
import threading
import time
import traceback
from dataclasses import replace
from pathlib import Path

from charlm.config import require
from charlm.data.corpus import load_corpus
from charlm.errors import CharlmError, without_directories
from charlm.runs.log import LOG_FILE, is_log_locked
from charlm.runs.names import check_name, free_name, list_runs
from charlm.runs.resume import can_resume
from charlm.runs.status import Status, poll_events, read_status
from charlm.serving import job_state
from charlm.serving.job import Job, save_text
from charlm.serving.job_state import Activity, JobError, Observed
from charlm.serving.job_store import JobStore
from charlm.serving.limits import allowed_preset, changed_options, check_text, snapshot_count
from charlm.serving.owners import may_act
from charlm.serving.process import CAN_PAUSE, continue_process, pause_process
from charlm.serving.trainers import Trainers

OFF = "training is switched off on this page (CHARLM_TRAINING=off)"
MAX_PAUSE = 600  # a paused run yields its place to those waiting after this many seconds
POLL_SECONDS = 0.5  # between looks at the jobs and their processes
STOP_WAIT = 15  # seconds to wait for a run that was asked to stop
EVALUATIONS = 5  # of a run, besides the one at its start


class JobQueue:
    """The runs requested on the page that serves the model directories in `directory`.

    Safe to use from any thread and process. Methods that change a run raise JobError if the change
    is not possible now; all raise CharlmError for an unknown name.
    """

    def __init__(self, directory, limits, trainer=None):
        """`trainer`: the path of train.py; None expects it beside `directory`."""
        self.directory, self.limits = Path(directory), limits
        self.store = JobStore(self.directory)
        self.trainers = Trainers(trainer or self.directory.parent / "train.py", self.store)
        # _problem: the reason why no job can be started at present
        self._guard, self._worker, self._problem = threading.RLock(), None, ""

    def names(self):
        """Return the names of all runs, requested here or not, most recently changed first."""
        started = list_runs(self.directory)
        not_started = [job.name for job in self.store.all() if job.name not in started]
        return not_started[::-1] + started

    def status(self, name):
        """Return the Status of a run, from its directory and, for a job, from the queue."""
        check_name(name)
        job = self.store.get(name)
        return self._status(job) if job else read_status(self.directory / name)

    def events(self, name, cursor=0):
        """Return the events of a run from a cursor on, and the new cursor: see poll_events."""
        check_name(name)
        return poll_events(self.directory / name, cursor)

    def is_pending(self, name):
        """Return whether a job waits or its process runs."""
        job = self.store.get(name)
        return job is not None and (job.waiting or self.trainers.is_alive(job))

    def allowed_actions(self, status, by=None):
        """Return which of pause, resume, stop and delete a run of this Status allows now.

        `by`: the Visitor who would act; None: whoever runs the server. So in all methods.
        """
        job = self.store.get(status.name)
        if job is None or self.limits.training == "off" or not may_act(by, job):
            return set()
        return job_state.allowed_actions(self._observe(job, status), CAN_PAUSE)

    def check(self, preset="fast", name="", text="", by=None, **options):
        """Return the Preset that `start` would train, or raise its errors; fetches no text."""
        if self.limits.training == "off":
            raise JobError(OFF)
        if name:
            check_name(name)
            require(name not in self._taken(), "name", name, "another: there is such a run already")
        job_state.check_room(self.store.all(), bool(name), self.limits, by)
        return allowed_preset(preset, text, options, self.limits)

    def start(self, preset="fast", name="", text="", by=None, **options):
        """Queue a run; return its name, derived from the preset's if none is given.

        `text`: the text to train on; "" is Tiny Shakespeare. `options`: some of limits.OPTIONS.
        Raises ConfigError, DataError or JobError if train.py or the limits would refuse the run.
        """
        chosen = self.check(preset, name, text, by, **options)
        corpus = None if text else load_corpus()
        if corpus:
            check_text(chosen, corpus, self.limits)
        flags = {"preset": preset, "eval_interval": -(-chosen.training.steps // EVALUATIONS)}
        flags |= {"time_limit": self.limits.max_minutes} | changed_options(preset, chosen)
        flags |= {"snapshots": snapshot_count(chosen)}
        with self._exclusive():
            # again: another may have taken the name, or the place, meanwhile
            self.check(preset, name, "", by, **options)
            self._make_room(bool(name), by)
            run = name or free_name(preset, self._taken())
            activities = [self._activity(job) for job in self.store.all()]
            for old in job_state.expired(activities, self.limits.max_kept):
                self._delete(old)
            text_name, raw = (corpus.name, corpus.text) if corpus else (f"{run}.txt", text)
            path = save_text(self.store.folder / run, text_name, raw.encode("utf-8", "replace"))
            flags |= {"name": run, "data": path}
            arguments = [f"--{flag.replace('_', '-')}={value}" for flag, value in flags.items()]
            owner = {"owner": by.owner, "client": by.address} if by else {}
            steps = chosen.training.steps
            self.store.save(Job(run, arguments, bool(name), steps, time.time(), **owner))
        self.start_worker()
        return run

    def resume(self, name, by=None):
        """Continue a paused run, or queue one that stopped or failed."""
        with self._exclusive():
            job = self._job_that_allows(name, "resume", by)
            if self.trainers.is_alive(job):
                continue_process(job.pid)
                self.store.save(replace(job, paused=False))
                return
            self._make_room(False, by)
            arguments = [f"--name={name}", "--resume", f"--time-limit={self.limits.max_minutes}"]
            self.store.save(job_state.queued_again(job, arguments, time.time()))
        self.start_worker()

    def _make_room(self, named, by):
        """Drop the waiting run that makes room for one more, if any. Raises JobError."""
        if displaced := job_state.check_room(self.store.all(), named, self.limits, by):
            self.store.save(job_state.dropped(displaced))

    def pause(self, name, by=None):
        """Suspend the process of a run. It stays in memory, and others wait up to MAX_PAUSE."""
        with self._exclusive():
            job = self._job_that_allows(name, "pause", by)
            self.store.save(replace(job, paused=True, since=time.time()))
            pause_process(job.pid)
        self.start_worker()

    def stop(self, name, wait=STOP_WAIT, by=None):
        """Remove a run from the queue, or request that it save and end.

        Returns its state when it has ended, or after `wait` seconds. A run that had not started is
        deleted, and its state is "deleted".
        """
        with self._exclusive():
            job = self._job_that_allows(name, "stop", by)
            job = (
                self.store.save(replace(job, waiting=False, pid=None))
                if job.waiting
                else self.trainers.request_stop(job)
            )
        self.start_worker()
        give_up = time.monotonic() + wait
        while self.trainers.is_alive(job) and time.monotonic() < give_up:
            time.sleep(0.05)
        with self._exclusive():
            self._delete_never_started()
        return self.status(name).state if self.store.exists(name) else "deleted"

    def delete(self, name, by=None):
        """Delete a run that was requested here and has ended, with its model and its text."""
        with self._exclusive():
            self._job_that_allows(name, "delete", by)
            self._delete(name)

    def start_worker(self):
        """Work on the queue in a thread until no job is left."""
        with self._guard:
            if not (self._worker and self._worker.is_alive()) and self.store.exists():
                self._worker = threading.Thread(target=self._run, daemon=True)
                self._worker.start()

    def _run(self):
        self.store.sweep()
        while True:
            with self._guard:
                try:
                    active, self._problem = self._advance(), ""
                except JobError as error:  # such as a full disk: show it and try again
                    active, self._problem = True, without_directories(str(error))
                except Exception as error:  # a bug must not stop the queue for good
                    traceback.print_exc()
                    problem = f"it cannot be started: {type(error).__name__}"
                    active, self._problem = True, problem  # the log has its traceback
                if not active:
                    self._worker = None
                    return
            time.sleep(POLL_SECONDS)

    def _advance(self):
        """Carry out the next decision; return whether any job is busy or waits."""
        with self._exclusive():
            self._delete_never_started()
            training_on = self.limits.training == "on"
            activities = [self._activity(job) for job in self.store.all()]
            max_seconds = 60 * self.limits.max_minutes
            decision = job_state.decide(
                activities, time.time(), training_on, MAX_PAUSE, max_seconds
            )
            for job in decision.stop:
                self.trainers.request_stop(job)
            too_large = self.trainers.too_large(activities, self.limits.max_run_memory)
            for job, reason in [*decision.kill, *too_large]:
                self.trainers.kill(job, reason)
            if decision.launch:
                self.trainers.launch(decision.launch)
            return decision.active

    def _activity(self, job):
        return Activity(job, self.trainers.is_alive(job), is_log_locked(self.directory / job.name))

    def _observe(self, job, run):
        directory, begun = self.directory / job.name, False
        with contextlib.suppress(FileNotFoundError):
            begun = (directory / LOG_FILE).stat().st_mtime > job.started
        activity = vars(self._activity(job))
        return Observed(**activity, run=run, begun=begun, resumable=can_resume(directory))

    def _status(self, job):
        """Return the Status of a job. Raises CharlmError if its run is damaged."""
        directory, position = self.directory / job.name, None
        has_log = (directory / LOG_FILE).exists()
        run = read_status(directory) if has_log else Status(job.name, "", 0, job.steps)
        if job.waiting:
            queue = [other.name for other in self.store.all() if other.waiting]
            position = queue.index(job.name) + 1 if job.name in queue else 1
        observed = self._observe(job, run)
        failure = "" if observed.alive else self.store.failure(job.name)
        return job_state.visible_status(observed, position, self._problem, failure)

    def _taken(self):
        return {*self.names(), *(path.name for path in self.directory.glob("*"))}

    def _job_that_allows(self, name, action, by):
        """Return the Job of a run. Raises JobError unless the action is allowed now."""
        if self.limits.training == "off":
            raise JobError(OFF)
        check_name(name)
        job = self.store.get(name)
        if job is None:
            read_status(self.directory / name)  # raises if there is no such run at all
            raise JobError(f"{name} was not started on this page, which leaves it alone")
        if not may_act(by, job):
            raise JobError(f"{name} was started by somebody else, and only they can {action} it")
        try:
            status = self._status(job)
        except CharlmError as error:  # a damaged run can still be deleted
            status = Status(name, "failed", 0, job.steps, without_directories(str(error)))
        if action not in self.allowed_actions(status):
            raise JobError(f"{name} is {status.state}; it cannot {action} now")
        return job

    def _delete_never_started(self):
        for job in self.store.all():
            has_directory = (self.directory / job.name).exists()
            if job_state.never_started(job, has_directory, self.trainers.is_alive(job)):
                self._delete(job.name)

    def _delete(self, name):
        self.trainers.children.pop(name, None)
        self.store.delete(name)

    @contextlib.contextmanager
    def _exclusive(self):
        """Exclude every other thread and process that changes jobs."""
        try:
            with self._guard, self.store.locked():
                yield
        except OSError as error:
            raise JobError(f"this page cannot keep runs: {error.strerror}") from None
