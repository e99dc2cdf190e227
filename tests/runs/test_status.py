"""What is read from run directories, from small ones that were really trained."""

import dataclasses
import json
import os
import time

import pytest
from small_models import SMALL_FLAGS

from charlm.config import ConfigError
from charlm.errors import CharlmError
from charlm.runs import log as runlog
from charlm.runs import status as runs
from charlm.training.events import End, Eval, Sample, Step


def test_a_finished_run(trained):
    status = runs.status(trained / "small-gpt")
    assert (status.name, status.state, status.step, status.steps) == (
        "small-gpt",
        "finished",
        30,
        30,
    )
    assert status.eta_seconds is None
    assert status.message == ""
    assert 0 < status.val_loss < 5
    assert status.chars_per_second > 0
    assert runs.list_runs(trained) == ["small-gpt"]


def test_its_history(trained):
    history = runs.History(trained / "small-gpt").update()
    assert [step for step, _ in history.losses] == [10, 20, 30]
    assert [step for step, _, _ in history.evals] == [0, 10, 20, 30]
    assert [step for step, _ in history.samples] == [0, 10, 20, 30]
    assert history.references.keys() == {"uniform", "unigram", "bigram"}
    assert history.milestones()[0] == ("uniform", 10)
    before = dataclasses.replace(history, lock=None)
    assert dataclasses.replace(history.update(), lock=None) == before


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such locks")
def test_a_run_is_running_as_long_as_its_log_is_held(trained_copy):
    directory = trained_copy / "small-gpt"
    with runlog.RunLog(directory) as log:
        for n in (31, 32, 33):
            log.append(Step(n, n * 2.0, loss=1.0, lr=0.1, chars_per_second=10.0 * n))
        status = runs.status(directory)
        assert (status.state, status.step) == ("running", 33)
        assert status.chars_per_second > 0
        assert status.eta_seconds is not None
    assert runs.status(directory).state == "failed"
    assert runs.status(directory).message == runs.DIED


@pytest.mark.parametrize(
    ("reason", "message"), [("stopped", "no time left"), ("failed", "disk full")]
)
def test_how_a_run_ended_is_told(trained_copy, reason, message):
    directory = trained_copy / "small-gpt"
    with runlog.RunLog(directory) as log:
        log.append(End(31, 1.0, reason, message))
    status = runs.status(directory)
    assert (status.state, status.message) == (reason, message)


def test_a_pause_does_not_count_as_slowness():
    def event(step, time):
        return {"event": "step", "step": step, "time": time}

    assert runs.pace([event(10, 1.0)]) is None
    assert runs.pace([event(10, 1.0), event(20, 6.0)]) == 0.5
    paused = [event(10, 1), event(20, 6), event(30, 11), event(40, 600), event(50, 605)]
    assert runs.pace(paused) == 0.5


def test_runs_are_listed_newest_first(trained_copy):
    (trained_copy / "older").mkdir()
    (trained_copy / "older" / runlog.FILE).touch()
    os.utime(trained_copy / "older" / runlog.FILE, (1e9, 1e9))
    (trained_copy / "no-run").mkdir()
    (trained_copy / ".hidden").mkdir()
    (trained_copy / ".hidden" / runlog.FILE).touch()
    assert runs.list_runs(trained_copy) == ["small-gpt", "older"]


def test_what_is_no_run_is_told(trained_copy):
    with pytest.raises(CharlmError, match="there is no run none"):
        runs.status(trained_copy / "none")
    (trained_copy / "small-gpt" / "config.json").write_text("{}")
    with pytest.raises(CharlmError, match=r"config\.json is damaged"):
        runs.status(trained_copy / "small-gpt")


def test_a_status_costs_the_same_however_long_the_run_is(trained_copy):
    directory = trained_copy / "small-gpt"

    def cost():
        began = time.process_time()
        for _ in range(20):
            runs.status(directory)
        return time.process_time() - began

    short = min(cost() for _ in range(3))
    line = json.dumps(
        {"event": "step", "step": 31, "time": 1, "loss": 1, "lr": 1, "chars_per_second": 1}
    )
    with (directory / runlog.FILE).open("a") as log:
        log.write((line + "\n") * 3_000)
    medium = min(cost() for _ in range(3))
    with (directory / runlog.FILE).open("a") as log:
        log.write((line + "\n") * 300_000)
    long = min(cost() for _ in range(3))
    assert long < 3 * medium
    assert short < 3 * medium


def test_a_history_notices_that_a_run_went_back_to_where_it_was_saved(trained_copy):
    directory = trained_copy / "small-gpt"
    history = runs.History(directory).update()
    whole = (directory / runlog.FILE).read_bytes().splitlines(keepends=True)
    with runlog.RunLog(directory) as log:
        log.cut_back(sum(map(len, whole[:-6])))
        log.append(Eval(21, 9.0, 1.0, 2.0, 2.0))
        log.append(Sample(21, 9.0, "anew"))
    assert history.update().samples[-1] == (21, "anew")
    assert [step for step, _, _ in history.evals] == [0, 10, 20, 21]
    fresh = runs.History(directory).update()
    assert (fresh.losses, fresh.evals, fresh.samples) == (
        history.losses,
        history.evals,
        history.samples,
    )


@pytest.mark.parametrize("name", ["../x", "a b", "", ".", "A", "x" * 65, "x/y", None, 3, "x\n"])
def test_what_cannot_be_a_name(name):
    with pytest.raises(ConfigError, match="cannot be a run's name"):
        runs.check_name(name)


def test_a_free_name_is_made_from_the_presets():
    assert runs.free_name("fast", set()) == "fast"
    assert runs.free_name("fast", {"fast", "fast-3"}) == "fast-2"


def test_a_killed_run_has_failed_and_can_go_on(train, text_file):
    process = train.start("--name", "x", "--data", text_file, *SMALL_FLAGS, "--steps", 100_000)
    log = train.checkpoints / "x" / runlog.FILE
    while not log.exists() or log.stat().st_size < 2000:
        assert process.poll() is None
        time.sleep(0.05)
    assert runs.status(log.parent).state == "running"
    process.kill()
    process.communicate()
    assert runs.status(log.parent).state == "failed"
    assert runs.can_resume(log.parent)
