import asyncio
import json
import os
import subprocess
import sys

import pytest
from small_models import SMALL_FLAGS

from charlm.bench import beside, generating, serving, training
from charlm.bench.process import CHECKPOINTS, REPOSITORY, BenchError, measured
from charlm.bench.training import Cost, steps_to_target, table
from charlm.generation import warm_up
from charlm.presets import PRESETS
from charlm.serving import process as processes

START = {"event": "start", "step": 0, "time": 0.0, "data": {}}


def test_the_table_compares_with_the_lecture():
    lecture = Cost("the lecture's code", 2.0, 8192, 900_000_000, 18_000.0, 73_728_000)
    fast = Cost("fast", 0.1, 2048, 700_000_000, 90.0, 1_024_000)
    bigram = Cost("bigram", 0.01, 2048, 300_000_000, None, None)
    assert list(table([lecture, fast, bigram]))[2:] == [
        "| the lecture's code | 2.000 | 4,096 | 18,000 s | 73.73 M | 1.0 | 900 MB |",
        "| fast | 0.100 | 20,480 | 90 s | 1.02 M | 200.0 | 700 MB |",
        "| bigram | 0.010 | 204,800 | not reached |  |  | 300 MB |",
    ]


def test_the_target_is_reached_at_the_first_evaluation_that_is_low_enough():
    losses = [(0, 4.2), (1000, 1.6), (2000, 1.5492), (3000, 1.5)]
    events = [{"event": "eval", "step": step, "val_loss": loss} for step, loss in losses]
    assert steps_to_target(events) == 2000
    assert steps_to_target(events[:2]) is None


def test_a_command_is_measured():
    seconds, output, memory = measured(
        ["python3", "-c", "x = bytearray(10**8); import time; time.sleep(0.2); print('hello')"]
    )
    assert output == "hello\n"
    assert 0.2 < seconds < 20
    assert memory > 10**8


def test_a_failing_command_raises():
    with pytest.raises(BenchError, match="ended with status 3"):
        measured(["python3", "-c", "raise SystemExit(3)"])


# makes a step of the lecture's code 32 times as fast
SMALL_LECTURE = """
from charlm.presets import PRESETS
PRESETS["gpt"] = PRESETS["gpt"].changed({"batch_size": 2})
"""


@pytest.mark.slow
def test_the_training_benchmark_prints_a_table(text_file, capsys, monkeypatch, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(SMALL_LECTURE)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{REPOSITORY}")
    training.bench_train(str(text_file), 2, ["bigram"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| the lecture's code", "| bigram"]
    assert "not reached" in lines[3]
    assert not list(CHECKPOINTS.glob("bench-*"))


@pytest.mark.slow
def test_the_ablation_prints_a_line_for_each_ingredient(text_file, capsys):
    small = "--n-layer 2 --n-embd 16 --block-size 16 --steps 3 --batch-size 2 --compile off"
    diverging = {"a finite loss": "--learning-rate 1e30 --grad-clip 0"}
    parts = {"nothing": "", "Muon": "--optimizer adamw"} | diverging
    training.bench_ablation(str(text_file), {name: f"{small} {parts[name]}" for name in parts})
    lines = [line.split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    assert [line[0] for line in lines] == ["| nothing", "| Muon", "| a finite loss"]
    assert lines[0][3] == "+0.0000" != lines[1][3]
    assert lines[2][2] == "failed"


@pytest.mark.slow
def test_generation_and_training_at_once_are_measured(text_file, capsys, monkeypatch):
    # the number of threads would stay changed in later tests
    monkeypatch.setattr(beside.torch, "set_num_threads", lambda n: None)
    monkeypatch.setattr(processes, "NICENESS", 0)  # or the tests of other files starve the run
    flags = ["--steps=100000", "--log-interval=5", *SMALL_FLAGS]  # it waits for 17 logged speeds
    beside.bench_beside(str(text_file), flags, rounds=1)
    lines = [line.split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    assert [line[0] for line in lines] == ["| shakespeare generates", "| fast trains"]
    assert all(float(line[1].replace(",", "")) > 0 < float(line[3].strip(" |")) for line in lines)
    assert not list(CHECKPOINTS.glob("bench-*"))


def test_a_run_that_ends_too_soon_raises(tmp_path):
    process = subprocess.Popen(["true"])
    process.wait(60)
    with pytest.raises(BenchError, match="ended too soon, with status 0"):
        beside.training_speed(process, tmp_path, 0)


def test_a_bundled_run_counts_if_the_preset_made_it(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "CHECKPOINTS", tmp_path)
    assert training.bundled_run("gpt") == []
    preset, log = PRESETS["gpt"], tmp_path / "gpt" / "run.jsonl"
    config = {"kind": "gpt", "model": vars(preset.model), "training": vars(preset.training)}
    log.parent.mkdir()
    log.write_text(json.dumps(START | {"config": config}) + "\n")
    assert len(training.bundled_run("gpt")) == 1
    config["training"] = {**config["training"], "steps": 1}
    log.write_text(json.dumps(START | {"config": config}) + "\n")
    assert training.bundled_run("gpt") == []


@pytest.mark.slow
def test_the_generation_benchmark_prints_its_tables(capsys, monkeypatch):
    monkeypatch.setattr(warm_up, "TEXTS", 2)
    monkeypatch.setattr(warm_up, "CHARS", 20)
    generating.bench_generate(20, [1, 5])
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if " | " in line]
    firsts = ["| streams", "| 1", "| 5", "| one text", "| charlm, one stream"]
    firsts += ["| charlm, before the draft is warmed up", "| the lecture's `generate`"]
    assert [row[0] for row in rows] == [*firsts, "| transformers' `generate`"]
    assert [rows[1][3], rows[4][2].rstrip(" |")] == ["1.0", "1.0"]
    assert rows[1][2] == "" and 0 < float(rows[2][2]) < 1
    assert all(float(row[1].replace(",", "")) > 0 for row in (*rows[1:3], *rows[4:]))


def test_visitors_of_the_page_are_timed(app):
    visits, failed, seconds = asyncio.run(serving.visit_at_once(app.url, 3, 50))
    assert (len(visits), failed) == (3, 0)
    for visit in visits:
        assert visit.chars == 50
        assert 0 < visit.first <= visit.whole < seconds
    assert serving.memory(app.process.pid) > 50


def test_a_failed_visit_is_counted(app, capsys):
    visits, failed, _ = asyncio.run(serving.visit_at_once(app.url, 2, 10**9))
    assert (visits, failed) == ([], 2)
    assert (
        "max_new_chars is 1000000000; it must be a whole number from 1 to 5,000"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("code", "least", "most"), [("while True: pass", 0.01, 1.1), ("input()", 0, 0.1)]
)
def test_the_share_of_a_core_is_that_of_a_process(code, least, most):
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    try:
        assert least <= serving.idle_share(process.pid, seconds=1) <= most
    finally:
        process.kill()
        process.wait()


def test_a_command_that_does_not_serve_is_reported():
    with (
        pytest.raises(BenchError, match="does not serve: hello"),
        serving.served(["echo", "hello"]),
    ):
        pass
