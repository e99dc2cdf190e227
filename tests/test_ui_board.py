import shutil

import pytest

from charlm.hub.follow import Followed
from charlm.runs import log as runlog
from charlm.serving import run_monitor as boards
from charlm.serving.job_queue import Jobs
from charlm.serving.limits import Limits
from charlm.serving.run_monitor import Board
from charlm.training.events import Step


@pytest.fixture
def board(trained_copy):
    return Board(Jobs(trained_copy, Limits()), Followed())


def test_what_is_known_is_not_looked_up_again(board, monkeypatch):
    assert board.statuses().keys() == {"small-gpt"}
    asked = []
    status = board.jobs.status
    monkeypatch.setattr(board.jobs, "status", lambda name: asked.append(name) or status(name))
    board.statuses()
    board.statuses(fresh=True)
    assert asked == []
    with runlog.RunLog(board.jobs.directory / "small-gpt") as log:
        log.append(Step(31, 1.0, 1.0, 0.1, 1.0))
        assert board.statuses(fresh=True)["small-gpt"].state == "running"
    assert board.statuses(fresh=True)["small-gpt"].state == "failed"
    assert asked == ["small-gpt"] * 2


def test_a_new_run_shows_when_asked_afresh_or_a_little_later(board, monkeypatch):
    board.statuses()
    shutil.copytree(board.jobs.directory / "small-gpt", board.jobs.directory / "second")
    assert "second" not in board.statuses()
    assert "second" in board.statuses(fresh=True)
    shutil.rmtree(board.jobs.directory / "second")
    monkeypatch.setattr(boards, "FRESH", 0.0)
    assert "second" not in board.statuses()


@pytest.mark.parametrize(
    "damage",
    [
        lambda run: (run / "config.json").unlink(),
        lambda run: (run / "config.json").write_text("{}"),
        lambda run: (run / "run.jsonl").write_text("damaged\n"),
        lambda run: (run / "run.jsonl").write_text('{"event": "end", "step": 1, "time": 1}\n'),
    ],
)
def test_a_damaged_run_has_failed_and_the_others_are_fine(board, damage):
    directory = board.jobs.directory
    shutil.copytree(directory / "small-gpt", directory / "broken")
    damage(directory / "broken")
    statuses = board.statuses()
    assert (statuses["broken"].state, statuses["small-gpt"].state) == ("failed", "finished")
    assert statuses["broken"].message
    assert board.jobs.abilities(statuses["broken"]) == set()
    board.history("broken")


def test_a_history_is_read_on_not_anew(board):
    history = board.history("small-gpt")
    assert len(history.evals) == 4
    assert board.history("small-gpt") is history
    assert board.history("none").evals == []


def test_an_equal_drawing_is_made_once(board):
    made = []
    for key in (1, 1, 2, 1):
        board.drawing(key, lambda key=key: made.append(key) or str(key))
    assert made == [1, 2]
    for key in range(1000):
        board.drawing(key, lambda: "x")
    assert len(board._drawings) <= boards.DRAWINGS


def test_whether_a_run_trains_is_known(board):
    assert not board.is_training()
    with runlog.RunLog(board.jobs.directory / "small-gpt"):
        board.statuses(fresh=True)
        assert board.is_training()
