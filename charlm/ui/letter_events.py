"""The events on single letters: the next one, the chances of one, the surprise at each."""

import json
import math

import gradio as gr

from charlm.data.perplexity import unsure_between
from charlm.serving.clients import client_of
from charlm.serving.generate import generate
from charlm.serving.inspection import score_text
from charlm.ui.chances_html import chances_html
from charlm.ui.events import FAST, LETTER_EVENT, LOOK_EVENT, QUIET, SLOW, visitor_errors
from charlm.ui.play_html import progress_html
from charlm.ui.shown_text import LETTER, LOOK, parse_request
from charlm.ui.text_requests import ENDED_JS, requested_text, with_request

NEXT_LETTER_JS = f"""(prompt, ...inputs) =>
    [window.charlm.promptOf(prompt), ...inputs.slice(0, -1), window.charlm.request({LETTER!r})]"""


def connect_letters(library, controls, requests, outputs):
    """Connect "Next letter", and the selection of a letter: events that take half the time.

    A letter that a newer request has ended is not shown.
    """
    inputs = [controls.prompt, controls.model, *controls.settings, requests.request]

    async def add_letter(request: gr.Request, *inputs):
        stop = requests.in_flight.begin(request.session_hash)
        try:
            last = await write_letter(library, client_of(request), LETTER, inputs, stop.is_set)
            return [gr.skip()] * len(outputs) if stop.is_set() else progress_html(*last)
        finally:
            requests.in_flight.end(request.session_hash, stop)

    async def look(request: gr.Request, *inputs):
        last, _, vocabulary = await write_letter(library, client_of(request), LOOK, inputs)
        _, shown = parse_request(inputs[-1], library.limits, [LOOK])
        return chances_html(last.alternatives, shown.text, shown.index, vocabulary)

    options = {"trigger_mode": "multiple", "api_name": LETTER_EVENT, "queue": False, **FAST}
    added = controls.next_letter.click(add_letter, inputs, outputs, js=NEXT_LETTER_JS, **options)
    added.then(None, None, None, js=ENDED_JS, **QUIET)
    selected = gr.Button(visible="hidden", elem_id="look")  # letters.js clicks it
    *_, chances = outputs
    options |= {"trigger_mode": "always_last", "api_name": LOOK_EVENT}
    selected.click(look, inputs, chances, js=with_request(LOOK), **options)


async def write_letter(library, client, action, inputs, stop_requested=lambda: False):
    """Return the last Progress of a text of one letter, its Link, and the model's vocabulary."""
    with visitor_errors():
        link, text_request = await requested_text(library, client, [action], *inputs)
        async for progress in generate(library, text_request, client, stop_requested):
            last = progress
        _, tokenizer = await library.pools.loading.run(client, library.get, link.model)
    return last, link, tokenizer.chars


def connect_surprise(library, controls, requests):
    """Connect the button that shows the surprise at each letter; the browser paints it."""

    async def measure(request: gr.Request, text):
        with visitor_errors():
            _, shown = parse_request(text, library.limits, [LOOK])
            pool, client = library.pools.scoring, client_of(request)
            scores = await pool.run(client, score_text, library, shown.text, shown.link.model)
            _, tokenizer = await library.pools.loading.run(client, library.get, shown.link.model)
        return surprise_json(scores, tokenizer.vocab_size)

    bits = gr.Textbox(visible="hidden")
    inputs = {"inputs": requests.request, "js": f"() => window.charlm.request({LOOK!r})"}
    measured = controls.surprise.click(measure, outputs=bits, **inputs, **SLOW)
    measured.success(None, bits, None, js="(bits) => window.charlm.paintSurprise(bits)", **QUIET)


def surprise_json(scores, vocab_size):
    """Return the bits of each letter, and a sentence on their mean, as text_letters.js reads them.

    `scores`: see inspection.scores.
    """
    mean = scores["bits_per_char"]
    said = f"On average by {mean:.2f} bits: {unsure_between(mean * math.log(2), vocab_size)}."
    return json.dumps({"bits": [round(c["bits"], 1) for c in scores["chars"]], "said": said})
