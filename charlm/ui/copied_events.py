"""The button "Copied?" of the Play tab, and the endpoint /copied."""

from dataclasses import dataclass

import gradio as gr

from charlm.errors import CharlmError, explain_os_error
from charlm.serving.clients import client_address, client_of
from charlm.serving.copied import MissingTextError
from charlm.serving.owners import Visitor
from charlm.serving.parameters import MAX_INT, Integer, Text
from charlm.ui.copied_html import copied_html, missing_html, notice_html
from charlm.ui.docstrings import MODEL, docstring
from charlm.ui.events import SLOW, visitor_errors
from charlm.ui.shown_text import LOOK, Shown, request_parts, shown_of

MAX_SECRET = 64  # characters
READING = "Reading {model}'s training text, once: this takes some seconds …"
FETCHING = "Fetching Tiny Shakespeare …"


def add_copied_endpoint(library, texts, default):
    """Register /copied in the Blocks being built; `texts`: the TrainingTexts."""

    async def copied(request: gr.Request, text: str, model: str = default) -> dict:
        by, client = Visitor(client_address(request)), client_of(request)
        with visitor_errors():
            return await library.pools.copying.run(client, texts.compare, text, model, by)

    copied.__doc__ = docstring(
        "Find what of a text stands word for word in the text that a model was trained on.",
        text="the text",
        model=MODEL,
    )
    gr.api(copied, api_name="copied", concurrency_limit=None)


@dataclass(frozen=True)
class CopiedRequest:
    """A request of the button."""

    shown: Shown
    owner: str  # the browser's secret
    serial: int  # of the request, which the answer repeats
    fetch: bool  # whether to download the training text first


def parse_copied_request(text, limits):
    """Return the CopiedRequest that the browser sent as JSON. Raises CharlmError."""
    _, parts = request_parts(text, [LOOK])
    owner = Text("", MAX_SECRET).check("owner", parts.get("owner"))
    serial = Integer(0, 0, MAX_INT).check("serial", parts.get("serial"))
    return CopiedRequest(shown_of(parts, limits), owner, serial, parts.get("fetch") is True)


def connect_copied(library, texts, controls, requests):
    """Connect the button to the HTML beside the text; copied.js shows it, and paints the text."""

    async def compare(request: gr.Request, text):
        with visitor_errors():
            wanted = parse_copied_request(text, library.limits)
        client, by = client_of(request), Visitor(client_address(request), wanted.owner)
        try:
            async for html in comparison(library.pools, texts, client, by, wanted):
                yield html
        except MissingTextError as error:
            yield missing_html(error, wanted.serial)
        except CharlmError as error:
            yield notice_html(str(error), wanted.serial)
        except OSError as error:
            yield notice_html(explain_os_error(error), wanted.serial)

    inputs = {"inputs": requests.request, "js": "() => window.charlm.copiedRequest()"}
    button = controls.copied
    button.click(compare, outputs=controls.copies, trigger_mode="always_last", **inputs, **SLOW)


async def comparison(pools, texts, client, by, wanted):
    """Yield the HTML of what of a text is copied, and before it what there is to wait for."""
    text, model = wanted.shown.text, wanted.shown.link.model
    if wanted.fetch:
        yield notice_html(FETCHING, wanted.serial)
        await pools.fetching.run(client, texts.fetch, model, by)
    if not await pools.loading.run(client, texts.is_indexed, model, by):
        yield notice_html(READING.format(model=model), wanted.serial)
    found = await pools.copying.run(client, texts.compare, text, model, by)
    yield copied_html(found, text, model, wanted.serial)
