"""The form that starts a run: a preset, a text, and what one likes to change of it."""

from dataclasses import dataclass
from pathlib import Path

import gradio as gr

from charlm.config import GPTConfig, TrainConfig, notes_of
from charlm.data.corpus import DataError
from charlm.presets import PRESETS
from charlm.serving import generate as writer
from charlm.serving.limits import OPTIONS
from charlm.ui.events import QUIET

TINY, OWN, WRITTEN = "Tiny Shakespeare", "My own", "One that a model writes now"
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
class Form:
    """What a visitor fills in; `inputs` in the order that `read` takes them."""

    preset: gr.Radio
    source: gr.Radio
    text: gr.Textbox
    file: gr.File
    name: gr.Textbox
    numbers: list  # one for each of OPTIONS
    start: gr.Button
    rescue: gr.Button
    notice: gr.HTML

    @property
    def inputs(self):
        return [self.preset, self.source, self.text, self.file, self.name, *self.numbers]

    @property
    def fields(self):
        """What can be filled in wrongly, by the option that an error names."""
        return {"text": self.text, "name": self.name} | dict(
            zip(OPTIONS, self.numbers, strict=True)
        )


def build(limits):
    """The form, in the Blocks being built; what it does is connected by `watch`."""
    start = gr.Button("Train one now", variant="primary", elem_id="train")
    notice = gr.HTML(preset_html("fast"), elem_id="train-notice")
    rescue = gr.Button("Let a model write one and learn from that", visible=False, elem_id="rescue")
    with gr.Accordion("What to train, and on which text …", open=False, elem_id="form"):
        preset = gr.Radio(list(PRESETS), value="fast", label="The preset", elem_id="preset")
        source = gr.Radio([TINY, OWN, WRITTEN], value=TINY, label="The text", elem_id="source")
        text = gr.Textbox(
            label="Your text",
            info=f"any alphabet, from 1,000 characters to {limits.max_text:,} bytes",
            lines=4,
            max_lines=8,
            visible=False,
            elem_id="own-text",
        )
        file = gr.File(label="… or a text file", visible=False, height=150, elem_id="own-file")
        name = gr.Textbox(
            label="Its name",
            info="small letters, digits, '-', '_' and '.'; empty: made from the preset's",
            max_length=64,
            elem_id="run-name",
        )
        with gr.Row(elem_id="numbers"):
            numbers = [number(name, limits) for name in OPTIONS]
    form = Form(preset, source, text, file, name, numbers, start, rescue, notice)
    preset.change(
        lambda preset: [preset_html(preset), *values(limits, preset)],
        preset,
        [notice, *numbers],
        **QUIET,
    )
    source.change(
        lambda source: [gr.update(visible=source == OWN)] * 2, source, [text, file], **QUIET
    )
    return form


def number(name, limits):
    value = shown_value("fast", name, limits)
    return gr.Number(
        value,
        label=LABELS[name],
        info=NOTES[name],
        precision=0 if isinstance(value, int) else None,
        min_width=140,
        elem_id=f"option-{name}",
    )


def preset_value(preset, name):
    """The value that an option has in a preset; None if its model has no such option."""
    chosen = PRESETS[preset]
    return getattr(chosen.training, name, getattr(chosen.model, name, None))


def shown_value(preset, name, limits):
    """That value, or the most that is allowed here: the form begins with what can be started."""
    value = preset_value(preset, name)
    return min(value, limits.max_steps) if name == "steps" else value


def values(limits, preset):
    """Updates of the numbers to those of a preset."""
    found = [shown_value(preset, name, limits) for name in OPTIONS]
    return [gr.update(value=value, visible=value is not None) for value in found]


def preset_html(preset):
    return f'<p class="model-summary">{preset}: {PRESETS[preset].note}.</p>'


def read(preset, source, text, file, name, *numbers):
    """The arguments of Jobs.start that the form stands for, but for a text still to be written.

    Raises DataError for a file that is no text.
    """
    options = {
        option: writer.whole(value)
        for option, value in zip(OPTIONS, numbers, strict=True)
        if preset_value(preset, option) is not None and value != preset_value(preset, option)
    }
    return {
        "preset": preset,
        "name": (name or "").strip(),
        "text": own_text(source, text, file),
    } | options


def own_text(source, text, file):
    """The visitor's own text, a file before what was typed; "" for another source."""
    if source != OWN:
        return ""
    if file:
        try:
            return Path(file).read_bytes().decode("utf-8-sig")
        except (OSError, UnicodeDecodeError):
            raise DataError("this file is not UTF-8 text; save it as UTF-8") from None
    if not text:
        raise DataError("paste a text here, or choose a file")
    return text


def marks(form, source, error=None):
    """Updates of form.fields: what is wrong, at the field whose fault it is, and nowhere else.

    Not by Gradio's validators: what they tell is gone with the next event of the page, a second on.
    """
    wrong = getattr(error, "option", "text" if isinstance(error, DataError) else None)
    return [
        gr.update(info=str(error), elem_classes=["wrong"])
        if name == wrong and (name != "text" or source == OWN)
        else gr.update(info=field.info, elem_classes=[])
        for name, field in form.fields.items()
    ]
