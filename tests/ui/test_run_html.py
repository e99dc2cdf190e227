from html import escape
from pathlib import Path

import pytest

from charlm.runs.history import History
from charlm.runs.status import Status
from charlm.ui.run_html import (
    MAX_ROWS,
    announcement,
    figures_html,
    format_duration,
    milestones_html,
    run_head_html,
)

START = {
    "config": {"model": {"vocab_size": 65}},
    "data": {"name": "<b>text</b>", "sha256": "0"},
    "baselines": {"uniform": 4.17, "unigram": 3.3, "bigram": 2.5},
}


@pytest.fixture
def history():
    return History(
        Path("fast"),
        START,
        losses=[(10, 3.0), (20, 2.0)],
        evals=[(0, 4.16, 4.16), (10, 3.0, 3.1), (20, 2.0, 2.2)],
        samples=[(0, "xqz"), (10, "the <i>king"), (20, "KING:\nthe king")],
    )


@pytest.mark.parametrize(
    ("status", "phrases"),
    [
        (
            Status("x", "waiting", 0, 9, queue_position=1),
            ["waits in the queue", "next in the queue"],
        ),
        (Status("x", "waiting", 0, 9, queue_position=3), ["number 3 in the queue"]),
        (Status("x", "starting", 0, 9), ["is starting"]),
        (
            Status("x", "running", 1200, 9000, "", 3e-4, 11914.4, 75.4, 1.5, vocab_size=65),
            [
                *["is learning", "step 1,200 of 9,000", "1 min 15 s left"],
                *["11,914 characters a second", "learning rate 0.0003"],
                *[
                    "validation loss 1.5000, as unsure as between 4.5 letters; guessing blindly is"
                    " 65</p>",
                    'aria-valuenow="1200"',
                ],
            ],
        ),
        (Status("x", "failed", 3, 9, "disk <full>"), ["has failed", "disk &lt;full&gt;"]),
        (Status("x", "finished", 9, 9), ["has finished", "width:100.0%"]),
        (Status("x", "failed", 0, 0), ["width:0.0%"]),
    ],
)
def test_the_head_shows_state_and_figures(history, status, phrases):
    html = run_head_html(status, history)
    for phrase in phrases:
        assert phrase in html
    assert "&lt;b&gt;text" in html
    assert "<b>text" not in html


CHANGED = (("n_layer", 8), ("n_head", 1), ("dropout", 0.2), ("bias", True), ("steps", 20_000))
CHANGED += (("learning_rate", 3e-4), ("muon_learning_rate", 0.05), ("seed", 20_000))


@pytest.mark.parametrize(
    ("preset", "changed", "line"),
    [
        (
            "fast",
            CHANGED,
            "Unlike the preset fast: 8 layers, 1 head, dropout 0.2, bias on, 20,000 steps, learning"
            " rate 0.0003, Muon&#x27;s learning rate 0.05, seed 20000.",
        ),
        (
            "fast",
            (("muon_beta2", 0.0), ("weight_decay", 0.1)),
            "Unlike the preset fast: Muon&#x27;s beta2 0, weight decay 0.1.",
        ),
        ("best", (), "Preset best."),
    ],
)
def test_the_head_says_what_differs_from_the_preset(history, preset, changed, line):
    status = Status("x", "finished", 9, 9, preset=preset, changed=changed)
    assert f'<p class="preset">{line}</p>' in run_head_html(status, history)


def test_the_head_of_a_run_without_a_preset_names_none(history):
    assert '<p class="preset"></p>' in run_head_html(Status("x", "finished", 9, 9), history)


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (Status("x", "running", 1, 9, val_loss=4.0), "x is learning"),
        (
            Status("x", "finished", 9, 9, val_loss=1.54321),
            "x has finished: validation loss 1.5432, as unsure as between 4.7 letters",
        ),
        (
            Status("x", "stopped", 9, 9, val_loss=2.0),
            "x was stopped: validation loss 2.0000, as unsure as between 7.4 letters",
        ),
        (Status("x", "stopped", 1, 9), "x was stopped"),
        (Status("x", "failed", 1, 9, 'disk "full"'), 'x has failed: disk "full"'),
    ],
)
def test_a_state_is_announced_with_its_result(history, status, sentence):
    assert announcement(status) == sentence
    attribute = f'data-announcement="{escape(sentence)}"'
    assert attribute in run_head_html(status, history)


def test_durations_are_given_in_two_units():
    assert [format_duration(s) for s in (0.4, 59.6, 61, 3600, 9000)] == [
        "0 s",
        "1 min 00 s",
        "1 min 01 s",
        "1 h 00 min",
        "2 h 30 min",
    ]


def test_milestones_are_listed_in_order(history):
    html = milestones_html(history)
    order = ["better than blind chance (4.17)", "the character frequencies", "beats the bigram"]
    assert [html.index(part) for part in order] == sorted(html.index(part) for part in order)
    assert html.count("step 10") == 2
    assert html.count("step 20") == 1
    assert '<li title="as unsure as between 65 letters"><b>step 10' in html


def test_the_table_lists_the_latest_evaluations_first_up_to_a_maximum(history):
    html = figures_html(history)
    assert html.index("<td>20</td>") < html.index("<td>10</td>") < html.index("<td>0</td>")
    assert "<th>as unsure as between</th>" in html
    assert "<td>2.2000</td><td>9.0 letters</td>" in html
    history.evals = [(n, 1.0, 1.0) for n in range(10_000)]
    assert figures_html(history).count("<tr>") == MAX_ROWS + 1
