"""Updates of the Watch tab: damaged runs beside good ones, and the actions of a run."""

import json
import shutil
from pathlib import Path

import gradio as gr
import pytest

from charlm.hub.follow import Follower, HubFollowers
from charlm.hub.pull import PulledModel
from charlm.models.checkpoint import CONFIG, WEIGHTS
from charlm.runs.log import LOG_FILE
from charlm.serving.job_queue import JobQueue
from charlm.serving.library import Library
from charlm.serving.limits import Limits
from charlm.serving.run_monitor import RunMonitor
from charlm.ui.run_html import ACTIONS
from charlm.ui.run_list import LOWEST, NEWEST
from charlm.ui.watch_render import LINEAR, Rendered, render

ON_HUB = "ann/bad"


@pytest.fixture
def tab(trained_copy):
    """A function that renders the Watch tab of a page with a local run and one from the Hub."""
    followers = HubFollowers()
    directory = trained_copy.parent / "pulled"
    shutil.copytree(trained_copy / "small-gpt", directory)
    follower = Follower(ON_HUB, False, True, lambda follower: follower.pulled, None)
    follower.pulled = PulledModel(directory, ON_HUB, "0" * 40)
    followers._followers[ON_HUB] = follower
    monitor = RunMonitor(JobQueue(trained_copy, Limits()), followers)
    library = Library(trained_copy, followers, Limits())

    def show(name, others=(), order=NEWEST):
        """Return (labels, head, chart, visible actions), as the browser gets them."""
        monitor.statuses(fresh=True)
        inputs = None, name, list(others), order, LINEAR, "Europe/Berlin", Rendered()
        *parts, _ = render(monitor, library, *inputs)
        json.dumps(parts, ensure_ascii=False, default=str).encode()  # can be sent
        actions = [
            a for a, part in zip(ACTIONS, parts[-len(ACTIONS) :], strict=True) if part["visible"]
        ]
        return [label for label, _ in parts[0]["choices"]], parts[2], parts[3], actions

    show.directories = {"small-gpt": trained_copy / "small-gpt", ON_HUB: directory}
    show.monitor = monitor
    return show


def append(directory, raw):
    with (directory / LOG_FILE).open("ab") as log:
        log.write(raw)


def insert(directory, raw):
    lines = (directory / LOG_FILE).read_bytes().splitlines(keepends=True)
    lines.insert(len(lines) // 2, raw)
    (directory / LOG_FILE).write_bytes(b"".join(lines))


def replace_log(directory, make):
    (directory / LOG_FILE).unlink()
    make(directory / LOG_FILE)


def rename_text(directory, name):
    config = json.loads((directory / CONFIG).read_text())
    config["data"]["name"] = name
    (directory / CONFIG).write_text(json.dumps(config))


DAMAGES = {
    "no event at the end": lambda d: append(d, b'{"event": "step", oops\n'),
    "no event in the middle": lambda d: insert(d, b"\xff\0\n"),
    "a bad value in the middle": lambda d: insert(d, b'{"event": "save", "step": -1, "time": 1}\n'),
    "a bad date": lambda d: (d / LOG_FILE).write_bytes(
        (d / LOG_FILE).read_bytes().replace(b'"started": ', b'"started": 99999')
    ),
    "a pointer": lambda d: replace_log(d, lambda p: p.write_text("version https://git-lfs\n")),
    "a directory": lambda d: replace_log(d, lambda p: p.mkdir()),
    "unreadable": lambda d: replace_log(d, lambda p: p.symlink_to("/proc/self/mem")),
    "no config": lambda d: (d / CONFIG).unlink(),
    "an empty config": lambda d: (d / CONFIG).write_text("{}"),
    "no list as config": lambda d: (d / CONFIG).write_text("[]"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize(("bad", "good"), [("small-gpt", ON_HUB), (ON_HUB, "small-gpt")])
def test_a_damaged_run_is_reported_and_the_others_remain(tab, damage, bad, good):
    if damage is DAMAGES["unreadable"] and not Path("/proc/self/mem").exists():
        pytest.skip("this system has no file that fails to be read")
    damage(tab.directories[bad])
    alone = tab(good)
    labels, head, chart, _ = tab(good, [bad])
    assert f"{bad} · failed" in labels
    assert len(labels) == 2
    assert head == alone[1]
    assert f"{good} <em>has finished" in head
    path = alone[2].partition('<path class="val" d="')[2].partition('"')[0]
    assert path and path in chart
    _, head, _, _ = tab(bad, [good])
    assert f"{bad} <em>has failed" in head
    message = head.partition('<p class="message">')[2].partition("</p>")[0]
    assert bad in message and str(tab.directories[bad]) not in message


@pytest.mark.parametrize("name", [ON_HUB, "small-gpt"])
def test_a_run_without_a_log_is_left_out(tab, name):
    (tab.directories[name] / LOG_FILE).unlink()
    labels, head, *_ = tab(None)
    assert len(labels) == 1
    assert "has finished" in head


def test_a_name_of_a_text_that_cannot_be_sent_is_replaced(tab):
    rename_text(tab.directories[ON_HUB], "\ud800\n<b>")
    labels, *_ = tab(ON_HUB)
    assert any("· ? <b> ·" in label for label in labels)


def test_a_run_that_the_hub_dropped_meanwhile_does_not_affect_others(tab, monkeypatch):
    available = tab.monitor.followers.available()
    monkeypatch.setattr(tab.monitor.followers, "available", lambda: available)
    tab.monitor.followers.drop(ON_HUB)
    labels, head, *_ = tab("small-gpt")
    assert f"{ON_HUB} · failed" in labels
    assert "has finished" in head


@pytest.mark.parametrize("name", [ON_HUB, "small-gpt"])
def test_a_run_with_a_model_can_be_written_with(tab, name):
    assert tab(name)[3] == ["write"]
    (tab.directories[name] / WEIGHTS).unlink()
    if name == "small-gpt":  # a model on the Hub always has weights
        assert tab(name)[3] == []


def test_the_lowest_loss_comes_first_if_chosen(tab):
    lines = (tab.directories[ON_HUB] / LOG_FILE).read_text().splitlines()
    last = max(n for n, line in enumerate(lines) if '"eval"' in line)
    event = json.loads(lines[last]) | {"val_loss": 0.5}
    lines[last] = json.dumps(event)
    (tab.directories[ON_HUB] / LOG_FILE).write_text("\n".join(lines) + "\n")
    assert tab("small-gpt", order=LOWEST)[0][0].startswith(f"{ON_HUB} · 0.5000\n")
    assert tab("small-gpt")[0][0].startswith("small-gpt · ")


def test_an_update_skips_what_has_not_changed(tab):
    inputs = "small-gpt", [], NEWEST, LINEAR, "UTC"
    library = Library(tab.monitor.jobs.directory, tab.monitor.followers, Limits())
    *_, rendered = render(tab.monitor, library, None, *inputs, Rendered())
    assert render(tab.monitor, library, None, *inputs, rendered) == gr.skip()
