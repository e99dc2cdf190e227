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
from charlm.serving.parameters import MAX_INT, MAX_NAME_CHARS, Integer, ParameterError, Text
from charlm.ui.events import FAST, visitor_error
from charlm.ui.readers import read_updates
from charlm.ui.shown_text import request_parts
from charlm.ui.snapshot_html import MAX_STEPS, SLIDER_HTML
from charlm.ui.text_html import text_html
from charlm.ui.text_requests import InFlight, Requests

CHARS = 300  # of a text
MAX_PROMPT = 200  # characters
MAX_JSON_CHARS = 10_000  # of a request
SEED = 1
WRITE = "write_steps"


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
            interactive=True,
            max_length=MAX_PROMPT,
            scale=3,
            min_width=0,
            elem_id="snapshot-prompt",
        )
        seed = gr.Number(
            SEED,
            interactive=True,
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


@dataclass(frozen=True)
class StepsRequest:
    """A request for the texts that some steps of a run write."""

    run: str
    prompt: str
    seed: int
    steps: list  # in the order in which they are written


def parse_steps_request(text):
    """Return the StepsRequest that the browser sent as JSON. Raises CharlmError."""
    _, parts = request_parts(text, [WRITE])
    checks = {"run": Text("", MAX_NAME_CHARS), "prompt": Text("", MAX_PROMPT)}
    checks |= {"seed": Integer(SEED, 0, MAX_INT)}
    values = {name: check.check(name, parts.get(name)) for name, check in checks.items()}
    steps, step = parts.get("steps"), Integer(0, 0, MAX_INT)
    if not isinstance(steps, list) or len(steps) > MAX_STEPS:
        raise ParameterError("steps", steps, f"a list of at most {MAX_STEPS} steps")
    return StepsRequest(**values, steps=[step.check("steps", each) for each in steps])


def connect_snapshots(library, view, readers):
    """Connect the event that writes a text with each of a run's snapshots."""
    request = gr.Textbox(visible="hidden", max_length=MAX_JSON_CHARS)
    requests = Requests(gr.Number(0, visible="hidden", precision=0), request, InFlight())
    for trigger in (view.write.click, view.prompt.submit):
        trigger(trigger_mode="always_last", **requests.event(WRITE))

    async def write(request: gr.Request, text):
        session = request.session_hash
        stop = requests.in_flight.begin(session)
        try:
            wanted, client = parse_steps_request(text), client_of(request)
            texts = texts_of_steps(library, client, wanted, stop.is_set, readers, session)
            async with aclosing(texts):
                async for data in texts:
                    yield data
        except CharlmError as error:
            if not stop.is_set():
                raise visitor_error(error) from None
        finally:
            requests.in_flight.end(session, stop)

    requests.count.change(
        write,
        requests.request,
        view.written,
        concurrency_limit=None,
        trigger_mode="always_last",
        **FAST,
    )


async def texts_of_steps(library, client, wanted, stop_requested, readers, session):
    """Yield the texts of a StepsRequest as data for snapshots.js, after each text.

    It ends when stop_requested() returns true, or when the session stops reading. Raises
    CharlmError, as for a step that was not kept.
    """
    run, prompt, seed, texts = wanted.run, wanted.prompt, wanted.seed, {}
    config = SampleConfig(max_new_chars=min(CHARS, library.limits.max_new_chars), seed=seed)
    for step in dict.fromkeys(wanted.steps):
        request = TextRequest(prompt, f"{run}#{step}", config)
        updates = generate(library, request, client, stop_requested)
        async with aclosing(updates):
            read = [progress async for progress in read_updates(updates, readers, session)]
        if stop_requested() or not read or not read[-1].done:
            return
        progress = read[-1]
        texts[step] = text_html(progress.text, progress.prompt_length)
        data = {"run": run, "prompt": prompt, "seed": seed, "texts": texts}
        data = json.dumps(data | {"dropped": progress.dropped}, ensure_ascii=False)
        yield f'<div hidden data-texts="{escape(data)}"></div>'
