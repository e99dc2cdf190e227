"""The layout of the Look inside tab: a text on the left, what the model does on the right."""

from dataclasses import dataclass

import gradio as gr

from charlm.ui.inside_events import connect_inside_events
from charlm.ui.inside_html import PANELS
from charlm.ui.shown_text import MAX_TEXT_CHARS


@dataclass(frozen=True)
class InsideView:
    """The components of the tab."""

    model: gr.Radio
    typed: gr.Textbox  # a text of the visitor's own; empty: the one in Play is shown
    panel_choice: gr.Radio
    text: gr.HTML
    caption: gr.HTML  # which letter is selected
    panel: gr.HTML
    costs: gr.HTML  # of the parts of the model


def build_inside_tab(library, default):
    """Build the tab in the Blocks being built; returns its InsideView."""
    gr.HTML("<h2>Look inside a model</h2>", elem_classes="screen-reader-only")
    with gr.Row(elem_id="inside"):
        with gr.Column(scale=2, min_width=0, elem_id="inside-left"):
            left = build_text(library, default)
        with gr.Column(scale=3, min_width=0, elem_id="inside-right"):
            right = {
                "panel_choice": build_panel_choice(),
                "costs": gr.HTML(elem_id="inside-costs"),
                "panel": gr.HTML(elem_id="inside-shown"),
            }
    view = InsideView(**left, **right)
    connect_inside_events(library, view)
    return view


def build_text(library, default):
    """Build the text and what chooses it; returns the components by their names in InsideView."""
    model = gr.Radio(
        library.names(default),
        value=default,
        label="Model to look inside",
        interactive=True,  # which Gradio sees only of components whose values it sends
        elem_id="inside-model",
    )
    text = gr.HTML(elem_id="inside-text")
    caption = gr.HTML(elem_id="inside-caption")
    typed = gr.Textbox(
        label="A text of your own",
        placeholder="Type a text, and look at what comes next. Empty: the text in Play.",
        lines=2,
        max_lines=6,
        max_length=MAX_TEXT_CHARS,
        interactive=True,
        elem_id="inside-typed",
    )
    return {"model": model, "text": text, "caption": caption, "typed": typed}


def build_panel_choice():
    return gr.Radio(
        [(title, name) for name, title in PANELS.items()],
        value=next(iter(PANELS)),
        label="What to look at",
        show_label=False,
        interactive=True,
        elem_id="inside-panel-choice",
    )
