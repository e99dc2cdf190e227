"""Logs that are damaged or made to harm a page: one sentence each, and no effect on other runs."""

import json
import shutil

import pytest

from charlm.errors import CharlmError
from charlm.hub.follow import HubFollowers
from charlm.runs.log import LOG_FILE, MAX_LINE, RunLogError, read_events, read_last_events
from charlm.runs.log_schema import MAX_MESSAGE, MAX_NAME, MAX_TEXT
from charlm.serving.job_queue import JobQueue
from charlm.serving.limits import Limits
from charlm.serving.run_monitor import RunMonitor
from charlm.ui.loss_chart import fit_axes, loss_chart_html
from charlm.ui.run_html import figures_html, milestones_html, run_head_html
from charlm.ui.snapshot_html import steps_html
from charlm.ui.watch_render import curve_of

STEP = {"event": "step", "step": 1, "time": 1, "loss": 1.5, "lr": 0.1, "chars_per_second": 9.0}
START = {
    "event": "start",
    "step": 0,
    "time": 0.0,
    "config": {"kind": "gpt", "model": {"vocab_size": 65}},
    "data": {"name": "a", "sha256": "b"},
}
EVAL = {"event": "eval", "step": 1, "time": 1, "train_loss": 1.5, "val_loss": 1.5}


def raw(record, **changes):
    return json.dumps(record | changes).encode()


HOSTILE = {
    "400 digits": raw(STEP).replace(b"1.5", b"9" * 400),
    "5000 digits": raw(STEP).replace(b"1.5", b"9" * 5000),
    "a step of 400 digits": raw(STEP).replace(b'"step": 1', b'"step": ' + b"9" * 400),
    "1e400": raw(STEP).replace(b"1.5", b"1e400"),
    "1e300": raw(STEP, loss=1e300),
    "a late time": raw(STEP, time=1e308),
    "an early time": raw(STEP, time=-1),
    "a negative step": raw(STEP, step=-1),
    "a flag as a step": raw(STEP, step=True),
    "a flag as a loss": raw(STEP, loss=True),
    "no loss": raw(STEP, loss=None),
    "a list as an event": raw(STEP, event=["step"]),
    "no data": raw({k: v for k, v in START.items() if k != "data"}),
    "data as a list": raw(START, data=[]),
    "a name as a number": raw(START, data={"name": 3}),
    "a config as a list": raw(START, config=[]),
    "a model as a list": raw(START, config={"model": []}),
    "a large vocabulary": raw(START, config={"model": {"vocab_size": 10**9}}),
    "no vocabulary": raw(START, config={"model": {"vocab_size": 0}}),
    "baselines as a list": raw(START, baselines=[]),
    "baselines as texts": raw(START, baselines={"uniform": "low"}),
    "parameters as a text": raw(START, parameters="many"),
    "parameters below zero": raw(START, parameters=-1),
    "notes as a number": raw(START, notes=3),
    "a message as a list": raw(
        {"event": "end", "step": 1, "time": 1, "reason": "failed"}, message=[]
    ),
    "many options": raw(START, config={"model": {f"o{i}": 1 for i in range(999)}}),
    "deep": b"[" * 100_000 + b"]" * 100_000,
    "markup": b"<img src=x onerror=alert(1)>" * 1_000,
}


@pytest.fixture
def monitor(trained_copy):
    """The monitor of a page with one good run; add others beside it."""
    return RunMonitor(JobQueue(trained_copy, Limits()), HubFollowers())


def write_run(monitor, *lines, name="bad"):
    directory = monitor.jobs.directory / name
    shutil.copytree(monitor.jobs.directory / "small-gpt", directory)
    (directory / LOG_FILE).write_bytes(b"\n".join(lines) + b"\n")
    return directory


def show(monitor, name):
    """Return the HTML of a run as the Watch tab draws it."""
    status, history = monitor.statuses(fresh=True)[name], monitor.history(name)
    parts = [run_head_html(status, history), milestones_html(history), figures_html(history)]
    for log_steps in (False, True):
        curves = [curve_of(history), curve_of(monitor.history("small-gpt"))]
        axes = fit_axes(curves, history.references, status.steps, log_steps)
        parts.append(loss_chart_html(curves, history.references, axes))
        parts.append(steps_html(history, (), axes))
    return "".join(parts)


@pytest.mark.parametrize("line", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_line_fails_its_run_alone(monitor, line):
    write_run(monitor, raw(START), line)
    statuses = monitor.statuses(fresh=True)
    assert statuses["small-gpt"].state == "finished"
    bad = statuses["bad"]
    assert bad.state == "failed"
    assert bad.message.startswith("run.jsonl of bad is damaged: ")
    assert len(bad.message) < 140 and bad.message.isprintable()
    html = show(monitor, "bad")
    assert "<img" not in html
    assert str(monitor.jobs.directory) not in html
    assert "has finished" in show(monitor, "small-gpt")
    with pytest.raises(CharlmError, match=r"^run\.jsonl of bad is damaged: "):
        monitor.events("bad", 0)


ODD = {
    "repeated": [raw(STEP, step=n) for n in (1, 1, 2, 2, 1)],
    "decreasing": [raw(STEP, step=n, time=9 - n) for n in range(9, 0, -1)],
    "far": [raw(STEP, step=2**62, loss=1e38), raw(EVAL, step=2**62, val_loss=1e38)],
    "below zero": [raw(STEP, loss=-1e38), raw(EVAL, val_loss=-5), raw(EVAL, val_loss=0)],
    "nothing known": [raw(START, config={}), raw(STEP)],
    "one character": [raw(START, config={"model": {"vocab_size": 1}}), raw(EVAL, val_loss=0)],
    "no chance": [raw(START, baselines={"uniform": -1, "bigram": 0}), raw(EVAL)],
    "several starts": [raw(START), raw(STEP), raw(START, step=1), raw(STEP)],
    "an unknown event": [raw({"event": "<b>", "step": 1, "time": 1, "x": [1]})],
    "only a save": [raw({"event": "save", "step": 3, "time": 1})],
}


@pytest.mark.parametrize("lines", ODD.values(), ids=ODD)
def test_an_odd_log_is_shown(monitor, lines):
    write_run(monitor, *lines)
    status = monitor.statuses(fresh=True)["bad"]
    assert "damaged" not in status.message
    html = show(monitor, "bad")
    assert "nan" not in html.lower().split()


def test_texts_are_cut_and_unknown_fields_dropped(tmp_path):
    end = {"event": "end", "step": 1, "time": 1, "reason": "r" * 9999, "message": "m" * 9999}
    lines = [
        raw({"event": "sample", "step": 1, "time": 1, "text": "line\n" * 1_000_000}),
        raw(START, data={"name": "n" * 9999, "x": 1}, notes=["n" * 9999] * 999, more=[[]]),
        raw(end),
        b'{"event": "sample", "step": 1, "time": 1, "text": "\\ud800"}',
    ]
    (tmp_path / LOG_FILE).write_bytes(b"\n".join(lines) + b"\n")
    sample, start, end, surrogate = read_events(tmp_path)[0]
    assert len(sample["text"]) == MAX_TEXT
    assert start["data"] == {"name": "n" * MAX_NAME, "sha256": ""}
    assert {len(note) for note in start["notes"]} == {MAX_MESSAGE}
    assert "more" not in start
    assert (len(end["reason"]), len(end["message"])) == (MAX_NAME, MAX_MESSAGE)
    assert surrogate["text"] == "?"


def test_an_endless_line_is_refused(tmp_path):
    (tmp_path / LOG_FILE).write_bytes(raw(STEP) + b"\n" + b"x" * (MAX_LINE + 9))
    assert len(read_events(tmp_path, 0, 10)[0]) == 1
    cursor = read_events(tmp_path, 0, 10)[1]
    with pytest.raises(RunLogError, match="too long for an event"):
        read_events(tmp_path, cursor, 2**18)
    assert len(read_last_events(tmp_path)) == 1


def test_what_a_run_wrote_is_read_unchanged(trained):
    lines = (trained / "small-gpt" / LOG_FILE).read_text().splitlines()
    assert read_events(trained / "small-gpt")[0] == [json.loads(line) for line in lines]
