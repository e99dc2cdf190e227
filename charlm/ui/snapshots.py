"""The texts that each step of a run writes: the slider under the loss curve."""

import json
from contextlib import aclosing
from dataclasses import dataclass
from html import escape

import gradio as gr

from charlm.config import SampleConfig
from charlm.errors import CharlmError
from charlm.serving.clients import client_of
from charlm.serving.generate import TextRequest, generate
from charlm.ui.events import FAST, QUIET, visitor_error
from charlm.ui.snapshot_html import MAX_STEPS, SLIDER_HTML
from charlm.ui.text_html import text_html
from charlm.ui.text_requests import InFlight

CHARS = 300  # of a text
MAX_PROMPT = 200  # characters
MAX_STEPS_CHARS = 12 * MAX_STEPS  # of the list of steps that a request names
SEED = 1
WRITE_JS = "(run, prompt, seed, _) => [run, prompt, seed, window.charlm.stepsToWrite(prompt, seed)]"


@dataclass(frozen=True)
class SnapshotsView:
    """The components below the loss curve."""

    steps: gr.HTML  # data, see snapshot_html.steps_html
    prompt: gr.Textbox
    seed: gr.Number
    write: gr.Button
    written: gr.HTML  # data: the texts written for this visitor


def build_snapshots():
    """Build the slider, the prompt and the text; returns the SnapshotsView."""
    gr.HTML(SLIDER_HTML, elem_id="snapshots")
    with gr.Row(elem_id="snapshot-form"):
        prompt = gr.Textbox(
            label="Let every step write",
            placeholder="ROMEO:",
            max_length=MAX_PROMPT,
            scale=3,
            min_width=0,
            elem_id="snapshot-prompt",
        )
        seed = gr.Number(
            SEED,
            label="Seed",
            precision=0,
            minimum=0,
            scale=1,
            min_width=0,
            elem_id="snapshot-seed",
        )
        write = gr.Button("Write", size="sm", elem_id="snapshot-write", elem_classes="pill")
    gr.HTML('<div id="sample"></div>')
    data = {"padding": False, "visible": True}
    steps = gr.HTML(elem_id="snapshot-data", **data)
    written = gr.HTML(elem_id="snapshot-written", **data)
    return SnapshotsView(steps, prompt, seed, write, written)


def connect_snapshots(library, run, view):
    """Connect the event that writes a text with each of a run's snapshots; `run`: its choice."""
    steps = gr.Textbox(visible="hidden", max_length=MAX_STEPS_CHARS)
    in_flight = InFlight()

    async def write(request: gr.Request, *inputs):
        session = request.session_hash
        stop = in_flight.begin(session)
        try:
            async with aclosing(texts_of_steps(library, client_of(request), *inputs)) as texts:
                async for text in texts:
                    if stop.is_set():
                        return
                    yield text
        except CharlmError as error:
            if not stop.is_set():
                raise visitor_error(error) from None
        finally:
            in_flight.end(session, stop)

    def end(request: gr.Request):
        in_flight.stop(request.session_hash)

    requested = [view.write.click, view.prompt.submit]
    gr.on(requested, end, None, None, **QUIET)
    event = {"inputs": [run, view.prompt, view.seed, steps], "outputs": view.written}
    gr.on(
        requested,
        write,
        **event,
        js=WRITE_JS,
        concurrency_limit=None,
        trigger_mode="always_last",
        **FAST,
    )


async def texts_of_steps(library, client, run, prompt, seed, steps):
    """Yield the texts of some steps of a run, as data for snapshots.js, after each text.

    `steps`: numbers, separated by commas, in the order in which they are written. Raises
    CharlmError.
    """
    known, texts = library.snapshots(run), {}
    wanted = [int(step) for step in steps.split(",") if step.isdecimal() and len(step) <= 10]
    config = SampleConfig(max_new_chars=min(CHARS, library.limits.max_new_chars), seed=seed)
    for step in dict.fromkeys(wanted):
        if step not in known:
            continue
        request = TextRequest(prompt, f"{run}#{step}", config)
        last = [progress async for progress in generate(library, request, client)][-1]
        texts[step] = text_html(last.text, last.prompt_length)
        data = {"run": run, "prompt": prompt, "seed": seed, "dropped": last.dropped, "texts": texts}
        yield f'<div hidden data-texts="{escape(json.dumps(data, ensure_ascii=False))}"></div>'
