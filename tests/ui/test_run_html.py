from pathlib import Path

import gradio as gr
import pytest

from charlm.errors import CharlmError
from charlm.runs.status import History, Status
from charlm.serving.job_queue import Jobs
from charlm.serving.limits import OPTIONS, Limits
from charlm.ui import run_html as report
from charlm.ui.run_form import OWN, TINY, build, marks, read

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
    ("status", "told"),
    [
        (Status("x", "waiting", 0, 9, place=1), ["waits in line", "next in line"]),
        (Status("x", "waiting", 0, 9, place=3), ["number 3 in line"]),
        (Status("x", "starting", 0, 9), ["is about to begin"]),
        (
            Status("x", "running", 1200, 9000, "", 3e-4, 11914.4, 75.4, 1.5),
            [
                *["is learning", "step 1,200 of 9,000", "1 min 15 s left"],
                *["11,914 characters a second", "learning rate 0.0003"],
                *["validation loss 1.5000", 'aria-valuenow="1200"'],
            ],
        ),
        (Status("x", "failed", 3, 9, "disk <full>"), ["has failed", "disk &lt;full&gt;"]),
        (Status("x", "finished", 9, 9), ["has finished", "width:100.0%"]),
        (Status("x", "failed", 0, 0), ["width:0.0%"]),
    ],
)
def test_the_head_tells_how_it_goes(history, status, told):
    html = report.head_html(status, history)
    for part in told:
        assert part in html
    assert "&lt;b&gt;text" in html
    assert "<b>text" not in html


def test_durations_are_said_as_people_do():
    assert [report.duration(s) for s in (0.4, 59.6, 61, 3600, 9000)] == [
        "0 s",
        "1 min 00 s",
        "1 min 01 s",
        "1 h 00 min",
        "2 h 30 min",
    ]


def test_milestones_are_told_in_order(history):
    html = report.milestones_html(history)
    order = ["better than blind chance (4.17)", "the character frequencies", "beats the bigram"]
    assert [html.index(part) for part in order] == sorted(html.index(part) for part in order)
    assert html.count("step 10") == 2
    assert html.count("step 20") == 1


@pytest.mark.parametrize(
    ("moment", "told"),
    [(0, "before it had learned"), (9, "before it had learned"), (10, "step 10"), (99, "step 20")],
)
def test_the_sample_of_a_moment_is_the_last_one_before_it(history, moment, told):
    assert told in report.sample_html(history, moment)


def test_samples_are_text(history):
    assert "<i>" not in report.sample_html(history, 10)
    assert "will stand here" in report.sample_html(History(Path("x")), 5)


def test_the_table_has_the_latest_first_and_an_end(history):
    html = report.figures_html(history)
    assert html.index("<td>20</td>") < html.index("<td>10</td>") < html.index("<td>0</td>")
    history.evals = [(n, 1.0, 1.0) for n in range(10_000)]
    assert report.figures_html(history).count("<tr>") == report.ROWS + 1


def fields(preset="fast", source=TINY, text="", file=None, name="", **options):
    from charlm.ui.run_form import preset_value

    values = [options.get(option, preset_value(preset, option)) for option in OPTIONS]
    return preset, source, text, file, name, *values


def test_the_form_stands_for_what_differs_from_the_preset():
    assert read(*fields(name=" x ")) == {"preset": "fast", "name": "x", "text": ""}
    changed = read(*fields(steps=100.0, learning_rate=0.01, source=OWN, text="abc"))
    assert changed == {
        "preset": "fast",
        "name": "",
        "text": "abc",
        "steps": 100,
        "learning_rate": 0.01,
    }


@pytest.mark.parametrize(
    ("filled_in", "field", "message"),
    [
        ({"steps": 0}, "steps", "it must be 1 or more"),
        ({"n_embd": 129}, "n_embd", "divisible by n_head"),
        ({"n_embd": 4000}, "n_embd", "small enough"),
        ({"name": "../x"}, "name", "cannot be a run's name"),
        ({"source": OWN}, "text", "paste a text here"),
        ({"source": OWN, "text": "x"}, "text", "at least 1,000"),
        ({"source": OWN, "text": "".join(map(chr, range(5000, 20000)))}, "text", "too many"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(tmp_path, filled_in, field, message):
    with gr.Blocks():
        form = build(Limits())
    with pytest.raises(CharlmError) as raised:
        Jobs(tmp_path, Limits()).check(**read(*fields(**filled_in)))
    found = marks(form, filled_in.get("source", TINY), raised.value)
    told = {name: mark["info"] for name, mark in zip(form.fields, found, strict=True)}
    assert message in told.pop(field)
    assert told == {name: f.info for name, f in form.fields.items() if name != field}


def test_nothing_is_wrong_with_the_form_as_it_is(tmp_path):
    Jobs(tmp_path, Limits()).check(**read(*fields()))
