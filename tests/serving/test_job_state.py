"""The states of a job and the queue's decisions, without processes or files."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from charlm.runs.status import PROCESS_DIED, Status
from charlm.serving import job_state
from charlm.serving.job import Job
from charlm.serving.job_state import Activity, JobError, Observed
from charlm.serving.owners import Visitor, may_act

JOB = Job("fast", [], named=False, steps=100, since=10.0)
STARTED = replace(JOB, waiting=False, pid=7, started=20.0)
RUNNING = Status("fast", "running", 50, 100)


def observe(job=STARTED, run=RUNNING, **changes):
    facts = {"alive": True, "log_locked": True, "begun": True, "resumable": True} | changes
    return Observed(job, run=run, **facts)


def ended(state, message="", **changes):
    run = replace(RUNNING, state=state, message=message)
    return observe(run=run, alive=False, log_locked=False, **changes)


STATES = {
    "waiting": observe(JOB, alive=False, log_locked=False, begun=False),
    "starting": observe(begun=False, log_locked=False),
    "running": observe(),
    "paused": observe(replace(STARTED, paused=True)),
    "stopping": observe(replace(STARTED, stopping=True)),
    "exiting": observe(run=replace(RUNNING, state="finished")),
    "occupied": observe(alive=False),
    "ended": ended("stopped"),
}


@pytest.mark.parametrize("state", STATES)
def test_the_state_follows_from_the_observations(state):
    assert job_state.state_of(STATES[state]) == state


def test_every_state_allows_the_actions_in_the_table():
    assert set(STATES) == set(job_state.ACTIONS)
    for state, observed in STATES.items():
        assert job_state.allowed_actions(observed) == job_state.ACTIONS[state]


def test_a_process_paused_after_its_last_event_can_be_continued():
    observed = observe(replace(STARTED, paused=True), run=replace(RUNNING, state="finished"))
    assert job_state.allowed_actions(observed) == {"resume", "stop"}


def test_a_system_without_signals_cannot_pause():
    assert job_state.allowed_actions(STATES["running"], can_pause=False) == {"stop"}


@pytest.mark.parametrize(
    ("observed", "actions"),
    [
        (ended("finished"), {"delete"}),
        (ended("failed"), {"resume", "delete"}),
        (ended("failed", resumable=False), {"delete"}),
    ],
)
def test_an_ended_run_resumes_if_it_is_unfinished_and_has_a_state(observed, actions):
    assert job_state.allowed_actions(observed) == actions


@pytest.mark.parametrize(
    ("observed", "state", "message"),
    [
        (STATES["starting"], "starting", ""),
        (ended("failed", begun=False), "failed", "no memory"),
        (STATES["running"], "running", ""),
        (STATES["stopping"], "running", ""),
        (STATES["paused"], "paused", ""),
        (ended("finished"), "finished", ""),
        (ended("failed", "the loss is not finite"), "failed", "the loss is not finite"),
        (ended("failed", PROCESS_DIED), "failed", "no memory"),
        (
            replace(ended("failed", PROCESS_DIED), job=replace(STARTED, stopping=True)),
            "stopped",
            "",
        ),
    ],
)
def test_visitors_see_the_state_of_the_run_corrected_by_the_queue(observed, state, message):
    status = job_state.visible_status(observed, failure="no memory")
    assert (status.state, status.message) == (state, message)


def test_visitors_see_why_a_run_waits():
    status = job_state.visible_status(STATES["waiting"], 2, problem="the disk is full")
    assert (status.state, status.queue_position) == ("waiting", 2)
    assert status.message == "the disk is full"


def test_a_run_that_died_silently_has_a_message():
    assert job_state.visible_status(ended("failed", PROCESS_DIED)).message == PROCESS_DIED


def idle(name, **changes):
    return Activity(replace(JOB, name=name, **changes), alive=False, log_locked=False)


def busy(name, **changes):
    job = replace(STARTED, name=name, **changes)
    return Activity(job, alive=True, log_locked=True)


def decide(activities, now=100.0, training_on=True):
    decision = job_state.decide(activities, now, training_on, max_pause=600, max_seconds=7200)
    launch = decision.launch and decision.launch.name
    return [job.name for job in decision.stop], launch, decision.active


def test_the_longest_waiting_job_is_launched_if_none_is_busy():
    assert decide([idle("a"), idle("b")]) == ([], "a", True)
    assert decide([busy("a"), idle("b")]) == ([], None, True)
    assert decide([busy("a")]) == ([], None, True)
    assert decide([idle("a", waiting=False)]) == ([], None, False)
    assert decide([]) == ([], None, False)


def test_a_run_in_a_terminal_occupies_the_queue():
    occupied = Activity(replace(STARTED, name="a"), alive=False, log_locked=True)
    assert decide([occupied, idle("b")]) == ([], None, True)


def test_a_paused_job_yields_its_place_to_a_waiting_one():
    paused = busy("a", paused=True, since=100.0)
    assert decide([paused, idle("b")], now=700.0) == ([], None, True)
    assert decide([paused, idle("b")], now=701.0) == (["a"], None, True)
    assert decide([paused], now=10**9) == ([], None, True)


def test_nothing_starts_and_paused_jobs_stop_once_training_is_off():
    paused = busy("a", paused=True, since=100.0)
    assert decide([paused, idle("b")], training_on=False) == (["a"], None, True)
    assert decide([busy("a"), idle("b")], training_on=False) == ([], None, True)
    assert decide([idle("b")], training_on=False) == ([], None, False)


def test_the_oldest_ended_unnamed_jobs_expire():
    activities = [idle(name, waiting=False) for name in "abc"]
    activities += [busy("d"), idle("e"), idle("f", waiting=False, named=True)]
    assert job_state.expired(activities, max_kept=9) == []
    assert job_state.expired(activities, max_kept=4) == ["a", "b"]
    assert job_state.expired(activities, max_kept=1) == ["a", "b", "c"], "others are not deleted"


def test_room_is_bounded_by_waiting_and_named_jobs():
    limits = SimpleNamespace(max_waiting=2, max_kept=1)
    job_state.check_room([JOB], named=True, limits=limits)
    with pytest.raises(JobError, match="2 runs wait in line already"):
        job_state.check_room([JOB, JOB], named=False, limits=limits)
    named = replace(STARTED, named=True)
    job_state.check_room([named], named=False, limits=limits)
    with pytest.raises(JobError, match="this page has 1 runs with names"):
        job_state.check_room([named], named=True, limits=limits)


@pytest.mark.parametrize(
    ("job", "has_directory", "alive", "expected"),
    [
        (JOB, False, False, False),  # still waiting
        (replace(JOB, waiting=False), False, False, True),  # taken out of the queue
        (replace(JOB, waiting=False), True, False, False),  # taken out before it resumed
        (replace(STARTED, stopping=True), False, False, True),  # stopped while it started
        (replace(STARTED, stopping=True), False, True, False),  # not ended yet
        (STARTED, False, False, False),  # it failed to start: the message stays
    ],
)
def test_a_job_that_never_became_a_run_is_recognised(job, has_directory, alive, expected):
    assert job_state.never_started(job, has_directory, alive) is expected


def test_launching_and_queueing_again_reset_what_belongs_to_a_process():
    job = job_state.launched(replace(JOB, paused=True, stopping=True, pid=7), now=30.0)
    assert job == replace(JOB, waiting=False, started=30.0)
    again = job_state.queued_again(job, ["--resume"], now=40.0)
    assert (again.waiting, again.since, again.arguments) == (True, 40.0, ["--resume"])


def test_a_trainer_beyond_the_time_limit_is_asked_to_stop_and_then_killed():
    running = busy("a")  # began at STARTED.started
    begun = running.job.started
    assert decide([running], now=begun + 7229) == ([], None, True)
    assert decide([running], now=begun + 7231) == (["a"], None, True)
    stopping = busy("a", stopping=True, stopping_since=8000.0)
    for now, killed in ((8119.0, []), (8121.0, [(stopping.job, job_state.UNRESPONSIVE)])):
        assert job_state.decide([stopping], now, True, 600, 7200).kill == killed


def test_visitors_see_why_a_trainer_was_killed():
    job = replace(STARTED, killed="it used more than 9 MB of memory")
    observed = replace(ended("failed", PROCESS_DIED), job=job)
    status = job_state.visible_status(observed, failure="a traceback")
    assert (status.state, status.message) == ("failed", "it used more than 9 MB of memory")


LIMITS = SimpleNamespace(max_waiting=4, max_kept=4, max_waiting_per_client=2)
ANN, BOB = Visitor("192.0.2.1", "a" * 32), Visitor("192.0.2.2", "b" * 32)


def of(by, **changes):
    return replace(JOB, owner=by.owner, client=by.address, **changes)


def test_a_browser_has_two_waiting_runs_and_its_neighbours_too():
    job_state.check_room([of(ANN)], False, LIMITS, ANN)
    with pytest.raises(JobError, match="2 of your runs wait in line already"):
        job_state.check_room([of(ANN), of(ANN)], False, LIMITS, ANN)
    neighbour = ANN._replace(secret="c" * 32)
    assert job_state.check_room([of(ANN), of(ANN)], False, LIMITS, neighbour) is None


def test_in_a_full_queue_the_client_that_has_most_makes_room():
    neighbour = ANN._replace(secret="c" * 32)
    waiting = [of(ANN), of(ANN), of(neighbour), of(neighbour, name="newest")]
    assert job_state.check_room(waiting, False, LIMITS, BOB).name == "newest"
    dropped = job_state.dropped(waiting[-1])
    status = job_state.visible_status(observe(dropped, alive=False, log_locked=False, begun=False))
    assert (status.state, status.message) == ("failed", job_state.MADE_ROOM)
    with pytest.raises(JobError, match="4 runs wait in line already"):
        job_state.check_room(waiting, False, LIMITS, ANN._replace(secret="d" * 32))


def test_a_client_names_half_of_the_kept_runs_at_most():
    named = [of(ANN, named=True, waiting=False)] * 2
    with pytest.raises(JobError, match="2 runs of yours have names already"):
        job_state.check_room(named, True, LIMITS, ANN)
    job_state.check_room(named, True, LIMITS, BOB)


def test_a_run_belongs_to_the_browser_or_the_address_that_started_it():
    api, other = Visitor(ANN.address), ANN._replace(secret="c" * 32)
    page_run, api_run, old = of(ANN), of(api), JOB
    assert [may_act(by, page_run) for by in (ANN, other, api, BOB, None)] == [1, 0, 0, 0, 1]
    assert [may_act(by, api_run) for by in (ANN, other, api, BOB, None)] == [1, 1, 1, 0, 1]
    assert [may_act(by, old) for by in (ANN, other, api, BOB, None)] == [0, 0, 0, 0, 1]
    assert "a" * 32 not in page_run.owner
