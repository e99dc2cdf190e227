from dataclasses import fields, replace

import gradio as gr
import pytest

from charlm.errors import CharlmError
from charlm.presets import PRESETS
from charlm.serving.job_queue import JobQueue
from charlm.serving.limits import OPTIONS, Limits, changed_options, page_preset
from charlm.serving.parameters import endpoint_parameters
from charlm.ui.run_form import (
    OWN,
    TINY_SHAKESPEARE,
    build_run_form,
    field_updates,
    job_arguments,
    preset_value,
)


def form_values(
    preset="fast", source=TINY_SHAKESPEARE, text="", file=None, name="", limits=None, **options
):
    """Return the values of RunForm.inputs: those of a fresh page but for `options`."""
    offered = page_preset(preset, limits or Limits())
    values = [options.get(option, preset_value(offered, option)) for option in OPTIONS]
    return preset, source, text, file, name, *values


def test_the_arguments_are_what_was_filled_in():
    fields = {"steps": 100.0, "learning_rate": 0.01, "dropout": None, "source": OWN, "text": "abc"}
    arguments = job_arguments(*form_values(name=" x ", **fields))
    others = OPTIONS[1:7] + OPTIONS[8:]
    expected = {option: preset_value(PRESETS["fast"], option) for option in others}
    del expected["dropout"]
    expected |= {"preset": "fast", "name": "x", "text": "abc", "steps": 100, "learning_rate": 0.01}
    assert arguments == expected


def test_a_bigram_has_no_options_of_a_gpt():
    assert "n_layer" not in job_arguments(*form_values("bigram"))


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


LOW = {"max_run_memory": 450, "max_new_chars": 7, "max_streams": 2}  # else a tenth


@pytest.mark.parametrize("limit", [f.name for f in fields(Limits) if f.type is int])
def test_a_fresh_page_is_within_every_limit(tmp_path, limit):
    default = getattr(Limits(), limit)
    limits = replace(Limits(), **{limit: LOW.get(limit, max(1, default // 10))})
    jobs = JobQueue(tmp_path, limits)
    with gr.Blocks():
        form = build_run_form(limits)
    assert [number.value for number in form.numbers] == list(form_values(limits=limits)[5:])
    may_change = {"steps", "batch_size", "block_size", "n_embd"}
    for preset in PRESETS:
        offered = jobs.check(**job_arguments(*form_values(preset, limits=limits)))
        assert jobs.check(preset) == offered  # as /start_run does
        assert changed_options(preset, offered).keys() <= may_change, preset
    parameters = endpoint_parameters(limits, "small")
    for endpoint in parameters.values():
        for name, parameter in endpoint.items():
            assert parameter.check(name, None) == parameter.check(name, parameter.default)
