"""train.py as a command: it is stopped, killed, resumed and misused."""

import json
import math
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
from pathlib import Path

import preloaded
import pytest
from programs import CommandLine
from same_run import LONG, assert_same_run, kill_soon, log_of
from small_models import SMALL_FLAGS
from waiting import wait_for_line

import charlm
from charlm.models import checkpoint
from charlm.runs import setup
from charlm.runs.log import read_events


def test_a_run_makes_a_model_that_generates_text(trained):
    directory = trained / "small-gpt"
    names = {p.name for p in directory.iterdir()}
    files = {"model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"}
    assert names == {*files, "run.jsonl", "README.md", "resume"}
    model, tokenizer = charlm.load(directory)
    assert charlm.generate(model, tokenizer, "KING:", max_new_chars=20, seed=0).startswith("KING:")
    events = log_of(directory)
    kinds = [event["event"] for event in events]
    assert kinds[0] == "start"
    assert kinds[-1] == "end"
    assert [e["step"] for e in events if e["event"] == "eval"] == [0, 10, 20, 30]
    assert kinds.count("sample") == kinds.count("save") == 4
    assert events[0]["data"]["name"] == "small.txt"
    assert "/" not in json.dumps(events[0]["data"]), "a path would publish details of this machine"


def test_evaluations_are_printed(here, text_file):
    status, output = here("--data", text_file, "--name", "a", *SMALL_FLAGS, "--steps", 4)
    assert status == 0
    losses = next(e for e in log_of(here.checkpoints / "a") if e["event"] == "eval")
    line = f"step 0: train loss {losses['train_loss']:.4f}, val loss {losses['val_loss']:.4f}"
    assert line in output.splitlines()
    blind = len(set(text_file.read_text()))
    said = rf"^val loss \d\.\d{{4}}: as unsure as between \d+ letters; guessing blindly is {blind}$"
    assert re.search(said, output, re.M)


def test_a_name_is_numbered_when_it_is_taken(here, text_file):
    flags = ["--preset", "bigram", "--data", text_file, "--steps", 1, "--sample-chars", 0]
    for _ in range(2):
        assert here(*flags)[0] == 0
    assert sorted(p.name for p in here.checkpoints.iterdir()) == ["bigram", "bigram-2"]
    status, output = here(*flags, "--name", "bigram")
    assert status == 2
    assert "bigram exists; continue it with --resume, or choose another --name" in output


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, text_file):
    """The directory of an uninterrupted run of LONG."""
    train = CommandLine(tmp_path_factory.mktemp("uninterrupted"))
    done = train("--data", text_file, "--name", "uninterrupted", *LONG)
    assert done.returncode == 0, done.stderr
    return train.checkpoints / "uninterrupted"


def test_a_killed_run_resumes_to_the_same_bits(train, text_file, uninterrupted):
    rng, kills = random.Random(6), 0
    directory = train.checkpoints / "killed"
    flags = ["--data", text_file, "--name", "killed"]
    for attempt in range(5):
        process = train.start(*flags, *(["--resume"] if attempt else LONG))
        kills += kill_soon(process, rng.uniform(0, 0.8))
        charlm.load(directory)
    assert kills >= 3
    done = train(*flags, "--resume")
    assert done.returncode == 0, done.stderr
    assert_same_run(directory, uninterrupted)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_ends_the_run_which_can_be_resumed(
    train, text_file, uninterrupted, number
):
    process = train.start("--data", text_file, "--name", "stopped", *LONG)
    assert wait_for_line(process, "step 20").startswith("step 20")
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    directory = train.checkpoints / "stopped"
    end = log_of(directory)[-1]
    assert process.returncode == 0, output
    assert (end["event"], end["reason"]) == ("end", "stopped")
    assert 20 <= end["step"] < 400
    assert "train.py --resume --name stopped" in output

    # the path of the text is in the resume state
    assert train("--name", "stopped", "--resume").returncode == 0
    weights = "model.safetensors"
    assert (directory / weights).read_bytes() == (uninterrupted / weights).read_bytes()
    logs = log_of(directory), log_of(uninterrupted)
    assert 0 <= len(logs[0]) - len(logs[1]) <= 1  # the save of the stop
    resumed, whole = ([e for e in log if e["event"] != "save"] for log in logs)
    assert resumed == whole


def test_resuming_a_finished_run_changes_nothing_unless_it_gets_more_steps(trained_copy, train):
    directory = trained_copy / "small-gpt"
    weights, log = (directory / "model.safetensors").read_bytes(), log_of(directory)
    done = train("--name", "small-gpt", "--resume")
    assert done.returncode == 0, done.stderr
    assert (directory / "model.safetensors").read_bytes() == weights
    assert log_of(directory) == log

    longer = train("--name", "small-gpt", "--resume", "--steps", 40)
    assert longer.returncode == 0, longer.stderr
    events = log_of(directory)
    assert [e["step"] for e in events if e["event"] == "eval"] == [0, 10, 20, 30, 40]
    assert events[-1]["step"] == 40
    assert checkpoint.load_description(directory).training.steps == 40


def test_two_processes_cannot_train_the_same_run(train, text_file):
    first = train.start("--data", text_file, "--name", "a", *LONG, "--steps", 10**6)
    assert wait_for_line(first, "step 20:").startswith("step 20:")
    config = (train.checkpoints / "a" / "config.json").read_text()
    second = train("--data", text_file, "--name", "a", "--resume", "--steps", 10**7)
    first.terminate()
    first.communicate()
    assert second.returncode == 2
    assert "is being trained by another process" in second.stderr
    assert (train.checkpoints / "a" / "config.json").read_text() == config
    assert first.returncode == 0


def closed_pipe():
    reading, writing = os.pipe()
    os.close(reading)
    return open(writing, "w")  # noqa: PTH123


def full_disk():
    return Path("/dev/full").open("w")


QUIET = ["--name", "quiet", *SMALL_FLAGS, "--steps", 40]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    "output",
    [full_disk, closed_pipe],
)
def test_a_run_does_not_depend_on_its_output(output, train, text_file):
    command = train.command("--data", text_file, *QUIET)
    with output() as stream:
        process = preloaded.Process(command, stdout=stream, stderr=subprocess.STDOUT)
    assert process.wait(60) == 0
    check_that_it_continues(train)


# these have to be there when Python starts
@pytest.mark.slow
@pytest.mark.parametrize("output", [">&- 2>&-", ">/dev/null"], ids=["closed", "a narrow encoding"])
def test_a_run_does_not_depend_on_how_its_output_begins(output, train, text_file, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    command = shlex.join(train.command("--data", text_file, *QUIET))
    assert subprocess.run(["bash", "-c", f"{command} {output}"], timeout=60).returncode == 0
    check_that_it_continues(train)


def check_that_it_continues(train):
    assert log_of(train.checkpoints / "quiet")[-1]["reason"] == "finished"
    assert train("--name", "quiet", "--resume", "--steps", 50).returncode == 0
    charlm.load(train.checkpoints / "quiet")


@pytest.mark.parametrize("flag", ["--name", "--data", "--push"])
def test_an_empty_argument_is_an_error(flag, here):
    status, output = here(flag, "")
    assert status == 2
    assert f"argument {flag}: it is empty; leave the flag out for the default" in output


@pytest.mark.parametrize("size", ["2", "two", "0"])
def test_a_part_of_a_distributed_environment_is_ignored(size, here, text_file, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", size)
    flags = ["--data", text_file, "--name", "alone", *SMALL_FLAGS, "--steps", 4]
    assert here(*flags)[0] == 0
    assert log_of(here.checkpoints / "alone")[-1]["reason"] == "finished"


@pytest.mark.slow
def test_a_closed_terminal_saves_the_run(train, text_file, uninterrupted):
    process = train.start("--data", text_file, "--name", "closed", *LONG)
    assert wait_for_line(process, "step 20").startswith("step 20")
    process.send_signal(signal.SIGHUP)
    output, _ = process.communicate(timeout=60)
    assert "stopping after this batch" in output
    assert log_of(train.checkpoints / "closed")[-1]["reason"] == "stopped"
    assert train("--name", "closed", "--resume").returncode == 0
    weights = "model.safetensors"
    resumed = (train.checkpoints / "closed" / weights).read_bytes()
    assert resumed == (uninterrupted / weights).read_bytes()


def test_a_model_without_resume_state_is_never_overwritten(trained_copy, train):
    directory = trained_copy / "small-gpt"
    shutil.rmtree(directory / "resume")
    before = {p.name: p.read_bytes() for p in directory.iterdir()}
    done = train("--name", "small-gpt", "--resume")
    assert done.returncode == 2
    assert "no resume/ state, so its training cannot continue" in done.stderr
    assert {p.name: p.read_bytes() for p in directory.iterdir()} == before


def test_the_log_has_the_new_length_of_a_lengthened_run_that_was_killed(trained_copy, train):
    directory = trained_copy / "small-gpt"
    flags = ["--name", "small-gpt", "--resume"]
    assert kill_soon(train.start(*flags, "--steps", 10**6, "--eval-interval", 10**6), 0.2)
    assert train(*flags, "--steps", 40).returncode == 0
    starts = [e for e in log_of(directory) if e["event"] == "start"]
    assert [e["config"]["training"]["steps"] for e in starts] == [30, 40]


@pytest.mark.skipif(os.name != "posix", reason="needs limits on a process's files")
def test_a_full_disk_ends_the_run_and_loses_nothing(here, text_file):
    """A limit on the size of files simulates it: the weights fit, the resume state does not."""
    flags = ["--data", text_file, "--name", "full", *LONG, "--steps", 40]

    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, limits[1]))
    try:
        status, output = here(*flags)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert status == 1
    assert "cannot write resume/step-" in output
    assert "Traceback" not in output
    directory = here.checkpoints / "full"
    charlm.load(directory)
    message = r"cannot write resume/step-\d+.safetensors: File too large"
    assert re.match(message, log_of(directory)[-1]["message"])
    assert not [p for p in directory.rglob("*") if p.name.endswith(".tmp")]
    assert here("--data", text_file, "--name", "full", "--resume")[0] == 0
    charlm.load(directory)


def test_a_diverging_run_fails_and_keeps_good_weights(here, text_file):
    flags = ["--optimizer", "adamw", "--learning-rate", "1e30", "--grad-clip", "0"]
    status, output = here("--data", text_file, "--name", "wild", *SMALL_FLAGS, *flags)
    assert status == 1
    assert "not finite" in output
    assert log_of(here.checkpoints / "wild")[-1]["reason"] == "failed"
    charlm.load(here.checkpoints / "wild")


def test_running_out_of_memory_ends_the_run_with_advice(here, text_file, monkeypatch):
    monkeypatch.setattr(setup, "available_megabytes", lambda: math.inf)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    rows = memory // 1000  # of 256 ids with 8 bytes each: more than there is
    flags = [*SMALL_FLAGS, "--block-size", 256, "--batch-size", rows, "--sample-chars", 0]
    status, output = here("--data", text_file, "--name", "huge", *flags)
    assert status == 1
    assert "out of memory; try a smaller batch_size" in output
    assert log_of(here.checkpoints / "huge")[-1]["reason"] == "failed"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--steps", "-1"], "steps is -1; it must be 1 or more"),
        (["--preset", "nope"], "invalid choice: 'nope'"),
        (["--n_embd", "130", "--n_head", "4"], "n_embd is 130; it must be divisible by n_head=4"),
        (["--data", "missing.txt"], "cannot read the text missing.txt: No such file"),
        (["--data", "{folder}"], "Is a directory"),
        (["--name", "../x"], "'../x' cannot be a run's name"),
        (["--name", "a b"], "'a b' cannot be a run's name"),
        (["--resume", "--name", "none"], "there is no run"),
        (["--resume"], "there is no run of fast to resume"),
        (["--device", "tpu"], "there is no device 'tpu' on this machine"),
        (["--preset", "bigram", "--n-layer", "2"], "a bigram has no such option"),
        (["--block-size", "60000"], "block_size is 60000, but nine tenths of small.txt"),
        (["--learning-rate", "nan"], "learning_rate is nan"),
        (["--device", "cpu:foo"], "there is no device 'cpu:foo'"),
        (["--seed", "18446744073709551616"], "seed is 18446744073709551616"),
        (
            ["--n-embd", "65536", "--n-layer", "1000"],
            "choose a smaller batch_size or model",
        ),
    ],
)
def test_bad_input_is_reported_in_one_sentence(here, text_file, flags, message):
    flags = [flag.format(folder=here.folder) for flag in flags]
    data = [] if "--data" in flags else ["--data", str(text_file)]
    status, output = here(*data, *flags)
    assert status == 2
    assert message in output
    assert not here.checkpoints.exists() or not list(here.checkpoints.iterdir())


@pytest.mark.parametrize(
    "raw",
    [b"", b"ten chars.", b"\0\1" * 999, b"caf\xe9 " * 500],
    ids=["empty", "10", "binary", "latin-1"],
)
def test_a_bad_text_is_reported_in_one_line(here, raw):
    path = here.folder / "bad.txt"
    path.write_bytes(raw)
    status, output = here("--data", str(path))
    assert status == 2
    assert len(output.strip().splitlines()) == 1
    assert "bad.txt" in output


def test_bad_input_shows_no_traceback(train):
    done = train("--data", "missing.txt")
    assert done.returncode == 2
    assert done.stderr == "train.py: cannot read the text missing.txt: No such file or directory\n"


def test_resuming_rejects_arguments_that_do_not_fit_the_run(trained_copy, here, tmp_path):
    other = tmp_path / "other.txt"
    other.write_text("another text entirely. " * 100)
    for flags, message in (
        (["--data", other], "other.txt is another text than small.txt"),
        (["--steps", 20], "is at step 30; --steps must be 30 or more"),
        (["--n-layer", 3], "small-gpt cannot change its shape"),
        (["--optimizer", "adamw"], "optimizer cannot change when a run is resumed"),
    ):
        status, output = here("--name", "small-gpt", "--resume", *flags)
        assert status == 2
        assert message in output
    (trained_copy / "small-gpt" / "config.json").write_text("{")
    status, output = here("--name", "small-gpt", "--resume")
    assert status == 2
    assert "config.json is damaged" in output


def test_any_alphabet_can_be_trained_on(here):
    path = here.folder / "greek.txt"
    path.write_text("ἄνδρα μοι ἔννεπε, Μοῦσα, 😀 πολύτροπον\n" * 60, encoding="utf-8")
    assert here("--data", path, "--name", "greek", *SMALL_FLAGS, "--steps", 5)[0] == 0
    model, tokenizer = charlm.load(here.checkpoints / "greek")
    assert charlm.generate(model, tokenizer, "Μοῦσα😀", 5, seed=0).startswith("Μοῦσα😀")


def test_every_option_is_a_flag(here):
    status, text = here("--help")
    assert status == 0
    for config in (charlm.GPT.config_class, checkpoint.TrainConfig):
        for name in set(config.__dataclass_fields__) - {"vocab_size"}:
            assert f"--{name.replace('_', '-')}" in text
            assert f"--{name}" in text


def test_a_time_limit_saves_and_ends(train, text_file):
    flags = ["--preset", "bigram", "--data", text_file, "--steps", 10**6]
    done = train(*flags, "--time-limit", 0.05)
    assert done.returncode == 0
    assert "the time limit of 0.05 minutes was reached" in done.stdout
    *_, end = read_events(train.checkpoints / "bigram")[0]
    assert (end["event"], end["reason"]) == ("end", "stopped")
    assert "time limit" in end["message"]
    assert train(*flags, "--time-limit", 0).returncode == 2
