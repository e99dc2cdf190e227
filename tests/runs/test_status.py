"""The status of small runs of train.py."""

import json
import os
import re
import time

import pytest
from small_models import SMALL_FLAGS
from waiting import wait_until

from charlm.errors import CharlmError
from charlm.models.checkpoint import CONFIG, count_parameters
from charlm.runs.log import LOG_FILE, RunLog
from charlm.runs.names import list_runs
from charlm.runs.resume import can_resume
from charlm.runs.status import PROCESS_DIED, read_status, seconds_per_step
from charlm.training.events import End, Step


def test_a_finished_run(trained):
    status = read_status(trained / "small-gpt")
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
    assert list_runs(trained) == ["small-gpt"]


def test_a_status_has_the_beginning_the_text_and_the_size(trained):
    status = read_status(trained / "small-gpt")
    assert 0 < time.time() - status.started < 3600
    assert status.data_name == "small.txt"
    assert status.parameters == count_parameters(trained / "small-gpt")


def test_a_status_has_the_options_that_differ_from_the_preset(trained_copy):
    directory = trained_copy / "small-gpt"
    status = read_status(directory)
    assert status.preset == "fast"
    expected = {"block_size": 16, "n_layer": 2, "n_embd": 16, "attention_every": 2}
    # eval_interval and others that change no weight are left out
    assert dict(status.changed) == expected | {"steps": 30, "batch_size": 4, "seed": 7}
    config = json.loads((directory / CONFIG).read_text())
    for preset in ("", "none of ours", "bigram"):  # of older runs, of forks, of another kind
        (directory / CONFIG).write_text(json.dumps(config | {"preset": preset}))
        status = read_status(directory)
        assert (status.preset, status.changed) == ("", ())


def test_the_beginning_of_an_older_run_is_unknown(trained_copy):
    log = trained_copy / "small-gpt" / LOG_FILE
    log.write_text(re.sub(r'"started": \d+, ', "", log.read_text()))
    assert read_status(log.parent).started is None


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such locks")
def test_a_run_is_running_while_its_log_is_locked(trained_copy):
    directory = trained_copy / "small-gpt"
    with RunLog(directory) as log:
        for n in (31, 32, 33):
            log.append(Step(n, n * 2.0, loss=1.0, lr=0.1, chars_per_second=10.0 * n))
        status = read_status(directory)
        assert (status.state, status.step) == ("running", 33)
        assert status.chars_per_second > 0
        assert status.eta_seconds is not None
    assert read_status(directory).state == "failed"
    assert read_status(directory).message == PROCESS_DIED


@pytest.mark.parametrize(
    ("reason", "message"), [("stopped", "no time left"), ("failed", "disk full")]
)
def test_the_end_event_gives_state_and_message(trained_copy, reason, message):
    directory = trained_copy / "small-gpt"
    with RunLog(directory) as log:
        log.append(End(31, 1.0, reason, message))
    status = read_status(directory)
    assert (status.state, status.message) == (reason, message)


def test_the_pace_ignores_a_pause():
    def event(step, time):
        return {"event": "step", "step": step, "time": time}

    assert seconds_per_step([event(10, 1.0)]) is None
    assert seconds_per_step([event(10, 1.0), event(20, 6.0)]) == 0.5
    paused = [event(10, 1), event(20, 6), event(30, 11), event(40, 600), event(50, 605)]
    assert seconds_per_step(paused) == 0.5


def test_a_missing_or_damaged_run_raises(trained_copy):
    with pytest.raises(CharlmError, match="there is no run none"):
        read_status(trained_copy / "none")
    (trained_copy / "small-gpt" / "config.json").write_text("{}")
    with pytest.raises(CharlmError, match=r"config\.json is damaged"):
        read_status(trained_copy / "small-gpt")


def test_the_cost_does_not_grow_with_the_length_of_the_run(trained_copy):
    directory = trained_copy / "small-gpt"

    def cost():
        start = time.process_time()
        for _ in range(20):
            read_status(directory)
        return time.process_time() - start

    short = min(cost() for _ in range(3))
    line = json.dumps(
        {"event": "step", "step": 31, "time": 1, "loss": 1, "lr": 1, "chars_per_second": 1}
    )
    with (directory / LOG_FILE).open("a") as log:
        log.write((line + "\n") * 3_000)
    medium = min(cost() for _ in range(3))
    with (directory / LOG_FILE).open("a") as log:
        log.write((line + "\n") * 300_000)
    long = min(cost() for _ in range(3))
    assert long < 3 * medium
    assert short < 3 * medium


def test_a_killed_run_has_failed_and_can_be_resumed(train, text_file):
    process = train.start("--name", "x", "--data", text_file, *SMALL_FLAGS, "--steps", 100_000)
    log = train.checkpoints / "x" / LOG_FILE
    wait_until(lambda: process.poll() is not None or (log.exists() and log.stat().st_size >= 2000))
    assert process.poll() is None
    assert read_status(log.parent).state == "running"
    process.kill()
    process.communicate()
    assert read_status(log.parent).state == "failed"
    assert can_resume(log.parent)
