"""The line of runs, with real trainers in it: started, paused, stopped, resumed, killed."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from programs import REPOSITORY
from small_models import make_text

from charlm.config import ConfigError
from charlm.data import corpus as data
from charlm.data.corpus import DataError
from charlm.errors import CharlmError
from charlm.runs import log as runlog
from charlm.runs import status as runs
from charlm.serving import job as jobfile
from charlm.serving import job_queue as jobs
from charlm.serving.job_queue import JobError, Jobs
from charlm.serving.limits import Limits
from charlm.serving.process import BACK

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs the locks and signals of POSIX")
TEXT = make_text()
QUICK = {"preset": "bigram", "text": TEXT}


@pytest.fixture
def line(train):
    """A Jobs of an empty folder; whatever it started is ended."""
    train.checkpoints.mkdir()
    line = Jobs(train.checkpoints, Limits())
    yield line
    line.limits = Limits(training="off")
    for child in line._children.values():
        child.kill()
        child.wait()


def wait_for(line, name, *states, seconds=90):
    give_up = time.monotonic() + seconds
    while (status := line.status(name)).state not in states:
        assert time.monotonic() < give_up, f"{status} is not {states}"
        time.sleep(0.02)
    return status


def able(line, name):
    return line.allowed_actions(line.status(name))


def wait_for_step(line, name, step):
    give_up = time.monotonic() + 90
    while line.status(name).step < step:
        assert time.monotonic() < give_up, line.status(name)
        time.sleep(0.02)


def steps_told(line, name):
    return [e["step"] for e in line.events(name)[0] if e["event"] == "step"]


def test_a_run_goes_from_start_to_finish(line):
    name = line.start(**QUICK, steps=200)
    assert name == "bigram"
    assert line.status(name).state in ("waiting", "starting")
    status = wait_for(line, name, "finished")
    assert (status.step, status.steps) == (200, 200)
    assert line.names() == [name]
    line._children[name].wait()
    assert able(line, name) == {"delete"}
    start = line.events(name)[0][0]
    assert start["config"]["training"]["eval_interval"] == 40
    assert start["data"]["name"] == "bigram.txt"
    line.delete(name)
    assert line.names() == []
    assert {path.name for path in line.directory.iterdir()} == {".jobs"}


def test_one_at_a_time_and_the_others_see_their_place(line):
    names = [line.start(**QUICK, steps=100) for _ in range(3)]
    assert names == ["bigram", "bigram-2", "bigram-3"]
    seen = set()
    while (states := [line.status(name).state for name in names]) != ["finished"] * 3:
        assert sum(state in ("starting", "running") for state in states) <= 1
        assert states == sorted(states, key=["finished", "running", "starting", "waiting"].index)
        seen.add(tuple(line.status(name).place for name in names))
        time.sleep(0.02)
    assert {(None, 1, 2), (None, None, 1)} <= seen


def test_it_stops_saves_and_goes_on(line):
    name = line.start(**QUICK, steps=20_000)
    wait_for_step(line, name, 100)
    assert able(line, name) == {"pause", "stop"}
    assert line.stop(name) == "stopped"
    stopped = line.status(name).step
    assert 100 <= stopped < 20_000
    assert able(line, name) == {"resume", "delete"}
    line.resume(name)
    wait_for_step(line, name, stopped + 100)
    assert line.stop(name) == "stopped"
    told = steps_told(line, name)
    assert told == list(range(50, told[-1] + 1, 50))


def test_a_paused_run_stands_still(line):
    name = line.start(**QUICK, steps=20_000)
    wait_for_step(line, name, 100)
    line.pause(name)
    time.sleep(0.2)
    paused = line.status(name)
    time.sleep(0.5)
    assert line.status(name) == paused
    assert paused.state == "paused"
    assert able(line, name) == {"resume", "stop"}
    line.resume(name)
    wait_for_step(line, name, paused.step + 100)
    assert line.status(name).state == "running"
    line.pause(name)
    assert line.stop(name) == "stopped"


def test_a_paused_run_does_not_keep_others_waiting_for_ever(line, monkeypatch):
    monkeypatch.setattr(jobs, "PAUSE", 0.5)
    first = line.start(**QUICK, steps=20_000)
    wait_for_step(line, first, 50)
    line.pause(first)
    second = line.start(**QUICK, steps=50)
    wait_for(line, second, "finished")
    assert line.status(first).state == "stopped"
    assert "resume" in able(line, first)


def test_who_has_not_begun_can_leave(line):
    first = line.start(**QUICK, steps=20_000)
    second = line.start(**QUICK, steps=50)
    assert line.stop(second) == "deleted"
    with pytest.raises(CharlmError, match="there is no run bigram-2"):
        line.status(second)
    wait_for(line, first, "starting")
    assert line.stop(first) == "deleted"
    assert line.names() == []


def test_trainers_killed_at_any_moment(line):
    """The state is right, and what was told is told again, to the end."""
    rng = random.Random(3)
    name = line.start(**QUICK, steps=4000)
    for _ in range(4):
        wait_for(line, name, "starting", "running", "finished")
        time.sleep(rng.uniform(0, 4))
        if line.status(name).state == "finished":
            break
        line._children[name].kill()
        line._children[name].wait()
        assert line.status(name).state in ("failed", "finished")
        if line.status(name).state == "failed" and not runs.can_resume(line.directory / name):
            line.delete(name)  # it had not come to be a run
            name = line.start(**QUICK, steps=4000)
        elif line.status(name).state == "failed":
            line.resume(name)
    assert wait_for(line, name, "finished").step == 4000
    assert steps_told(line, name) == list(range(50, 4001, 50))


SERVER = """
import sys, time
from charlm.serving.job_queue import Jobs
from charlm.serving.limits import Limits
from charlm.serving.process import BACK
line = Jobs(sys.argv[1], Limits())
line.wake()
print("served", flush=True)
time.sleep(600)
"""


def test_servers_killed_at_any_moment(line):
    """Runs go on, the line stands, and the next server sees to both."""
    rng = random.Random(4)
    line.wake = lambda: None  # all that is started is started by the servers
    names = [line.start(**QUICK, steps=1500) for _ in range(3)]
    for _ in range(3):
        server = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(line.directory)],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert server.stdout.readline() == "served\n"
        time.sleep(rng.uniform(0, 4))
        server.kill()
        server.wait()
        states = [line.status(name).state for name in names]
        assert set(states) <= {"finished", "running", "starting", "waiting"}
        assert sum(state in ("starting", "running") for state in states) <= 1
    del line.wake
    line.wake()
    for name in names:
        wait_for(line, name, "finished")
        assert steps_told(line, name) == list(range(50, 1501, 50))


def test_a_run_of_another_server_can_be_stopped(line):
    name = line.start(**QUICK, steps=20_000)
    wait_for_step(line, name, 50)
    other = Jobs(line.directory, Limits())
    assert other.status(name).state == "running"
    assert other.stop(name) == "stopped"


def test_a_number_that_is_another_process_by_now_is_left_alone(line):
    name = line.start(**QUICK, steps=50)
    wait_for(line, name, "finished")
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        line._children.clear()
        line._save(line._job(name), pid=bystander.pid)
        assert line.status(name).state == "finished"
        with pytest.raises(JobError, match="bigram is finished; it cannot stop now"):
            line.stop(name)
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_what_the_trainer_says_is_shown(line):
    line.wake = lambda: None
    name = line.start(**QUICK, steps=50)
    (line.home / name / "text" / f"{name}.txt").unlink()
    del line.wake
    line.wake()
    status = wait_for(line, name, "failed")
    assert "cannot read the text" in status.message
    assert able(line, name) == {"delete"}
    line.delete(name)
    assert line.names() == []


def test_a_full_disk_is_told(line, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(jobfile, "write_atomically", full)
        with pytest.raises(JobError, match="cannot keep runs: No space left"):
            line.start(**QUICK)
    line.wake = lambda: None
    name = line.start(**QUICK, steps=50)
    del line.wake
    with monkeypatch.context() as disk:
        disk.setattr(jobs, "start_in_background", full)
        line.wake()
        give_up = time.monotonic() + 20
        while "No space left" not in line.status(name).message:
            assert time.monotonic() < give_up
            time.sleep(0.02)
    wait_for(line, name, "finished")  # it was tried again


def test_without_tiny_shakespeare_it_is_said_at_once(line, monkeypatch, tmp_path):
    monkeypatch.delenv("CHARLM_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(data, "URL", "http://127.0.0.1:9/input.txt")
    with pytest.raises(DataError, match="cannot download Tiny Shakespeare"):
        line.start("bigram")
    assert line.names() == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"preset": "huge"}, "preset is 'huge'; it must be one of bigram, gpt, fast, best"),
        ({"name": "../x"}, "cannot be a run's name"),
        ({"name": "a b"}, "cannot be a run's name"),
        ({"name": "there"}, "name is 'there'; it must be another"),
        ({"text": "x"}, "the text has 1 characters; a model needs at least 1,000"),
        ({"text": "x" * 5000}, "is one character over and over"),
        ({"text": "ab" * 1_500_000}, "the text has 3,000,000 bytes; at most 2,000,000"),
        ({"text": "PNG\0\1" * 1000}, "is a binary file"),
        ({"text": 3}, "text is 3; it must be a text"),
        (
            {"text": "".join(map(chr, range(0x4E00, 0x9000)))},
            "16,896 distinct characters, too many",
        ),
        ({"steps": 0}, "steps is 0; it must be 1 or more"),
        ({"steps": 10**9}, "steps is 1000000000; it must be at most 20,000 on this page"),
        ({"steps": 2.5}, "steps is 2.5; it must be of type int"),
        ({"steps": None}, "steps is None"),
        ({"preset": "fast", "n_embd": 129}, "n_embd is 129; it must be divisible by n_head=2"),
        ({"preset": "fast", "n_embd": 10**6}, "it must be small enough for 12,000,000 weights"),
        ({"preset": "fast", "n_layer": 10**9}, "n_layer is 1000000000; it must be at most 64"),
        ({"preset": "fast", "block_size": 10**6}, "block_size is 1000000; it must be at most"),
        ({"preset": "fast", "batch_size": 10**6}, "batch_size is 1000000; it must be at most"),
        ({"preset": "fast", "text": "ab" * 600, "block_size": 1024 + 512}, "block_size"),
        ({"preset": "gpt", "n_head": 64, "n_layer": 64, "block_size": 1024}, "batch_size is 256"),
        ({"preset": []}, "preset is"),
        ({"n_layer": 2}, "n_layer is 2; it must be left out: a bigram has no such option"),
        ({"eval_iters": 10**9}, "eval_iters is 1000000000; it must be left out here"),
        ({"data": "/etc/passwd"}, "it must be left out here"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_anything_happens(line, arguments, message):
    (line.directory / "there").mkdir()
    with pytest.raises((ConfigError, DataError), match=message):
        line.start(**(QUICK | arguments))
    assert line.names() == []
    assert not list(line.home.glob("*/job.json"))


def test_what_was_not_started_here_is_left_alone(line, train, text_file):
    process = train.start(
        "--preset", "bigram", "--name", "own", "--data", text_file, "--steps", 10**6
    )
    try:
        give_up = time.monotonic() + 60
        while "own" not in line.names() or line.status("own").step < 50:
            assert time.monotonic() < give_up
            time.sleep(0.05)
        assert line.status("own").state == "running"
        assert able(line, "own") == set()
        for action in ("stop", "pause", "resume", "delete"):
            with pytest.raises(JobError, match="own was not started on this page"):
                getattr(line, action)("own")
            with pytest.raises(CharlmError, match="there is no run none"):
                getattr(line, action)("none")
            with pytest.raises(ConfigError, match="cannot be a run's name"):
                getattr(line, action)("../own")
        assert process.poll() is None
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate()
    assert line.status("own").state == "stopped"


def test_where_training_is_off_everything_is_refused(line):
    line.limits = Limits(training="off")
    with pytest.raises(JobError, match="switched off on this page"):
        line.start(**QUICK)
    for action in ("stop", "pause", "resume", "delete"):
        with pytest.raises(JobError, match="switched off on this page"):
            getattr(line, action)("x")


def test_old_runs_without_a_name_go_and_the_named_stay(line):
    line.limits = Limits(max_kept=2, max_waiting=20)
    line.wake = lambda: None
    kept = [line.start(**QUICK, name=name) for name in ("mine", "yours")]
    with pytest.raises(JobError, match="this page has 2 runs with names"):
        line.start(**QUICK, name="third")
    names = [line.start(**QUICK, steps=50) for _ in range(4)]
    for age, name in enumerate([*kept, *names]):
        line._save(line._job(name), waiting=False, since=1e9 + age)
    last = line.start(**QUICK)
    assert set(line.names()) == {*kept, names[-1], last}


def test_the_line_has_an_end(line):
    line.limits = Limits(max_waiting=2)
    line.wake = lambda: None
    for _ in range(2):
        line.start(**QUICK)
    with pytest.raises(JobError, match="2 runs wait in line already"):
        line.start(**QUICK)


def test_many_at_once_get_names_of_their_own(line):
    line.limits = Limits(max_waiting=40, max_kept=40)
    line.wake = lambda: None
    names, lock = [], threading.Lock()

    def ask():
        name = line.start(**QUICK)
        with lock:
            names.append(name)

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(names)) == 20


def test_a_damaged_job_is_no_job(line):
    for number, raw in enumerate((b"", b"{", b"[]", b'{"name": "x"}')):
        home = line.home / f"x{number}"
        home.mkdir(parents=True)
        (home / "job.json").write_bytes(raw)
    assert line.names() == []
    assert line.start(**QUICK, steps=50) == "bigram"
    wait_for(line, "bigram", "finished")


def test_events_come_from_a_cursor(line):
    name = line.start(**QUICK, steps=100)
    assert line.events(name) == ([], 0)
    wait_for(line, name, "finished")
    events, cursor = line.events(name)
    assert events[0]["event"] == "start"
    assert events[-1]["event"] == "end"
    assert line.events(name, cursor) == ([], cursor)
    for wrong in (-1, "1", 1.5, None, 2**80):
        with pytest.raises(ConfigError, match="cursor is"):
            line.events(name, wrong)


def test_limits_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("CHARLM_MAX_STEPS", " 700 ")
    monkeypatch.setenv("CHARLM_TRAINING", "off")
    monkeypatch.setenv("CHARLM_MAX_TEXT", "")
    limits = Limits.from_environment()
    assert (limits.max_steps, limits.training, limits.max_text) == (700, "off", 2_000_000)
    for name, value in (("MAX_STEPS", "many"), ("MAX_STEPS", "0"), ("TRAINING", "maybe")):
        with monkeypatch.context() as wrong:
            wrong.setenv(f"CHARLM_{name}", value)
            with pytest.raises(ConfigError, match=f"CHARLM_{name}: {name.lower()} is"):
                Limits.from_environment()


def test_all_presets_are_allowed_by_default(line):
    line.wake = lambda: None
    for preset in ("bigram", "gpt", "fast", "best"):
        line.check(preset, "", TEXT * 2)


def test_the_trainer_lets_others_go_first(line):
    name = line.start(**QUICK, steps=20_000)
    wait_for(line, name, "running")
    pid = line._job(name).pid
    assert os.getpriority(os.PRIO_PROCESS, pid) == BACK
    session = Path(f"/proc/{pid}/autogroup")
    if session.exists():
        assert session.read_text().split()[-1] == str(BACK)
    line.stop(name)
    assert runlog.is_locked(line.directory / name) is False


def test_a_run_that_somebody_else_gave_that_name_is_theirs(line, train, text_file):
    line.wake = lambda: None
    name = line.start(**QUICK, steps=50)
    own = ["--preset", "bigram", "--name", name, "--data", text_file, "--steps", 60]
    assert train(*own).returncode == 0
    del line.wake
    line.wake()
    time.sleep(2)
    assert (line.status(name).state, line.status(name).steps) == ("finished", 60)
    assert able(line, name) == set()
    with pytest.raises(JobError, match="was not started on this page"):
        line.delete(name)
    line.limits = Limits(max_kept=1)
    line.start(**QUICK, steps=50)
    assert line.status(name).steps == 60


def test_a_run_that_goes_on_in_a_terminal_is_left_alone(line, train):
    name = line.start(**QUICK, steps=20_000)
    wait_for_step(line, name, 50)
    line.stop(name)
    process = train.start("--resume", "--name", name)
    try:
        wait_for(line, name, "running")
        assert able(line, name) == set()
        with pytest.raises(JobError, match="it cannot delete now"):
            line.delete(name)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate()


def test_a_paused_run_that_dies_has_failed_and_goes_on_unpaused(line):
    name = line.start(**QUICK, steps=20_000)
    wait_for_step(line, name, 50)
    line.pause(name)
    line._children[name].kill()
    line._children[name].wait()
    assert line.status(name).state == "failed"
    step = line.status(name).step
    line.resume(name)
    wait_for(line, name, "running")
    wait_for_step(line, name, step + 50)
    assert able(line, name) == {"pause", "stop"}


def test_who_is_stopping_cannot_be_paused(line):
    name = line.start(**QUICK, steps=20_000)
    wait_for_step(line, name, 50)
    line.pause(name)
    halted = line._job(name).pid
    line.stop(name, wait=0)
    if line.status(name).state == "running":
        assert able(line, name) == {"stop"}
    wait_for(line, name, "stopped")
    assert line._job(name).pid == halted


def test_why_a_run_could_not_go_on_is_told(line):
    name = line.start(**QUICK, steps=20_000)
    wait_for_step(line, name, 50)
    line.stop(name)
    (line.home / name / "text" / f"{name}.txt").write_text("another text " * 100)
    line.resume(name)
    status = wait_for(line, name, "failed")
    assert "another text: give it by --data" in status.message
    assert status.step >= 50


def test_what_killed_processes_left_is_swept_up(line):
    line.home.mkdir()
    for name in (".x.deleted", ".x.4194999.new", f".y.{os.getpid()}.new"):
        (line.directory / name).mkdir()
    line.wake()
    give_up = time.monotonic() + 20
    while len(list(line.directory.iterdir())) > 2:
        assert time.monotonic() < give_up
        time.sleep(0.02)
    assert (line.directory / f".y.{os.getpid()}.new").exists()


def test_a_fault_of_ours_does_not_end_the_line(line, monkeypatch, capfd):
    def broken(*_):
        raise ZeroDivisionError

    line.wake = lambda: None
    name = line.start(**QUICK, steps=50)
    del line.wake
    with monkeypatch.context() as patched:
        patched.setattr(line, "_launch", broken)
        line.wake()
        time.sleep(1)
        assert "ZeroDivisionError" in line.status(name).message
    wait_for(line, name, "finished")
    assert "ZeroDivisionError" in capfd.readouterr().err
