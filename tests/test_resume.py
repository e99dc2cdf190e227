"""train.py --resume: the run's text is found, and what a resumption changes is said before."""

import hashlib
import json
import os
import shutil

import pytest
from programs import CommandLine
from same_run import log_of
from small_models import SMALL_FLAGS

import charlm

STEPS = [*SMALL_FLAGS, "--steps", 4, "--eval-interval", 2]
MORE = ["--resume", "--steps", 6]


@pytest.fixture
def text(here, text_file, monkeypatch):
    """A text of the run's own, and no other text to find."""
    monkeypatch.delenv("CHARLM_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(here.folder / "cache"))
    return shutil.copy(text_file, here.folder / "own.txt")


@pytest.fixture
def run(here, text):
    """A finished run on `text`."""
    status, output = here("--data", text, "--name", "run", *STEPS)
    assert status == 0, output
    return here.checkpoints / "run"


def test_a_text_that_was_moved_is_looked_for_and_asked_for(here, run, text):
    moved = text.rename(text.with_name("moved.txt"))
    status, output = here("--name", "run", *MORE)
    assert status == 2
    assert f"text own.txt was not found (cannot read the text {text}: No such file" in output
    assert "give it with --data FILE" in output
    status, output = here("--name", "run", *MORE, "--data", moved)
    assert status == 0, output
    status, output = here("--name", "run", "--resume", "--steps", 8)
    assert status == 0, "its new place was not recorded: " + output


@pytest.mark.parametrize("place", ["CHARLM_DATA", "cache"])
def test_a_moved_text_is_found_where_texts_are_kept(here, run, text, monkeypatch, place):
    cached = here.folder / "cache/charlm/tinyshakespeare.txt"
    if place == "CHARLM_DATA":
        monkeypatch.setenv(place, str(text.rename(text.with_name("elsewhere.txt"))))
    else:
        sha256 = hashlib.sha256(text.read_bytes()).hexdigest()
        monkeypatch.setattr("charlm.data.corpus.SHA256", sha256)
        cached.parent.mkdir(parents=True)
        text.rename(cached)
    status, output = here("--name", "run", *MORE)
    assert status == 0, output
    assert log_of(run)[-1]["step"] == 6


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: b"\xef\xbb\xbf" + raw,
        lambda raw: raw.replace(b"\n", b"\r\n"),
        lambda raw: raw.replace(b"\n", b"\r"),
    ],
    ids=["marked", "Windows", "old Mac"],
)
def test_a_text_is_the_same_if_it_is_learned_the_same(here, run, text, change):
    text.write_bytes(change(text.read_bytes()))
    status, output = here("--name", "run", *MORE)
    assert status == 0, output


def test_a_run_that_recorded_the_sha256_of_the_file_can_be_resumed(here, run, text):
    raw = text.read_bytes().replace(b"\n", b"\r\n")
    text.write_bytes(raw)
    config = run / "config.json"
    parts = json.loads(config.read_text())
    parts["data"]["sha256"] = hashlib.sha256(raw).hexdigest()
    del parts["preset"]
    config.write_text(json.dumps(parts))
    status, output = here("--name", "run", *MORE)
    assert status == 0, output


def test_another_preset_is_refused(here, run):
    before = log_of(run)
    for preset in ("best", "bigram"):
        status, output = here("--name", "run", *MORE, "--preset", preset)
        assert status == 2
        assert f"run is no run of {preset}" in output
        assert "leave --preset out, or train another --name" in output
    assert log_of(run) == before
    assert here("--name", "run", *MORE, "--preset", "fast")[0] == 0


def test_a_rising_learning_rate_is_said_before_the_first_step(here, run):
    status, output = here("--name", "run", *MORE)
    assert status == 0
    note = "the learning rate rises from "
    assert note in output
    assert output.index(note) < output.index("step 6: train loss")
    starts = [event for event in log_of(run) if event["event"] == "start"]
    assert [len(start["notes"]) for start in starts] == [0, 1]


def test_the_same_schedule_is_resumed_without_a_note(here, run):
    status, output = here("--name", "run", "--resume")
    assert (status, "learning rate rises" in output) == (0, False)


@pytest.mark.parametrize("name", [b"r\xe9sum\xe9.txt", b"\xff\xfe", "日本 \n'\".txt".encode()])
def test_a_text_may_have_any_name(train, text_file, name):
    path = os.path.join(os.fsencode(train.folder), name)  # noqa: PTH118
    try:
        shutil.copy(text_file, os.fsdecode(path))
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    done = train("--data", os.fsdecode(path), "--name", "odd", *STEPS)
    assert done.returncode == 0, done.stderr
    start = log_of(train.checkpoints / "odd")[0]
    assert start["data"]["name"] == name.decode(errors="replace")
    done = train("--name", "odd", *MORE)
    assert done.returncode == 0, done.stderr
    charlm.load(train.checkpoints / "odd")
    os.unlink(path)  # noqa: PTH108
    done = train("--name", "odd", "--resume", "--steps", 8)
    assert done.returncode == 2
    assert "was not found" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_checkout_may_have_any_name(tmp_path, text_file):
    folder = tmp_path / os.fsdecode(b"r\xe9p\xff")
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    train = CommandLine(folder)
    done = train("--data", text_file, "--name", "run", *STEPS)
    assert done.returncode == 0, done.stderr
    done = train("--name", "run", *MORE)
    assert done.returncode == 0, done.stderr
    model, _ = charlm.load(train.checkpoints / "run")
    model.save_pretrained(folder / "saved")
    assert charlm.GPT.from_pretrained(folder / "saved").config.n_embd == model.config.n_embd


def test_runs_without_a_name_that_start_together_get_different_ones(train, text_file):
    flags = ["--preset", "bigram", "--data", text_file, "--steps", 1, "--sample-chars", 0]
    processes = [train.start(*flags) for _ in range(6)]
    outputs = [process.communicate(60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 6, outputs
    numbers = ["", "-2", "-3", "-4", "-5", "-6"]
    assert {p.name for p in train.checkpoints.iterdir()} == {f"bigram{n}" for n in numbers}
    for directory in train.checkpoints.iterdir():
        assert log_of(directory)[-1]["reason"] == "finished"


def test_a_name_that_is_taken_by_anything_is_reported(here, text_file):
    here.checkpoints.mkdir()
    (here.checkpoints / "file").write_text("mine")
    (here.checkpoints / "link").symlink_to("/nowhere")
    for name in ("file", "link"):
        status, output = here("--data", text_file, "--name", name, *STEPS)
        assert status == 2
        assert f"{name} exists; continue it with --resume, or choose another --name" in output
    assert (here.checkpoints / "file").read_text() == "mine"
