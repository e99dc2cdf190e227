"""Snapshots of train.py: killed, resumed, on a full disk, and used wherever a model is named."""

import signal
import time

import pytest
from same_run import LONG, assert_same_run, log_of
from small_models import SMALL_FLAGS

from charlm.models.snapshots import FILE, load_snapshot, snapshot_steps
from charlm.training.snapshots import snapshot_schedule

MANY = [
    *LONG[: LONG.index("--snapshots")],
    "--snapshots",
    60,
    *LONG[LONG.index("--snapshots") + 2 :],
]
FEW = [*SMALL_FLAGS, "--steps", 8, "--eval-interval", 4, "--snapshots", 4]


def raw_snapshots(directory):
    return {path.name: path.read_bytes() for path in (directory / "snapshots").iterdir()}


def check_folder(directory):
    """Check that the folder has whole snapshots only; return their steps."""
    for path in (directory / "snapshots").glob("*"):
        assert FILE.fullmatch(f"snapshots/{path.name}"), f"{path.name} is no snapshot"
    steps = snapshot_steps(directory)
    for step in steps:
        load_snapshot(directory, step)
    return steps


@pytest.mark.slow
def test_a_run_killed_as_its_snapshots_appear_leaves_whole_ones(train, text_file):
    run = train("--data", text_file, "--name", "whole", *MANY)
    assert run.returncode == 0, run.stderr
    whole, killed = train.checkpoints / "whole", train.checkpoints / "killed"
    assert set(check_folder(whole)) == snapshot_schedule(400, 60)
    kept, flags = (), ["--data", text_file, "--name", "killed", *MANY]
    for kill in range(4):
        process = train.start(*flags)
        deadline = time.monotonic() + 60
        # a moment after another snapshot, so that the next one is being written perhaps
        while len(list((killed / "snapshots").glob("*"))) <= len(kept) + 2 * kill:
            assert process.poll() is None
            assert time.monotonic() < deadline, "it writes no more snapshots"
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert set(check_folder(killed)) >= set(kept), "one was lost"
        kept, flags = snapshot_steps(killed), ["--resume", "--name", "killed"]
    run = train(*flags)
    assert run.returncode == 0, run.stderr
    assert_same_run(killed, whole)
    assert raw_snapshots(killed) == raw_snapshots(whole)
    assert not list(killed.rglob(".*.tmp"))


def test_changed_options_remove_the_snapshots_of_later_steps(here, text_file):
    status, output = here("--data", text_file, "--name", "run", *FEW)
    assert status == 0, output
    run = here.checkpoints / "run"
    assert snapshot_steps(run) == tuple(sorted(snapshot_schedule(8, 4)))
    status, output = here("--resume", "--name", "run", "--steps", 12)
    assert status == 0, output
    assert set(snapshot_steps(run)) == snapshot_schedule(8, 4) | snapshot_schedule(12, 4)


@pytest.mark.parametrize("failure", ["full disk", "no folder"])
def test_a_full_disk_ends_snapshots_and_not_training(here, text_file, monkeypatch, failure):
    def save(directory, model, step):
        raise OSError(28, "No space left on device", str(directory / "snapshots/1.safetensors"))

    if failure == "full disk":
        monkeypatch.setattr("charlm.runs.directory.save_snapshot", save)
        reason = "cannot write snapshots/1.safetensors: No space left on device"
    else:
        monkeypatch.setattr("charlm.models.snapshots.FOLDER", "run.jsonl")
        monkeypatch.setattr("charlm.models.snapshots.snapshot_file", lambda s: f"run.jsonl/{s}")
        reason = "cannot write run.jsonl/0: "
    status, output = here("--data", text_file, "--name", "run", *FEW)
    assert status == 0, output
    assert output.count(f"warning: no more snapshots are kept: {reason}") == 1
    assert snapshot_steps(here.checkpoints / "run") == ()
    log = log_of(here.checkpoints / "run")
    assert (log[-1]["event"], log[-1]["reason"]) == ("end", "finished")
    messages = [event.get("message") for event in log if event["event"] == "snapshot"]
    assert len(messages) == 1 and messages[0].startswith("no more snapshots are kept: cannot write")
    assert str(here.folder) not in messages[0]
