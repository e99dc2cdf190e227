"""The states of a job and what each allows: pure functions, with no process, file or thread.

    waiting -> starting -> running -> stopping -> ended
                           |    ^
                           v    |
                           paused

A job that has ended can be resumed: it waits again. There are two more states: `exiting`, from the
end event in the log until the process exits, and `occupied`, while a process that this page did not
start, as in a terminal, trains the run.
"""

from collections import Counter
from dataclasses import dataclass, replace
from typing import NamedTuple

from charlm.errors import CharlmError
from charlm.runs.status import PROCESS_DIED, Status
from charlm.serving.job import Job

ACTIONS = {
    "waiting": {"stop"},
    "starting": {"stop"},
    "running": {"pause", "stop"},
    "paused": {"resume", "stop"},
    "stopping": {"stop"},
    "exiting": set(),
    "occupied": set(),
    "ended": {"resume", "delete"},
}


LATE = 30  # seconds beyond the time limit after which a trainer is asked to stop
STOP_WITHIN = 120  # seconds that a trainer has to save and end, before it is killed
MADE_ROOM = "too many runs were asked for from your network, and it made room for another's"
UNRESPONSIVE = (
    f"it did not end within {STOP_WITHIN} seconds of being asked to, so it was killed; its last"
    " save is kept"
)


class JobError(CharlmError):
    """A run cannot be started, stopped or deleted; the message says why."""


@dataclass(frozen=True)
class Activity:
    """A job, and whether a process trains it, at one moment."""

    job: Job
    alive: bool  # its process runs or is being started
    log_locked: bool  # some process writes the run's log

    @property
    def busy(self):
        """Whether a process trains the run, or is about to."""
        return not self.job.waiting and (self.alive or self.log_locked)


@dataclass(frozen=True)
class Observed(Activity):
    """An Activity and the state of the run."""

    run: Status  # from the run directory, or as visitors see it
    begun: bool  # its process has written to the log
    resumable: bool  # it has a resume state


def state_of(observed):
    """Return the state of a job, a key of ACTIONS."""
    job = observed.job
    if job.waiting:
        return "waiting"
    if not observed.alive:
        return "occupied" if observed.log_locked else "ended"
    if not observed.begun:
        return "starting"
    if job.paused:
        return "paused"
    if observed.run.state != "running":
        return "exiting"
    return "stopping" if job.stopping else "running"


def allowed_actions(observed, can_pause=True):
    """Return the allowed actions among pause, resume, stop and delete."""
    state = state_of(observed)
    actions = set(ACTIONS[state])
    if not can_pause:
        actions.discard("pause")
    if state == "ended" and (observed.run.state == "finished" or not observed.resumable):
        actions.discard("resume")
    return actions


def visible_status(observed, queue_position=None, problem="", failure=""):
    """Return the Status to show: that of the run directory, corrected by the queue.

    `problem`: why no job can be started at present. `failure`: the process's last error.
    """
    job, run = observed.job, observed.run
    if job.waiting:
        return replace(run, state="waiting", message=problem, queue_position=queue_position)
    if not observed.begun:
        if observed.alive:
            return replace(run, state="starting", message="")
        return replace(run, state="failed", message=job.killed or failure or PROCESS_DIED)
    if job.paused and run.state == "running":
        return replace(run, state="paused", eta_seconds=None)
    if job.killed and run.message == PROCESS_DIED:
        return replace(run, message=job.killed)
    if run.message != PROCESS_DIED:
        return run
    if job.stopping:  # it had nothing to save yet
        return replace(run, state="stopped", message="")
    return replace(run, message=failure or PROCESS_DIED)


class Decision(NamedTuple):
    """The next actions of the queue."""

    stop: list  # jobs paused too long while others wait, and those beyond the time limit
    kill: list  # of (job, reason): they did not end when asked to
    launch: Job | None
    active: bool  # whether any job is busy or waits


def decide(activities, now, training_on, max_pause, max_seconds):
    """Return the Decision, given the Activity of all jobs, the longest unchanged first.

    One job trains at a time. A paused job yields its place after `max_pause` seconds if others
    wait, and at once if training has been switched off. A trainer limits its own time to
    `max_seconds`; one that does not end is asked to, and then killed. `now`: Unix time.
    """
    busy = [a for a in activities if a.busy]
    waiting = [a.job for a in activities if a.job.waiting] if training_on else []
    overdue = [
        a.job
        for a in busy
        if a.job.paused
        and a.alive
        and (not training_on or (waiting and now - a.job.since > max_pause))
    ]
    alive = [a.job for a in busy if a.alive and a.job.pid]
    running = [job for job in alive if not (job.paused or job.stopping)]
    late = [job for job in running if now - job.started > max_seconds + LATE]
    kill = [
        (job, UNRESPONSIVE)
        for job in alive
        if job.stopping_since and now - job.stopping_since > STOP_WITHIN
    ]
    launch = waiting[0] if waiting and not busy else None
    return Decision(overdue + late, kill, launch, bool(busy or waiting))


def check_room(jobs, named, limits, by=None):
    """Return the waiting job that makes room for one more, or None if there is room.

    `named`: whether the visitor named the new one. `by`: the Visitor who requests it; None: whoever
    runs the server. Raises JobError if there is no room.
    """
    if named and sum(job.named for job in jobs) >= limits.max_kept:
        raise JobError(
            f"this page has {limits.max_kept} runs with names, as many as it keeps; leave the name"
            " empty, or delete one"
        )
    waiting = [job for job in jobs if job.waiting]
    if by is not None:
        own = [job for job in waiting if job.owner == by.owner]
        if len(own) >= limits.max_waiting_per_client:
            raise JobError(f"{len(own)} of your runs wait in line already; let one begin first")
        named_here = sum(job.named and job.client == by.address for job in jobs)
        if named and named_here >= max(1, limits.max_kept // 2):
            raise JobError(f"{named_here} runs of yours have names already; leave the name empty")
    if len(waiting) < limits.max_waiting:
        return None
    return displaced_job(waiting, by, limits)


def displaced_job(waiting, by, limits):
    """Return the newest waiting job of the client that has most. Raises JobError.

    It makes room for a client that would have less.
    """
    counts = Counter(job.client for job in waiting)
    largest = max(counts, key=counts.get)
    if by is None or counts[largest] <= counts[by.address] + 1:
        raise JobError(f"{limits.max_waiting} runs wait in line already; try again later")
    return [job for job in waiting if job.client == largest][-1]


def expired(activities, max_kept):
    """Return the names of the oldest ended unnamed jobs beyond `max_kept`, with room for one more.

    `activities`: the longest unchanged first.
    """
    unnamed = [a for a in activities if not a.job.named]
    ended = [a.job.name for a in unnamed if not a.job.waiting and not a.busy]
    return ended[: max(0, len(unnamed) + 1 - max_kept)]


def never_started(job, has_directory, alive):
    """Return whether a job was stopped before it became a run."""
    stopped = job.stopping or not (job.waiting or job.started or job.killed)
    return stopped and not has_directory and not alive


def launched(job, now):
    """Return the job once its process is being started."""
    idle = {"waiting": False, "pid": None, "paused": False, "stopping": False}
    return replace(job, started=now, stopping_since=0.0, killed="", **idle)


def dropped(job):
    """Return a waiting job that made room for another client's."""
    return replace(job, waiting=False, killed=MADE_ROOM)


def queued_again(job, arguments, now):
    """Return an ended job that waits to resume."""
    return replace(job, arguments=arguments, since=now, waiting=True)
