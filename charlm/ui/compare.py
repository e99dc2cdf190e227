"""The layout of the mode Compare of the Play tab: writers, and their texts beside each other."""

from dataclasses import dataclass

import gradio as gr

from charlm.ui.compare_request import COMPARE, MAX_WRITERS

ONE_TEXT = "one"


@dataclass(frozen=True)
class CompareView:
    """The components of the mode; compare.css shows them while it is chosen."""

    writers: gr.HTML  # the form
    texts: list  # of gr.HTML, one for each writer
    summary: gr.HTML  # what differs
    chances: gr.HTML  # of the letter that is selected

    @property
    def outputs(self):
        """The components that a comparison updates, in the order of `comparison_updates`."""
        return [self.writers, *self.texts, self.summary, self.chances]


def build_mode():
    """Build the switch between one text and several."""
    return gr.Radio(
        [("One text", ONE_TEXT), ("Compare", COMPARE)],
        value=ONE_TEXT,
        label="What to write",
        show_label=False,
        interactive=True,  # which Gradio sees only of components whose values it sends
        elem_id="play-mode",
    )


def build_comparison():
    """Build the texts; returns the CompareView."""
    with gr.Column(elem_id="comparison"):
        writers = gr.HTML(elem_id="writers")
        with gr.Row(elem_id="compared"):
            texts = [gr.HTML(elem_id=f"compared-{number}") for number in range(MAX_WRITERS)]
        chances = gr.HTML(elem_id="compared-chances")
        summary = gr.HTML(elem_id="compared-summary")
    return CompareView(writers, texts, summary, chances)
