"""Several processes on one run, as torchrun starts them."""

import os
import signal
import subprocess
import sys

import preloaded
import pytest
from small_models import SMALL_FLAGS
from waiting import wait_until

from charlm.runs.log import LOG_FILE, read_events
from charlm.training.distributed import World

# five rows of a batch for two processes: two and three
FLAGS = [*SMALL_FLAGS, "--batch-size", "5", "--dropout", "0.2", "--log-interval", "1"]


@pytest.fixture
def torchrun(train):
    """A function that starts train.py in two processes, which are killed after the test."""
    launchers = []

    def start(*args):
        launch = "from torch.distributed.run import main; main()"
        command = [sys.executable, "-c", launch, "--standalone"]
        command += ["--nproc-per-node", "2", *train.command(*args)[1:]]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        launchers.append(preloaded.Process(command, **pipes))
        return launchers[-1]

    yield start
    for launcher in launchers:
        for pid in [*workers(launcher), launcher.pid] if launcher.poll() is None else []:
            os.kill(pid, signal.SIGKILL)


def events(train, name):
    return read_events(train.checkpoints / name)[0]


def workers(launcher):
    """Return the pids of the processes that a launcher started, by rank."""
    listed = subprocess.run(
        ["pgrep", "-P", str(launcher.pid), "-f", "train.py"],
        capture_output=True,
        text=True,
        check=False,
    )
    return sorted(map(int, listed.stdout.split()))


def wait_for_a_save(train, name):
    def steps():
        return [e["step"] for e in follow(train, name) if e["event"] == "step"]

    wait_until(lambda: any(step > 25 for step in steps()), steps, poll_seconds=0.1)


def follow(train, name):
    return events(train, name) if (train.checkpoints / name / LOG_FILE).exists() else []


@pytest.mark.parametrize(("size", "count"), [(1, 5), (2, 5), (3, 5), (5, 5)])
def test_every_row_belongs_to_one_process(size, count):
    rows = [i for rank in range(size) for i in range(count)[World(rank, size).rows(count)]]
    assert rows == list(range(count))


def test_two_processes_learn_as_one_does(train, torchrun, text_file, tolerance):
    flags = ["--data", text_file, *FLAGS, "--steps", 40, "--eval-interval", 20]
    assert train("--name", "one", *flags).returncode == 0
    pair = torchrun("--name", "two", *flags)
    output, _ = pair.communicate(timeout=120)
    assert pair.returncode == 0, output
    assert output.count("finished at step 40") == 1, "both processes print the run"
    one, two = events(train, "one"), events(train, "two")
    assert [(e["event"], e["step"]) for e in one] == [(e["event"], e["step"]) for e in two]
    for a, b in zip(one, two, strict=True):
        for loss in {"loss", "train_loss", "val_loss", "val_estimate"} & a.keys():
            assert b[loss] == pytest.approx(a[loss], abs=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("signalled", ["a worker", "the launcher"])
def test_a_stopped_pair_saves_once_and_resumes(signalled, train, torchrun, text_file):
    flags = ["--data", text_file, "--name", "pair", *FLAGS, "--steps", 4000]
    flags += ["--eval-interval", 20]
    pair = torchrun(*flags)
    wait_for_a_save(train, "pair")
    os.kill(workers(pair)[1] if signalled == "a worker" else pair.pid, signal.SIGTERM)
    output, _ = pair.communicate(timeout=60)
    assert (pair.returncode == 0) == (signalled == "a worker"), output  # torchrun's own status
    last = events(train, "pair")[-1]
    assert last["event"] == "end"
    assert last["reason"] == "stopped"
    if signalled == "the launcher":
        return
    steps = last["step"] + 5
    pair = torchrun("--name", "pair", "--resume", "--steps", steps)
    output, _ = pair.communicate(timeout=60)
    assert pair.returncode == 0, output
    assert events(train, "pair")[-1]["reason"] == "finished"
    alone = train("--name", "pair", "--resume", "--steps", steps + 5)
    assert alone.returncode == 0, alone.stderr


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_ends_the_run_with_a_message(rank, train, torchrun, text_file):
    flags = ["--data", text_file, "--name", "pair", *FLAGS, "--steps", 4000]
    pair = torchrun(*flags, "--eval-interval", 20)
    wait_for_a_save(train, "pair")
    os.kill(workers(pair)[rank], signal.SIGKILL)
    output, _ = pair.communicate(timeout=60)
    assert pair.returncode != 0
    assert "another process of this run is gone" in output
    if rank == 1:  # the first process survives and logs the failure
        last = events(train, "pair")[-1]
        assert last["reason"] == "failed"
        assert "--resume" in last["message"]


@pytest.mark.slow
def test_an_error_in_the_first_process_ends_all(train, torchrun, text_file):
    pair = torchrun("--data", text_file, *FLAGS, "--batch-size", 1)
    output, _ = pair.communicate(timeout=60)
    assert pair.returncode != 0
    assert "batch_size is 1; it must be 2 or more" in output
    assert not train.checkpoints.exists()
