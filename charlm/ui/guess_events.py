"""The events of the Guess tab: the server sends a passage once, and the browser runs the game."""

import json

import gradio as gr

from charlm.errors import CharlmError, explain_os_error
from charlm.inspection.shannon import symbol_of
from charlm.serving.clients import client_of
from charlm.serving.passages import find_passage
from charlm.ui.events import FAST, QUIET
from charlm.ui.guess_request import MAX_JSON_CHARS, code_of, parse_guess_request
from charlm.ui.inside_events import notice_html
from charlm.ui.text_html import text_html


def connect_guess_events(library, notice):
    """Connect the event that sends a passage; the browser requests it, see guess.js."""
    request = gr.Textbox(visible="hidden", max_length=MAX_JSON_CHARS)
    answer = gr.Textbox(visible="hidden")
    button = gr.Button(visible="hidden", elem_id="guess-request")

    async def send(request: gr.Request, text):
        try:
            sources = parse_guess_request(text)
            return [passage_json(await find_passage(library, client_of(request), *sources)), ""]
        except CharlmError as error:
            return ["", notice_html(str(error))]
        except OSError as error:
            return ["", notice_html(explain_os_error(error))]

    sent = button.click(
        send,
        request,
        [answer, notice],
        js="() => [window.charlm.passageRequest()]",
        concurrency_limit=None,
        trigger_mode="always_last",
        **FAST,
    )
    sent.then(None, answer, None, js="(answer) => window.charlm.startGuessing(answer)", **QUIET)


def passage_json(passage):
    """Return a Passage as the game reads it.

    "letters" lists [the characters shown before the letter, the letter, its symbol].
    """
    text, ends = passage.text, [place + 1 for place in passage.places]
    starts = [passage.places[0], *ends]
    letters = [
        [text[start:place], text[place], symbol_of(text[place])]
        for start, place in zip(starts, passage.places, strict=False)
    ]
    parts = {"code": code_of(passage.source), "origin": passage.origin, "letters": letters}
    parts |= {"html": text_html(passage.context), "symbols": passage.symbols}
    return json.dumps(parts | {"models": passage.players}, allow_nan=False)
