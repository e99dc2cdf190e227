"""The form that starts a run: a preset, a text, a name, and options that differ from the preset."""

import json
from dataclasses import dataclass
from html import escape
from pathlib import Path

import gradio as gr

from charlm.config import GPTConfig, TrainConfig, notes_of
from charlm.data.corpus import DataError
from charlm.errors import without_directories
from charlm.presets import PRESETS
from charlm.serving.limits import OPTIONS, page_preset
from charlm.ui.events import QUIET

TINY_SHAKESPEARE, OWN, GENERATED = "Tiny Shakespeare", "My own", "Written by a model now"
NOTES = {**notes_of(GPTConfig), **notes_of(TrainConfig)}
LABELS = {
    "steps": "Steps",
    "batch_size": "Batch size",
    "block_size": "Block size",
    "n_layer": "Layers",
    "n_head": "Heads",
    "n_embd": "Width",
    "dropout": "Dropout",
    "learning_rate": "Learning rate",
    "muon_learning_rate": "Muon's learning rate",
    "seed": "Seed",
}


@dataclass(frozen=True)
class RunForm:
    """The components of the form."""

    preset: gr.Radio
    source: gr.Radio
    text: gr.Textbox
    file: gr.File
    name: gr.Textbox
    numbers: list  # one for each of OPTIONS
    start: gr.Button
    use_generated: gr.Button  # offered when Tiny Shakespeare cannot be downloaded
    notice: gr.HTML

    @property
    def inputs(self):
        """The components whose values `job_arguments` takes, in its order."""
        return [self.preset, self.source, self.text, self.file, self.name, *self.numbers]

    @property
    def fields(self):
        """The components that can show an error, by the option that a ConfigError names."""
        numbers = dict(zip(OPTIONS, self.numbers, strict=True))
        return {"text": self.text, "name": self.name} | numbers


def build_run_form(limits):
    """Build the form in the Blocks being built; `watch_events` connects its buttons."""
    start = gr.Button("Train one now", variant="primary", elem_id="train")
    notice = gr.HTML(preset_html("fast"), elem_id="train-notice")
    use_generated = gr.Button(
        "Train on a text that a model writes now", visible=False, elem_id="use-generated"
    )
    with gr.Accordion("Options: preset, text, name, network", open=False, elem_id="form"):
        preset = gr.Radio(list(PRESETS), value="fast", label="Preset", elem_id="preset")
        source = build_source()
        text, file = build_own_text(limits)
        name = gr.Textbox(
            label="Name",
            info="small letters, digits, '-', '_' and '.'; empty: made from the preset's",
            max_length=64,
            elem_id="run-name",
        )
        with gr.Row(elem_id="numbers"):
            numbers = [build_number(option, limits) for option in OPTIONS]
    connect_choices(limits, preset, source, [text, file], notice, numbers)
    return RunForm(preset, source, text, file, name, numbers, start, use_generated, notice)


def build_source():
    sources = [TINY_SHAKESPEARE, OWN, GENERATED]
    return gr.Radio(sources, value=TINY_SHAKESPEARE, label="Text", elem_id="source")


def build_own_text(limits):
    text = gr.Textbox(
        label="Your text",
        info=f"any alphabet, from 1,000 characters to {limits.max_text:,} bytes",
        lines=4,
        max_lines=8,
        max_length=4 * limits.max_text,  # smaller excesses are reported here
        visible=False,
        elem_id="own-text",
    )
    file = gr.File(label="… or a text file", visible=False, height=150, elem_id="own-file")
    return text, file


def build_number(option, limits):
    value = preset_value(page_preset("fast", limits), option)
    return gr.Number(
        value,
        label=LABELS[option],
        info=NOTES[option],
        precision=0 if isinstance(value, int) else None,
        min_width=140,
        elem_id=f"option-{option}",
    )


def connect_choices(limits, preset, source, own_text, notice, numbers):
    """Fill in the options of the chosen preset; show the fields for one's own text if chosen.

    Both happen in the browser: a late answer of the server would overwrite newer input.
    """
    answers = {name: [preset_html(name), *option_updates(name, limits)] for name in PRESETS}
    fill_in = f"(preset) => ({json.dumps(answers)})[preset]"
    shown = f"{{__type__: 'update', visible: source === {OWN!r}}}"
    show_own_text = f"(source) => [{', '.join([shown] * len(own_text))}]"
    preset.change(None, preset, [notice, *numbers], js=fill_in, **QUIET)
    source.change(None, source, own_text, js=show_own_text, **QUIET)


def option_updates(preset, limits):
    """Return updates of the fields for OPTIONS, as JSON for the browser."""
    values = [preset_value(page_preset(preset, limits), option) for option in OPTIONS]
    return [{"__type__": "update", "value": v, "visible": v is not None} for v in values]


def preset_value(preset, option):
    """Return an option's value in a Preset; None if its model or optimizer has no such option."""
    if option == "muon_learning_rate" and preset.training.optimizer != "muon":
        return None
    return getattr(preset.training, option, getattr(preset.model, option, None))


def preset_html(preset, announcement=""):
    """Return a line about a preset; `announcement`: what screen readers hear instead of it."""
    announced = f' data-announcement="{escape(announcement)}"' if announcement else ""
    return f'<p class="model-summary"{announced}>{preset}: {PRESETS[preset].note}.</p>'


def job_arguments(preset, source, text, file, name, *numbers):
    """Return the form's values as arguments of JobQueue.start.

    "text" is "" unless it is the visitor's own. Raises DataError for a file that is no text.
    """
    options = {
        option: value
        for option, value in zip(OPTIONS, numbers, strict=True)
        if value is not None and preset_value(PRESETS[preset], option) is not None
    }
    text = read_own_text(text, file) if source == OWN else ""
    return {"preset": preset, "name": (name or "").strip(), "text": text} | options


def read_own_text(text, file):
    """Return the text of an uploaded file, or without one the text typed in."""
    if file:
        try:
            return Path(file).read_bytes().decode("utf-8-sig")
        except (OSError, UnicodeDecodeError):
            raise DataError("this file is not UTF-8 text; save it as UTF-8") from None
    if not text:
        raise DataError("paste a text here, or choose a file")
    return text


def field_updates(form, source, error=None):
    """Return an update for each of `form.fields`: the error at its field, none at the others.

    Gradio's validators would do this too, but their messages vanish at the page's next event,
    which comes within a second.
    """
    invalid = getattr(error, "option", "text" if isinstance(error, DataError) else None)
    return [
        gr.update(info=without_directories(str(error)), elem_classes=["invalid"])
        if name == invalid and (name != "text" or source == OWN)
        else gr.update(info=field.info, elem_classes=[])
        for name, field in form.fields.items()
    ]
