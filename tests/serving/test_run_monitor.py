"""The run monitor: statuses, histories and charts, cached for all visitors."""

import shutil

import pytest

from charlm.hub.follow import HubFollowers
from charlm.runs.log import RunLog
from charlm.serving.job_queue import JobQueue
from charlm.serving.limits import Limits
from charlm.serving.run_monitor import MAX_CHARTS, RunMonitor
from charlm.training.events import Step


@pytest.fixture
def monitor(trained_copy):
    return RunMonitor(JobQueue(trained_copy, Limits()), HubFollowers())


def test_a_status_is_read_again_only_after_a_change(monitor, monkeypatch):
    assert monitor.statuses().keys() == {"small-gpt"}
    reads = []
    status = monitor.jobs.status
    monkeypatch.setattr(monitor.jobs, "status", lambda name: reads.append(name) or status(name))
    monitor.statuses()
    monitor.statuses(fresh=True)
    assert reads == []
    with RunLog(monitor.jobs.directory / "small-gpt") as log:
        log.append(Step(31, 1.0, 1.0, 0.1, 1.0))
        assert monitor.statuses(fresh=True)["small-gpt"].state == "running"
    assert monitor.statuses(fresh=True)["small-gpt"].state == "failed"
    assert reads == ["small-gpt"] * 2


def test_a_new_run_appears_on_a_fresh_read_or_a_little_later(monitor, monkeypatch):
    monitor.statuses()
    shutil.copytree(monitor.jobs.directory / "small-gpt", monitor.jobs.directory / "second")
    assert "second" not in monitor.statuses()
    assert "second" in monitor.statuses(fresh=True)
    shutil.rmtree(monitor.jobs.directory / "second")
    monkeypatch.setattr("charlm.serving.run_monitor.MAX_AGE", 0.0)
    assert "second" not in monitor.statuses()


@pytest.mark.parametrize(
    "damage",
    [
        lambda run: (run / "config.json").unlink(),
        lambda run: (run / "config.json").write_text("{}"),
        lambda run: (run / "run.jsonl").write_text("damaged\n"),
        lambda run: (run / "run.jsonl").write_text('{"event": "end", "step": 1, "time": 1}\n'),
    ],
)
def test_a_damaged_run_counts_as_failed_and_does_not_affect_others(monitor, damage):
    directory = monitor.jobs.directory
    shutil.copytree(directory / "small-gpt", directory / "broken")
    damage(directory / "broken")
    statuses = monitor.statuses()
    assert (statuses["broken"].state, statuses["small-gpt"].state) == ("failed", "finished")
    assert statuses["broken"].message
    assert monitor.allowed_actions(statuses["broken"]) == set()
    monitor.history("broken")


def test_a_history_is_extended_in_place(monitor):
    history = monitor.history("small-gpt")
    assert len(history.evals) == 4
    assert monitor.history("small-gpt") is history
    assert monitor.history("none").evals == []


def test_charts_are_drawn_once_and_the_cache_is_bounded(monitor):
    drawn = []
    for key in (1, 1, 2, 1):
        monitor.chart(key, lambda key=key: drawn.append(key) or str(key))
    assert drawn == [1, 2]
    for key in range(1000):
        monitor.chart(key, lambda: "x")
    assert len(monitor._charts) <= MAX_CHARTS


def test_a_run_with_a_locked_log_is_training(monitor):
    assert not monitor.is_training()
    with RunLog(monitor.jobs.directory / "small-gpt"):
        monitor.statuses(fresh=True)
        assert monitor.is_training()
