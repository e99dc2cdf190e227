"""train.py --teacher: a student's run, resumed, recorded and refused."""

import hashlib
import json
import shutil
import signal
import subprocess

import pytest
from programs import REPOSITORY
from same_run import assert_same_run, log_of
from small_models import SMALL_FLAGS, make_model, make_text

from charlm.models.checkpoint import load_description, save_weights
from charlm.runs.history import History
from charlm.runs.written_text import FILE

STUDENT = [*SMALL_FLAGS, "--steps", 8, "--eval-interval", 4, "--log-interval", 1]
STUDENT += ["--dropout", 0.2, "--written-chars", 3000]


@pytest.fixture
def teachers(here, trained):
    """Two teachers, of which one has other weights."""
    for name in ("a", "b"):
        shutil.copytree(trained / "small-gpt", here.folder / name)
    model = make_model(
        "today", load_description(here.folder / "a").model.vocab_size, attention_every=2
    )
    save_weights(here.folder / "b", model)
    return f"{here.folder / 'a'},{here.folder / 'b'}"


@pytest.fixture
def student(here, text_file, teachers):
    """A function that trains a student; returns its directory."""

    def train(name, *flags):
        given = ["--data", text_file, "--name", name, "--teacher", teachers, *STUDENT, *flags]
        status, output = here(*given)
        assert status == 0, output
        return here.checkpoints / name

    return train


def test_a_student_records_its_teachers(student, here):
    run = student("student")
    digests = [
        hashlib.sha256((here.folder / name / "model.safetensors").read_bytes()).hexdigest()
        for name in "ab"
    ]
    described = [
        {"name": name, "sha256": digest} for name, digest in zip("ab", digests, strict=True)
    ]
    start = log_of(run)[0]
    assert start["config"]["distillation"]["teachers"] == described
    assert start["config"]["distillation"]["options"]["written_chars"] == 3000
    assert list(load_description(run).distillation.teachers) == described
    card = (run / "README.md").read_text()
    assert all(
        f"| {name} | `{digest}` |" in card for name, digest in zip("ab", digests, strict=True)
    )
    assert f"the mean of its teachers' probabilities {start['baselines']['teachers']:.4f}" in card
    assert History(run).update().references["teachers"] == start["baselines"]["teachers"]
    assert str(here.folder) not in card + (run / "run.jsonl").read_text()


@pytest.mark.slow
def test_a_resumed_student_has_the_same_bits(student, here, text_file, monkeypatch):
    whole, stopped = student("whole"), student("stopped", "--steps", 4, "--decay", "constant")
    whole = student("whole-2", "--decay", "constant")
    monkeypatch.chdir(here.folder)
    status, output = here("--resume", "--name", "stopped", "--steps", 8)
    assert status == 0, output
    for name in ("model.safetensors", FILE):
        assert (stopped / name).read_bytes() == (whole / name).read_bytes()
    assert json.loads((stopped / "resume/state.json").read_text())["step"] == 8


@pytest.mark.slow
def test_a_run_killed_while_its_teachers_write_or_it_learns_resumes(
    train, student, text_file, teachers
):
    whole = student("uninterrupted", "--steps", 200)
    flags = ["--data", text_file, "--name", "killed", "--teacher", teachers, *STUDENT]
    flags += ["--steps", 200]
    for line in ("training ", "step 20/"):
        process = train.start(*flags)
        for printed in process.stdout:
            if line in printed:
                break
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        flags = ["--resume", "--name", "killed"]
    run = train(*flags)
    assert run.returncode == 0, run.stderr
    assert_same_run(train.checkpoints / "killed", whole)


@pytest.mark.parametrize("change", [["--written-seed", 1], ["--teacher", "a"]])
def test_the_teachers_of_a_run_stay(student, here, change, monkeypatch):
    run = student("student")
    monkeypatch.chdir(here.folder)
    status, output = here("--name", "student", "--resume", "--steps", 9, *change)
    assert status == 2
    assert f"the teachers of {run} cannot change; train another --name" in output


def test_other_weights_than_those_at_the_beginning_are_refused(student, here):
    student("student")
    shutil.copy(here.folder / "b/model.safetensors", here.folder / "a/model.safetensors")
    status, output = here("--name", "student", "--resume", "--steps", 9)
    assert status == 2
    assert "the teacher a has other weights than when the run began; restore it" in output
    shutil.rmtree(here.folder / "b")
    status, output = here("--name", "student", "--resume", "--steps", 9)
    assert status == 2


PYTHON = """#!/bin/sh
echo "$@" >> commands
while [ "$1" != --name ]; do shift; done
mkdir -p "checkpoints/$2/resume" && touch "checkpoints/$2/resume/state.json"
"""  # notes the command, and that the run can be resumed


def test_the_commands_that_train_shakespeare(here, text_file, monkeypatch):
    python, script = here.folder / ".venv/bin/python", here.checkpoints / "train-shakespeare.sh"
    for file in (python, script):
        file.parent.mkdir(parents=True, exist_ok=True)
    python.write_text(PYTHON)
    python.chmod(0o755)
    shutil.copy(REPOSITORY / "checkpoints" / script.name, script)
    for _ in range(2):
        subprocess.run(["bash", script], check=True)
    commands = (here.folder / "commands").read_text().splitlines()
    names = [f"best-{n}" for n in range(1, 5)]
    assert commands[4:] == [f"train.py --resume --name {name}" for name in names]
    monkeypatch.chdir(here.folder)
    for name, command in zip(names, commands[:4], strict=True):
        shutil.rmtree(here.checkpoints / name)
        flags = ["--data", text_file, *SMALL_FLAGS, "--steps", 2, "--eval-interval", 2]
        flags += ["--written-chars", 1000] if "--teacher" in command else []
        status, output = here(*command.split()[1:], *flags)
        assert status == 0, output
    teachers = load_description(here.checkpoints / "best-4").distillation.teachers
    assert [teacher["name"] for teacher in teachers] == names[:3]


def test_unfit_teachers_are_refused_before_anything_is_written(here, text_file, teachers, tmp_path):
    other = tmp_path / "other.txt"
    other.write_text(make_text() + "é")
    teacher = ["--teacher", teachers.split(",")[0]]
    for flags, message in [
        (["--data", other, *teacher], "does not know the same characters as the text"),
        ([*teacher, "--block-size", 32], "its student's is longer: block_size is 32"),
        (["--teacher", tmp_path / "none"], "none is not a model directory; there is: a, b"),
        (["--teacher", ",".join("a" * 17)], "teacher is 17; it must be at most 16 models"),
        (["--teacher", "a,"], "it must be one or more models, separated by commas"),
        (["--written-seed", 3], "--written-seed says how a --teacher teaches; give that, too"),
        ([*teacher, "--written-chars", 10], "written_chars is 10; it must be 1000 or more"),
        ([*teacher, "--written-share", 1.5], "written_share is 1.5; it must be at most 1"),
        ([*teacher, "--written-chars", 1000, "--block-size", 400], "it must be at most 333"),
    ]:
        status, output = here("--data", text_file, "--name", "no", *SMALL_FLAGS, *flags)
        assert (status, message in output) == (2, True), output
        assert not (here.checkpoints / "no").exists()
