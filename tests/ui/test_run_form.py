import gradio as gr
import pytest

from charlm.errors import CharlmError
from charlm.serving.job_queue import JobQueue
from charlm.serving.limits import OPTIONS, Limits
from charlm.ui.run_form import (
    OWN,
    TINY_SHAKESPEARE,
    build_run_form,
    field_updates,
    job_arguments,
    preset_value,
)


def form_values(preset="fast", source=TINY_SHAKESPEARE, text="", file=None, name="", **options):
    """Return the values of RunForm.inputs."""
    values = [options.get(option, preset_value(preset, option)) for option in OPTIONS]
    return preset, source, text, file, name, *values


def test_the_arguments_are_the_options_that_differ_from_the_preset():
    assert job_arguments(*form_values(name=" x ")) == {"preset": "fast", "name": "x", "text": ""}
    changed = job_arguments(*form_values(steps=100.0, learning_rate=0.01, source=OWN, text="abc"))
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
def test_an_error_is_shown_at_its_field_only(tmp_path, filled_in, field, message):
    with gr.Blocks():
        form = build_run_form(Limits())
    with pytest.raises(CharlmError) as raised:
        JobQueue(tmp_path, Limits()).check(**job_arguments(*form_values(**filled_in)))
    updates = field_updates(form, filled_in.get("source", TINY_SHAKESPEARE), raised.value)
    infos = {name: update["info"] for name, update in zip(form.fields, updates, strict=True)}
    assert message in infos.pop(field)
    assert infos == {name: f.info for name, f in form.fields.items() if name != field}


def test_the_form_can_be_started_as_it_is(tmp_path):
    JobQueue(tmp_path, Limits()).check(**job_arguments(*form_values()))
