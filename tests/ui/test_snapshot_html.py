from pathlib import Path

import pytest

from charlm.config import SampleConfig
from charlm.errors import CharlmError
from charlm.runs.history import History
from charlm.ui.loss_chart import fit_axes
from charlm.ui.snapshot_html import MAX_STEPS, marks_of, steps_html, steps_of
from charlm.ui.snapshots import parse_steps_request

FEATURES = {"words": 0.1, "lines": 0.0, "speaker": ""}


def history_of(steps, text="KING"):
    history = History(Path("run"))
    for step in steps:
        history._add({"event": "sample", "step": step, "text": text, **FEATURES})
    return history


def axes_of(last, log_steps=False):
    return fit_axes([], {}, last, log_steps)


def test_the_steps_are_the_samples_and_the_snapshots():
    history = history_of([0, 10, 20])
    history._add({"event": "snapshot", "step": 5, "val_estimate": 2.5})
    history._add({"event": "eval", "step": 10, "train_loss": 1.0, "val_loss": 2.0})
    found = {each["step"]: each for each in steps_of(history, (5, 10), axes_of(20))}
    assert list(found) == [0, 5, 10, 20]
    assert [each["kept"] for each in found.values()] == [False, True, True, False]
    assert [each["x"] for each in found.values()] == [0, 0.25, 0.5, 1]
    assert found[5]["html"] == "" and "KING" in found[10]["html"]
    assert found[5]["facts"].startswith("validation loss about 2.50, as unsure as between 12 ")
    assert found[10]["facts"].startswith("validation loss 2.0000, ")
    assert found[20]["facts"] == ""


def test_of_many_steps_some_are_offered_and_the_last_one():
    steps = [each["step"] for each in steps_of(history_of(range(999)), (), axes_of(999))]
    assert len(steps) <= MAX_STEPS and steps[-1] == 998


def test_the_log_of_a_foreign_run_is_cut_and_escaped():
    hostile = history_of(range(100), text="\n" * 10_000 + "x" + "\n" * 9_000 + "y")
    assert len(steps_html(hostile, (), axes_of(100))) < 300_000
    markup = history_of([1], text='"><img src=x onerror=alert(1)>')
    assert "<img" not in steps_html(markup, (), axes_of(1))


def test_marks_stand_at_the_first_samples_like_the_text_in_rows():
    history = history_of([0])
    for step, words, lines, speaker in ((3, 0.7, 0.8, ""), (4, 0.8, 0.9, "ROMEO"), (90, 1, 1, "X")):
        event = {"event": "sample", "step": step, "text": ""}
        history._add(event | {"words": words, "lines": lines, "speaker": speaker})
    marks = marks_of(history, axes_of(100))
    assert [(each["step"], each["label"], each["row"]) for each in marks] == [
        (3, "verse", 0),
        (4, "words", 1),
        (4, "ROMEO", 2),
    ]
    assert marks[1]["title"] == "step 4: letters become words: 80% of them are in words of the text"
    assert history_of([0, 1]).text_milestones() == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"action": "generate"}',
        '{"action": "write_steps", "run": 5}',
        '{"action": "write_steps", "run": "x", "steps": 5}',
        '{"action": "write_steps", "run": "x", "steps": ["5x"]}',
        '{"action": "write_steps", "run": "x", "steps": [-1]}',
        '{"action": "write_steps", "run": "x", "seed": -1, "steps": []}',
        '{"action": "write_steps", "run": "x", "seed": "99999999999999999999", "steps": []}',
        '{{"action": "write_steps", "run": "x", "prompt": "{}", "steps": []}}'.format("a" * 201),
        '{{"action": "write_steps", "run": "x", "steps": [{}]}}'.format(",".join(["1"] * 101)),
    ],
)
def test_requests_that_the_page_does_not_make_are_refused(text):
    with pytest.raises(CharlmError):
        parse_steps_request(text)


def test_a_request_of_the_page_is_read():
    text = '{"action": "write_steps", "run": "a", "prompt": "KING", "seed": 3, "steps": [5, 0]}'
    wanted = parse_steps_request(text)
    assert (wanted.run, wanted.prompt, wanted.seed, wanted.steps) == ("a", "KING", 3, [5, 0])
    assert SampleConfig(max_new_chars=1, seed=wanted.seed).seed == 3
