"""The layout of the Play tab: the controls on the left, the generated text on the right."""

from dataclasses import dataclass

import gradio as gr

from charlm.config import SampleConfig, notes_of
from charlm.serving.copied import TrainingTexts
from charlm.serving.parameters import page_parameters
from charlm.ui.compare import build_comparison, build_mode
from charlm.ui.copied_events import add_copied_endpoint, connect_copied
from charlm.ui.link import FIRST_PROMPT
from charlm.ui.play_events import connect_play_events
from charlm.ui.play_html import first_status_html, first_text_html, model_summary_html

EXAMPLES = {
    "Romeo": FIRST_PROMPT,
    "Juliet": "JULIET:\nO ",
    "A king": "KING RICHARD III:\nNow ",
    "The crowd": "First Citizen:\n",
    "To be …": "To be, or not to be: ",
    "Nothing at all": "",
}
BRANCHES = '<nav aria-label="Branches of this text" hidden></nav>'  # branches.js fills it


@dataclass(frozen=True)
class PlayControls:
    """The components that a visitor sets or presses, and the notices beside them."""

    mode: gr.Radio
    hub_notice: gr.HTML
    model: gr.Radio
    model_summary: gr.HTML
    hub_source: gr.Textbox | None  # None if the page takes no models from the Hub
    prompt: gr.Textbox
    examples: list  # of (gr.Button, prompt)
    generate: gr.Button
    stop: gr.Button
    next_letter: gr.Button
    go_on: gr.Button
    surprise: gr.Button
    copied: gr.Button
    notice: gr.HTML
    settings: list  # in the order that sample_config takes them
    copies: gr.HTML  # what of the text stands in the training text


def build_play_tab(library, default, readers):
    """Build the tab in the Blocks being built; returns its PlayControls and its Requests."""
    gr.HTML("<h2>Write with a model</h2>", elem_classes="screen-reader-only")
    with gr.Row(elem_id="play"):
        with gr.Column(scale=2, min_width=300, elem_id="controls"):
            controls = build_controls(library, default)
        with gr.Column(scale=3, min_width=320, elem_id="output"):
            text = gr.HTML(first_text_html(library, default), elem_id="text")
            chances = gr.HTML(elem_id="chances")
            with gr.Row(elem_id="text-footer"):
                status = gr.HTML(first_status_html(library, default), elem_id="status")
                controls.go_on.render()
                controls.surprise.render()
                controls.copied.render()
                gr.Button("Copy", size="sm", elem_id="copy", elem_classes="pill")
            gr.HTML(BRANCHES, elem_id="branches")
        compared = build_comparison()
    outputs = text, status, chances, compared
    requests = connect_play_events(library, controls, *outputs, readers)
    texts = TrainingTexts(library)
    connect_copied(library, texts, controls, requests)
    add_copied_endpoint(library, texts, default)
    return controls, requests


def build_controls(library, default):
    """Build the controls, in the order in which a visitor decides on them."""
    return PlayControls(
        mode=build_mode(),
        hub_notice=gr.HTML(elem_id="hub-notice"),
        model=gr.Radio(library.names(default), value=default, label="Model", elem_id="model"),
        model_summary=gr.HTML(model_summary_html(library, default), elem_id="model-summary"),
        hub_source=None if library.limits.hub == "off" else build_hub_source(),
        prompt=gr.Textbox(
            FIRST_PROMPT,
            label="Prompt",
            placeholder="The text to continue. Leave it empty, and the model begins by itself.",
            lines=3,
            max_lines=8,
            elem_id="prompt",
        ),
        examples=build_examples(),
        **build_buttons(),
        notice=gr.HTML(elem_id="notice"),
        settings=build_settings(library.limits),
        copies=gr.HTML(elem_id="copies"),  # beside the text, or on a phone below it
    )


def build_hub_source():
    title = "Load a model from the Hub"
    with gr.Accordion(title, open=False, elem_id="hub-model"):
        return gr.Textbox(
            label="Model on the Hugging Face Hub",
            info="a model that was trained and pushed with charlm; press Enter to load it",
            placeholder="user/repo, or user/repo@revision",
            max_length=250,
            elem_id="hub-source",
        )


def build_examples():
    with gr.Row(elem_id="examples"):
        return [
            (gr.Button(name, size="sm", elem_classes="pill"), prompt)
            for name, prompt in EXAMPLES.items()
        ]


def build_buttons():
    """Build the buttons that ask for text, by their names in PlayControls."""
    pill = {"size": "sm", "elem_classes": "pill", "render": False}  # at the end of the text
    with gr.Row(elem_id="buttons"):
        return {
            "generate": gr.Button("Generate", variant="primary", elem_id="generate"),
            "stop": gr.Button("Stop", variant="stop", elem_id="stop-generating"),
            "next_letter": gr.Button("Next letter", elem_id="next-letter"),
            "go_on": gr.Button("Continue", elem_id="continue", **pill),
            "surprise": gr.Button("Surprise", elem_id="surprise", **pill),
            "copied": gr.Button("Copied?", elem_id="copied", **pill),
        }


def build_settings(limits):
    """Build the sampler's settings, folded away."""
    notes, parameters = notes_of(SampleConfig), page_parameters(limits)
    longest = min(2000, limits.max_new_chars)
    sliders = {
        "max_new_chars": ("Length", min(50, longest), longest, 50),
        "temperature": ("Temperature", 0, parameters["temperature"].high, 0.05),
        "top_k": ("Top-k", 0, 65, 1),
        "top_p": ("Top-p", 0, 1, 0.01),
        "min_p": ("Min-p", 0, 1, 0.01),
    }
    title = "Settings: length, temperature, seed"
    with gr.Accordion(title, open=False, elem_id="settings"):
        settings = [
            gr.Slider(low, high, parameters[name].default, step=step, label=label, info=notes[name])
            for name, (label, low, high, step) in sliders.items()
        ]
        seed = gr.Number(-1, precision=0, label="Seed", info=f"{notes['seed']}; -1 draws one")
    return [*settings, seed]
