"""The job queue with real trainers: started, paused, stopped, resumed, killed."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import preloaded
import pytest
from programs import REPOSITORY
from small_models import make_text
from waiting import WITHIN, join, wait_for_line, wait_until

from charlm.config import ConfigError
from charlm.data import corpus as data
from charlm.data.corpus import DataError
from charlm.errors import CharlmError
from charlm.runs.log import is_log_locked
from charlm.runs.resume import can_resume
from charlm.serving import job as job_files
from charlm.serving import job_queue, job_state, process, trainers
from charlm.serving.job import Job
from charlm.serving.job_queue import JobError, JobQueue
from charlm.serving.limits import Limits
from charlm.serving.owners import Visitor
from charlm.serving.process import NICENESS

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs the locks and signals of POSIX")
TEXT = make_text()
QUICK = {"preset": "bigram", "text": TEXT}
POLL_SECONDS = 0.1  # a status costs milliseconds, which the trainers need more


@pytest.fixture
def queue(train, monkeypatch):
    """A JobQueue in an empty folder; its trainers are killed after the test."""
    preloaded.server_address()  # its start would delay that of the first run
    preloading = SimpleNamespace(**vars(subprocess) | {"Popen": preloaded.Process})
    monkeypatch.setattr(process, "subprocess", preloading)
    monkeypatch.setattr(process, "NICENESS", 0)  # or the tests of other files starve the trainers
    monkeypatch.setattr(job_queue, "POLL_SECONDS", 0.05)
    train.checkpoints.mkdir()
    queue = JobQueue(train.checkpoints, Limits())
    yield queue
    queue.limits = Limits(training="off")
    for child in queue.trainers.children.values():
        child.kill()
        child.wait()


def wait_for(queue, name, *states, seconds=90):
    def status():
        return queue.status(name)

    def reached():
        now = status()
        return now.state in states and now

    return wait_until(reached, status, seconds, POLL_SECONDS)


def actions(queue, name):
    return queue.allowed_actions(queue.status(name))


def wait_for_step(queue, name, step):
    waiting = {"instead": lambda: queue.status(name), "poll_seconds": POLL_SECONDS}
    wait_until(lambda: queue.status(name).step >= step, **waiting)


def logged_steps(queue, name):
    return [e["step"] for e in queue.events(name)[0] if e["event"] == "step"]


def test_a_run_starts_and_finishes(queue):
    name = queue.start(**QUICK, steps=200)
    assert name == "bigram"
    assert queue.status(name).state in ("waiting", "starting")
    status = wait_for(queue, name, "finished")
    assert (status.step, status.steps) == (200, 200)
    assert queue.names() == [name]
    queue.trainers.children[name].wait()
    assert actions(queue, name) == {"delete"}
    start = queue.events(name)[0][0]
    assert start["config"]["training"]["eval_interval"] == 40
    assert start["data"]["name"] == "bigram.txt"
    queue.delete(name)
    assert queue.names() == []
    assert {path.name for path in queue.directory.iterdir()} == {".jobs"}


@pytest.mark.slow
def test_one_run_trains_at_a_time_and_the_others_have_positions(queue):
    names = [queue.start(**QUICK, steps=100) for _ in range(3)]
    assert names == ["bigram", "bigram-2", "bigram-3"]
    positions = set()
    give_up = time.monotonic() + WITHIN
    while (states := [queue.status(name).state for name in names]) != ["finished"] * 3:
        assert time.monotonic() < give_up, states
        assert sum(state in ("starting", "running") for state in states) <= 1
        assert states == sorted(states, key=["finished", "running", "starting", "waiting"].index)
        positions.add(tuple(queue.status(name).queue_position for name in names))
        time.sleep(POLL_SECONDS)
    assert {(None, 1, 2), (None, None, 1)} <= positions


def test_a_stopped_run_is_saved_and_resumes(queue):
    name = queue.start(**QUICK, steps=20_000)
    wait_for_step(queue, name, 100)
    assert actions(queue, name) == {"pause", "stop"}
    assert queue.stop(name) == "stopped"
    stopped = queue.status(name).step
    assert 100 <= stopped < 20_000
    assert actions(queue, name) == {"resume", "delete"}
    queue.resume(name)
    wait_for_step(queue, name, stopped + 100)
    assert queue.stop(name) == "stopped"
    steps = logged_steps(queue, name)
    assert steps == list(range(50, steps[-1] + 1, 50))


def test_a_paused_run_makes_no_progress(queue):
    name = queue.start(**QUICK, steps=20_000)
    wait_for_step(queue, name, 100)
    queue.pause(name)
    time.sleep(0.2)
    paused = queue.status(name)
    time.sleep(0.5)
    assert queue.status(name) == paused
    assert paused.state == "paused"
    assert actions(queue, name) == {"resume", "stop"}
    queue.resume(name)
    wait_for_step(queue, name, paused.step + 100)
    assert queue.status(name).state == "running"
    queue.pause(name)
    assert queue.stop(name) == "stopped"


def test_a_paused_run_yields_its_place(queue, monkeypatch):
    monkeypatch.setattr(job_queue, "MAX_PAUSE", 0.5)
    first = queue.start(**QUICK, steps=20_000)
    wait_for_step(queue, first, 50)
    queue.pause(first)
    second = queue.start(**QUICK, steps=50)
    wait_for(queue, second, "finished")
    assert queue.status(first).state == "stopped"
    assert "resume" in actions(queue, first)


def test_a_run_that_has_not_started_can_be_stopped(queue, tmp_path):
    fake_trainer(queue, tmp_path, "signal.signal(signal.SIGTERM, signal.SIG_DFL)")
    first = queue.start(**QUICK, steps=20_000)
    second = queue.start(**QUICK, steps=50)
    assert queue.stop(second) == "deleted"
    with pytest.raises(CharlmError, match="there is no run bigram-2"):
        queue.status(second)
    wait_for(queue, first, "starting")
    assert queue.stop(first) == "deleted"
    assert queue.names() == []


@pytest.mark.slow
def test_trainers_killed_at_any_moment(queue):
    """The state is correct at any time, and every step is logged once."""
    rng = random.Random(3)
    name = queue.start(**QUICK, steps=4000)
    for _ in range(4):
        wait_for(queue, name, "starting", "running", "finished")
        time.sleep(rng.uniform(0, 1.5))
        if queue.status(name).state == "finished":
            break
        queue.trainers.children[name].kill()
        queue.trainers.children[name].wait()
        assert queue.status(name).state in ("failed", "finished")
        if queue.status(name).state == "failed" and not can_resume(queue.directory / name):
            queue.delete(name)  # it had not become a run
            name = queue.start(**QUICK, steps=4000)
        elif queue.status(name).state == "failed":
            queue.resume(name)
    assert wait_for(queue, name, "finished").step == 4000
    assert logged_steps(queue, name) == list(range(50, 4001, 50))


SERVER = """
import subprocess, sys, time
from types import SimpleNamespace
import preloaded
from charlm.serving import job_queue, process
from charlm.serving.job_queue import JobQueue
from charlm.serving.limits import Limits
preloaded.Process._server = sys.argv[2]  # whose copies outlive this process
process.subprocess = SimpleNamespace(**vars(subprocess) | {"Popen": preloaded.Process})
process.NICENESS, job_queue.POLL_SECONDS = 0, 0.05
queue = JobQueue(sys.argv[1], Limits())
queue.start_worker()
print("serving", flush=True)
time.sleep(600)
"""


@pytest.mark.slow
def test_servers_killed_at_any_moment(queue):
    """Runs continue, the queue survives, and the next server takes over both."""
    rng = random.Random(4)
    queue.start_worker = lambda: None  # only the servers start trainers
    names = [queue.start(**QUICK, steps=1500) for _ in range(3)]
    command = [sys.executable, "-c", SERVER, str(queue.directory), preloaded.server_address()]
    env = os.environ | {"PYTHONPATH": f"{REPOSITORY}{os.pathsep}{REPOSITORY / 'tests'}"}
    for _ in range(3):
        server = preloaded.Process(command, env=env, stdout=subprocess.PIPE, text=True)
        assert wait_for_line(server) == "serving\n"
        time.sleep(rng.uniform(0, 1.5))
        server.kill()
        server.wait()
        states = [queue.status(name).state for name in names]
        assert set(states) <= {"finished", "running", "starting", "waiting"}
        assert sum(state in ("starting", "running") for state in states) <= 1
    del queue.start_worker
    queue.start_worker()
    for name in names:
        wait_for(queue, name, "finished")
        assert logged_steps(queue, name) == list(range(50, 1501, 50))


def test_a_run_of_another_server_can_be_stopped(queue):
    name = queue.start(**QUICK, steps=20_000)
    wait_for_step(queue, name, 50)
    other = JobQueue(queue.directory, Limits())
    assert other.status(name).state == "running"
    assert other.stop(name) == "stopped"


def test_a_pid_that_another_program_has_by_now_is_left_alone(queue):
    name = queue.start(**QUICK, steps=50)
    wait_for(queue, name, "finished")
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        queue.trainers.children.clear()
        queue.store.save(replace(queue.store.get(name), pid=bystander.pid))
        assert queue.status(name).state == "finished"
        with pytest.raises(JobError, match="bigram is finished; it cannot stop now"):
            queue.stop(name)
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait(60)


def test_the_error_of_the_trainer_is_shown(queue):
    queue.start_worker = lambda: None
    name = queue.start(**QUICK, steps=50)
    (queue.store.folder / name / "text" / f"{name}.txt").unlink()
    del queue.start_worker
    queue.start_worker()
    status = wait_for(queue, name, "failed")
    assert "cannot read the text" in status.message
    assert actions(queue, name) == {"delete"}
    queue.delete(name)
    assert queue.names() == []


def test_a_full_disk_is_reported(queue, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(job_files, "write_atomically", full)
        with pytest.raises(JobError, match="cannot keep runs: No space left"):
            queue.start(**QUICK)
    queue.start_worker = lambda: None
    name = queue.start(**QUICK, steps=50)
    del queue.start_worker
    with monkeypatch.context() as disk:
        disk.setattr(trainers, "start_in_background", full)
        queue.start_worker()
        wait_until(lambda: "No space left" in queue.status(name).message)
    wait_for(queue, name, "finished")  # it was started again


def test_a_missing_corpus_is_reported_at_once(queue, monkeypatch, tmp_path):
    monkeypatch.delenv("CHARLM_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(data, "URL", "http://127.0.0.1:9/input.txt")
    with pytest.raises(DataError, match="cannot download Tiny Shakespeare"):
        queue.start("bigram")
    assert queue.names() == []


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
        ({"preset": "fast", "n_embd": 60_000}, "it must be small enough for 12,000,000 weights"),
        ({"preset": "fast", "n_layer": 1000}, "n_layer is 1000; it must be at most 64"),
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
def test_invalid_requests_are_refused_before_anything_happens(queue, arguments, message):
    (queue.directory / "there").mkdir()
    with pytest.raises((ConfigError, DataError), match=message):
        queue.start(**(QUICK | arguments))
    assert queue.names() == []
    assert not list(queue.store.folder.glob("*/job.json"))


def test_runs_started_elsewhere_are_left_alone(queue, train, text_file):
    process = train.start(
        "--preset", "bigram", "--name", "own", "--data", text_file, "--steps", 10**6
    )
    try:
        wait_until(lambda: "own" in queue.names() and queue.status("own").step >= 50)
        assert queue.status("own").state == "running"
        assert actions(queue, "own") == set()
        for action in ("stop", "pause", "resume", "delete"):
            with pytest.raises(JobError, match="own was not started on this page"):
                getattr(queue, action)("own")
            with pytest.raises(CharlmError, match="there is no run none"):
                getattr(queue, action)("none")
            with pytest.raises(ConfigError, match="cannot be a run's name"):
                getattr(queue, action)("../own")
        assert process.poll() is None
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate()
    assert queue.status("own").state == "stopped"


def test_everything_is_refused_while_training_is_off(queue):
    queue.limits = Limits(training="off")
    with pytest.raises(JobError, match="switched off on this page"):
        queue.start(**QUICK)
    for action in ("stop", "pause", "resume", "delete"):
        with pytest.raises(JobError, match="switched off on this page"):
            getattr(queue, action)("x")


def test_old_unnamed_runs_expire_and_named_ones_stay(queue):
    queue.limits = Limits(max_kept=2, max_waiting=20)
    queue.start_worker = lambda: None
    kept = [queue.start(**QUICK, name=name) for name in ("mine", "yours")]
    with pytest.raises(JobError, match="this page has 2 runs with names"):
        queue.start(**QUICK, name="third")
    names = [queue.start(**QUICK, steps=50) for _ in range(4)]
    for age, name in enumerate([*kept, *names]):
        queue.store.save(replace(queue.store.get(name), waiting=False, since=1e9 + age))
    last = queue.start(**QUICK)
    assert set(queue.names()) == {*kept, names[-1], last}


def test_the_queue_is_bounded(queue):
    queue.limits = Limits(max_waiting=2)
    queue.start_worker = lambda: None
    for _ in range(2):
        queue.start(**QUICK)
    with pytest.raises(JobError, match="2 runs wait in line already"):
        queue.start(**QUICK)


def test_concurrent_requests_get_distinct_names(queue):
    queue.limits = Limits(max_waiting=40, max_kept=40)
    queue.start_worker = lambda: None
    names, lock = [], threading.Lock()

    def start():
        name = queue.start(**QUICK)
        with lock:
            names.append(name)

    threads = [threading.Thread(target=start) for _ in range(20)]
    for thread in threads:
        thread.start()
    join(*threads)
    assert len(set(names)) == 20


def test_a_damaged_job_is_ignored(queue):
    for number, raw in enumerate((b"", b"{", b"[]", b'{"name": "x"}')):
        folder = queue.store.folder / f"x{number}"
        folder.mkdir(parents=True)
        (folder / "job.json").write_bytes(raw)
    assert queue.names() == []
    assert queue.start(**QUICK, steps=50) == "bigram"
    wait_for(queue, "bigram", "finished")


def test_a_damaged_run_can_be_deleted(queue):
    name = queue.start(**QUICK, steps=50)
    wait_for(queue, name, "finished")
    queue.trainers.children[name].wait()
    (queue.directory / name / "run.jsonl").write_text("not json\n")
    with pytest.raises(CharlmError, match="is damaged"):
        queue.status(name)
    queue.delete(name)
    assert queue.names() == []


def test_events_are_read_from_a_cursor(queue):
    name = queue.start(**QUICK, steps=100)
    assert queue.events(name) == ([], 0)
    wait_for(queue, name, "finished")
    events, cursor = queue.events(name)
    assert events[0]["event"] == "start"
    assert events[-1]["event"] == "end"
    assert queue.events(name, cursor) == ([], cursor)
    for wrong in (-1, "1", 1.5, None, 2**80):
        with pytest.raises(ConfigError, match="cursor is"):
            queue.events(name, wrong)


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


def test_all_presets_are_allowed_by_default(queue):
    queue.start_worker = lambda: None
    for preset in ("bigram", "gpt", "fast", "best"):
        queue.check(preset, "", TEXT * 2)


def test_the_trainer_has_low_priority(queue, monkeypatch):
    monkeypatch.setattr(process, "NICENESS", NICENESS)
    name = queue.start(**QUICK, steps=20_000)
    wait_for(queue, name, "running")
    pid = queue.store.get(name).pid
    assert os.getpriority(os.PRIO_PROCESS, pid) == NICENESS
    session = Path(f"/proc/{pid}/autogroup")
    if session.exists():
        assert session.read_text().split()[-1] == str(NICENESS)
    queue.stop(name)
    assert is_log_locked(queue.directory / name) is False


def test_a_run_of_that_name_from_elsewhere_is_not_the_jobs(queue, train, text_file):
    queue.start_worker = lambda: None
    name = queue.start(**QUICK, steps=50)
    own = ["--preset", "bigram", "--name", name, "--data", text_file, "--steps", 60]
    assert train(*own).returncode == 0
    del queue.start_worker
    queue.start_worker()
    wait_until(lambda: queue._worker is None)
    assert (queue.status(name).state, queue.status(name).steps) == ("finished", 60)
    assert actions(queue, name) == set()
    with pytest.raises(JobError, match="was not started on this page"):
        queue.delete(name)
    queue.limits = Limits(max_kept=1)
    queue.start(**QUICK, steps=50)
    assert queue.status(name).steps == 60


def test_a_run_resumed_in_a_terminal_is_left_alone(queue, train):
    name = queue.start(**QUICK, steps=20_000)
    wait_for_step(queue, name, 50)
    queue.stop(name)
    process = train.start("--resume", "--name", name)
    try:
        wait_for(queue, name, "running")
        assert actions(queue, name) == set()
        with pytest.raises(JobError, match="it cannot delete now"):
            queue.delete(name)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate()


def test_a_paused_run_that_dies_has_failed_and_resumes_unpaused(queue):
    name = queue.start(**QUICK, steps=20_000)
    wait_for_step(queue, name, 50)
    queue.pause(name)
    queue.trainers.children[name].kill()
    queue.trainers.children[name].wait()
    assert queue.status(name).state == "failed"
    step = queue.status(name).step
    queue.resume(name)
    wait_for(queue, name, "running")
    wait_for_step(queue, name, step + 50)
    assert actions(queue, name) == {"pause", "stop"}


def test_a_stopping_run_cannot_be_paused(queue):
    name = queue.start(**QUICK, steps=20_000)
    wait_for_step(queue, name, 50)
    queue.pause(name)
    paused_pid = queue.store.get(name).pid
    queue.stop(name, wait=0)
    offered = actions(queue, name)
    if queue.status(name).state == "running":  # and was before
        assert offered == {"stop"}
    wait_for(queue, name, "stopped")
    assert queue.store.get(name).pid == paused_pid


def test_the_reason_why_a_run_could_not_resume_is_shown(queue):
    name = queue.start(**QUICK, steps=20_000)
    wait_for_step(queue, name, 50)
    queue.stop(name)
    (queue.store.folder / name / "text" / f"{name}.txt").write_text("another text " * 100)
    queue.resume(name)
    status = wait_for(queue, name, "failed")
    assert "bigram.txt was not found (bigram.txt is another text" in status.message
    assert "give it with --data FILE" in status.message
    assert "/" not in status.message  # no path of the server
    assert status.step >= 50


def test_leftovers_of_killed_processes_are_deleted(queue):
    queue.store.folder.mkdir()
    for name in (
        ".x.deleted",
        ".x.4194999.new",
        ".x.4194999-0a1b2c3d.new",
        f".y.{os.getpid()}.new",
    ):
        (queue.directory / name).mkdir()
    queue.start_worker()
    wait_until(lambda: len(list(queue.directory.iterdir())) <= 2)
    assert (queue.directory / f".y.{os.getpid()}.new").exists()


def test_an_unexpected_error_does_not_stop_the_queue(queue, monkeypatch, capfd):
    def broken(*_):
        raise ZeroDivisionError

    queue.start_worker = lambda: None
    name = queue.start(**QUICK, steps=50)
    del queue.start_worker
    with monkeypatch.context() as patched:
        patched.setattr(queue.trainers, "launch", broken)
        queue.start_worker()
        wait_until(lambda: "ZeroDivisionError" in queue.status(name).message)
    wait_for(queue, name, "finished")
    assert "ZeroDivisionError" in capfd.readouterr().err


def test_a_trainer_that_stands_still_beyond_its_time_saves_and_ends(queue):
    name = queue.start(**QUICK, steps=20_000)
    wait_for_step(queue, name, 50)
    os.kill(queue.store.get(name).pid, signal.SIGSTOP)
    with queue._exclusive():
        queue.store.save(replace(queue.store.get(name), started=time.time() - 10**6))
    wait_for(queue, name, "stopped")
    queue.trainers.children[name].wait()
    assert "resume" in actions(queue, name)


def fake_trainer(queue, folder, code):
    """Replace train.py of a queue by a script, as real trainers obey."""
    script = folder / "fake.py"
    script.write_text(f"import signal, time\n{code}\ntime.sleep(60)\n")
    queue.trainers.trainer = script


def test_a_trainer_that_does_not_obey_is_killed(queue, tmp_path, monkeypatch):
    monkeypatch.setattr(job_state, "STOP_WITHIN", 0.5)
    monkeypatch.setattr(job_queue, "POLL_SECONDS", 0.5)  # it has failed until it is deleted then
    ignoring = tmp_path / "ignoring"
    ignore = "signal.signal(signal.SIGTERM, lambda *_: None)"
    fake_trainer(queue, tmp_path, f"{ignore}; open({str(ignoring)!r}, 'w')")
    name = queue.start(**QUICK)
    wait_until(ignoring.exists)
    wait_for(queue, name, "starting")
    queue.stop(name, wait=0)
    status = wait_for(queue, name, "failed")
    assert status.message == job_state.UNRESPONSIVE
    following = queue.start(**QUICK)
    wait_for(queue, following, "starting")


def test_a_trainer_that_takes_too_much_memory_is_killed(queue, tmp_path):
    queue.limits = Limits(max_run_memory=200)
    fake_trainer(queue, tmp_path, "x = bytearray(300_000_000)")
    job = Job("bigram", ["--name=bigram"], False, 10, time.time())
    queue.store.save(job)
    queue.start_worker()
    status = wait_for(queue, "bigram", "failed")
    assert status.message == "it used more than 200 MB of memory, as much as a run may here"


def test_only_its_owner_acts_on_a_run(queue):
    ann, bob = Visitor("192.0.2.1", "a" * 32), Visitor("192.0.2.1", "b" * 32)
    name = queue.start(**QUICK, steps=20_000, by=ann)
    wait_for_step(queue, name, 50)
    for action in (queue.stop, queue.pause, queue.resume, queue.delete):
        with pytest.raises(JobError, match="bigram was started by somebody else"):
            action(name, by=bob)
    status = queue.status(name)
    assert queue.allowed_actions(status, bob) == set()
    assert queue.allowed_actions(status, ann) == queue.allowed_actions(status) == {"pause", "stop"}
    assert queue.stop(name, by=ann) == "stopped"


def test_resuming_counts_among_a_browser_s_waiting_runs(queue):
    ann = Visitor("192.0.2.1", "a" * 32)
    name = queue.start(**QUICK, steps=20_000, by=ann)
    wait_for_step(queue, name, 50)
    assert queue.stop(name, by=ann) == "stopped"
    queue.trainers.children[name].wait()
    wait_until(lambda: queue._worker is None)
    queue.start_worker = lambda: None  # nothing is launched
    for _ in range(2):
        queue.start(**QUICK, by=ann)
    with pytest.raises(JobError, match="2 of your runs wait in line already"):
        queue.resume(name, by=ann)
