"""The events of the Look inside tab, which all show one panel on one letter of a text."""

from contextlib import aclosing
from dataclasses import replace

import gradio as gr

from charlm.errors import CharlmError, explain_os_error
from charlm.models.parts import PartError, parse_parts
from charlm.serving.clients import client_of
from charlm.ui.events import FAST
from charlm.ui.inside_html import ALL_ON_HTML, caption_html, inspected_html, off_html
from charlm.ui.inside_panels import PANEL_UPDATES
from charlm.ui.inside_request import INSPECT, parse_inside_request
from charlm.ui.play_html import dropped_notice_html, notices_html
from charlm.ui.shown_text import MAX_JSON_CHARS
from charlm.ui.text_requests import InFlight, Requests


def connect_inside_events(library, view):
    """Connect the events; the browser requests them by a hidden button, see inside.js."""
    request = gr.Textbox(visible="hidden", max_length=MAX_JSON_CHARS)
    requests = Requests(gr.Number(0, visible="hidden", precision=0), request, InFlight())
    button = gr.Button(visible="hidden", elem_id="inspect")
    button.click(trigger_mode="always_last", **requests.event(INSPECT))
    outputs = {"text": view.text, "caption": view.caption}
    outputs |= {"panel": view.panel, "costs": view.costs}

    async def show(request: gr.Request, text):
        session = request.session_hash
        stop = requests.in_flight.begin(session)
        updates = inspect(library, client_of(request), text, stop.is_set)
        try:
            async with aclosing(updates):
                async for update in updates:
                    if stop.is_set():
                        return
                    yield [update.get(name, gr.skip()) for name in outputs]
        finally:
            requests.in_flight.end(session, stop)

    requests.count.change(
        show,
        requests.request,
        [*outputs.values()],
        concurrency_limit=None,
        trigger_mode="always_last",
        **FAST,
    )


async def inspect(library, client, text, stop_requested):
    """Yield what a request changes on the page: HTML by the names of the outputs.

    `text`: the request, see inside_request. Errors are shown in the panel.
    """
    try:
        wanted = parse_inside_request(text, library.limits)
        inspected = await library.pools.loading.run(client, wanted.inspected, library)
        update = {"caption": caption_html(inspected, wanted.serial)}
        if not wanted.has_text:
            update |= {"text": inspected_html(inspected) + dropped_notice_html(inspected)}
        yield update
        inspected = replace(inspected, off=parse_parts(inspected.network, wanted.off))
        updates = PANEL_UPDATES[wanted.panel](library, client, wanted, inspected, stop_requested)
        async with aclosing(updates):
            async for update in updates:
                if "panel" in update:
                    update |= {"panel": off_html(inspected) + update["panel"]}
                yield update
    except PartError as error:
        yield {"panel": notice_html(str(error)) + ALL_ON_HTML, "costs": ""}
    except CharlmError as error:
        yield {"panel": notice_html(str(error)), "costs": ""}
    except OSError as error:
        yield {"panel": notice_html(explain_os_error(error)), "costs": ""}


def notice_html(message):
    return notices_html([f"{message[:1].upper()}{message[1:]}."])
