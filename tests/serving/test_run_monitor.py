import shutil

import pytest

from charlm.hub.follow import HubFollowers
from charlm.runs import log as runlog
from charlm.serving import run_monitor as boards
from charlm.serving.job_queue import Jobs
from charlm.serving.limits import Limits
from charlm.serving.run_monitor import RunMonitor
from charlm.training.events import Step


@pytest.fixture
def monitor(trained_copy):
    return RunMonitor(Jobs(trained_copy, Limits()), HubFollowers())


def test_what_is_known_is_not_looked_up_again(monitor, monkeypatch):
    assert monitor.statuses().keys() == {"small-gpt"}
    asked = []
    status = monitor.jobs.status
    monkeypatch.setattr(monitor.jobs, "status", lambda name: asked.append(name) or status(name))
    monitor.statuses()
    monitor.statuses(fresh=True)
    assert asked == []
    with runlog.RunLog(monitor.jobs.directory / "small-gpt") as log:
        log.append(Step(31, 1.0, 1.0, 0.1, 1.0))
        assert monitor.statuses(fresh=True)["small-gpt"].state == "running"
    assert monitor.statuses(fresh=True)["small-gpt"].state == "failed"
    assert asked == ["small-gpt"] * 2


def test_a_new_run_shows_when_asked_afresh_or_a_little_later(monitor, monkeypatch):
    monitor.statuses()
    shutil.copytree(monitor.jobs.directory / "small-gpt", monitor.jobs.directory / "second")
    assert "second" not in monitor.statuses()
    assert "second" in monitor.statuses(fresh=True)
    shutil.rmtree(monitor.jobs.directory / "second")
    monkeypatch.setattr(boards, "FRESH", 0.0)
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
def test_a_damaged_run_has_failed_and_the_others_are_fine(monitor, damage):
    directory = monitor.jobs.directory
    shutil.copytree(directory / "small-gpt", directory / "broken")
    damage(directory / "broken")
    statuses = monitor.statuses()
    assert (statuses["broken"].state, statuses["small-gpt"].state) == ("failed", "finished")
    assert statuses["broken"].message
    assert monitor.jobs.allowed_actions(statuses["broken"]) == set()
    monitor.history("broken")


def test_a_history_is_read_on_not_anew(monitor):
    history = monitor.history("small-gpt")
    assert len(history.evals) == 4
    assert monitor.history("small-gpt") is history
    assert monitor.history("none").evals == []


def test_an_equal_drawing_is_made_once(monitor):
    made = []
    for key in (1, 1, 2, 1):
        monitor.drawing(key, lambda key=key: made.append(key) or str(key))
    assert made == [1, 2]
    for key in range(1000):
        monitor.drawing(key, lambda: "x")
    assert len(monitor._drawings) <= boards.DRAWINGS


def test_whether_a_run_trains_is_known(monitor):
    assert not monitor.is_training()
    with runlog.RunLog(monitor.jobs.directory / "small-gpt"):
        monitor.statuses(fresh=True)
        assert monitor.is_training()
