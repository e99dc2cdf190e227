"""The events of the Look inside tab: what the model does at a letter, computed for one panel."""

import asyncio
import time
from contextlib import aclosing
from dataclasses import replace

import gradio as gr

from charlm.errors import CharlmError, quote
from charlm.models.parts import PartError, parse_parts, parts_of
from charlm.serving.clients import client_of
from charlm.serving.inspected_text import (
    attention_at,
    bits_without,
    chances,
    changed_by,
    continuation,
    part_costs,
)
from charlm.ui.change_html import change_html
from charlm.ui.events import FAST, QUIET
from charlm.ui.inside_html import (
    ALL_ON_HTML,
    caption_html,
    context_html,
    heads_html,
    inspected_html,
    lens_html,
    off_html,
    panel_html,
)
from charlm.ui.inside_request import INSPECT, parse_inside_request
from charlm.ui.parts_html import comparison_html, costs_html
from charlm.ui.play_html import dropped_notice_html, notices_html
from charlm.ui.shown_text import MAX_JSON_CHARS
from charlm.ui.text_requests import InFlight, Requests

CONTINUED = 160  # characters that a model goes on with, with all parts and without some
COSTS_SECONDS = 0.25  # at least, between updates of the table of parts
NO_PARTS = "The bigram model has no heads, no blocks and no parts: it is one table of pairs."


def connect_inside_events(library, view):
    """Connect the events; the browser requests them by a hidden button, see inside.js."""
    request = gr.Textbox(visible="hidden", max_length=MAX_JSON_CHARS)
    requests = Requests(gr.Number(0, visible="hidden", precision=0), request, InFlight())
    button = gr.Button(visible="hidden", elem_id="inspect")
    button.click(trigger_mode="always_last", **requests.event(INSPECT))

    async def show(request: gr.Request, text):
        session = request.session_hash
        stop = requests.in_flight.begin(session)
        updates = panel_updates(library, client_of(request), text)
        try:
            async with aclosing(updates):
                async for update in updates:
                    if stop.is_set():
                        return
                    yield update
        except CharlmError as error:
            yield gr.skip(), gr.skip(), notices_html([str(error)]), gr.skip()
        finally:
            requests.in_flight.end(session, stop)

    shown = requests.count.change(
        show,
        requests.request,
        [view.text, view.caption, view.panel, view.costs],
        concurrency_limit=None,
        trigger_mode="always_last",
        **FAST,
    )
    shown.then(None, None, None, js="() => window.charlm.inspected()", **QUIET)


async def panel_updates(library, client, text):
    """Yield HTML for the text, its caption, the panel and the costs, or gr.skip() for each."""
    wanted = parse_inside_request(text, library.limits)
    inspected = await library.pools.loading.run(client, wanted.inspected, library)
    shown = gr.skip() if wanted.has_text else inspected_html(inspected)
    yield (
        shown,
        caption_html(inspected, wanted.serial) + dropped_notice_html(inspected),
        gr.skip(),
        gr.skip(),
    )
    try:
        inspected = replace(inspected, off=parse_parts(inspected.network, wanted.off))
    except PartError as error:
        yield gr.skip(), gr.skip(), notices_html([str(error)]) + ALL_ON_HTML, gr.skip()
        return
    async for body, *costs in PANEL_UPDATES[wanted.panel](library, client, wanted, inspected):
        panel = gr.skip() if body is None else off_html(inspected) + body
        yield gr.skip(), gr.skip(), panel, *(costs or [gr.skip()])


async def context_updates(library, client, wanted, inspected):
    alternatives = await chances(library, client, inspected, inspected.off)
    yield [context_html(inspected, alternatives, inspected.tokenizer.chars)]


async def heads_updates(library, client, wanted, inspected):
    attention = await attention_at(library, client, inspected)
    none = panel_html("heads", NO_PARTS, "")
    yield [heads_html(inspected, attention) if attention["layers"] else none]


async def lens_updates(library, client, wanted, inspected):
    yield [lens_html(inspected, await attention_at(library, client, inspected))]


async def parts_updates(library, client, wanted, inspected):
    parts, off = parts_of(inspected.network), inspected.off
    if not parts:
        yield panel_html("parts", NO_PARTS, ""), ""
        return
    require_text(inspected.scored)
    if off:
        bits = await bits_without(library, client, inspected)
        letters = [await chances(library, client, inspected, some) for some in ((), off)]
        sides = inspected, letters, bits, inspected.tokenizer.chars
        yield [comparison_html(*sides, [None, None])]
        writing = [continuation(library, client, inspected, some, CONTINUED) for some in ((), off)]
        texts = await asyncio.gather(*writing)
        yield [comparison_html(*sides, texts)]
    else:
        yield [comparison_html(inspected, None, None, (), None)]
    if not wanted.has_costs:
        async for table in cost_tables(library, client, inspected, parts):
            yield None, table


async def cost_tables(library, client, inspected, parts):
    """Yield the table of parts as their costs become known."""
    costs, due = {}, 0
    lengths = len(inspected.scored), len(inspected.text)
    async for part, bits in part_costs(library, client, inspected):
        costs[part] = bits
        if part == parts[-1] or time.monotonic() >= due:
            yield costs_html(parts, costs, *lengths)
            due = time.monotonic() + COSTS_SECONDS


async def change_updates(library, client, wanted, inspected):
    require_text(inspected.text[: inspected.index])
    index, other = wanted.changed, wanted.other
    if not 0 <= index < inspected.index:
        index, other = inspected.index - 1, ""
    if other:
        char = inspected.tokenizer.clean(other).text[:1]
        if not char:
            raise CharlmError(
                f"{inspected.model} does not know {quote(other)}; type another letter"
            )
    else:
        char = await likeliest_other(library, client, inspected, index)
    shift = len(inspected.context) - inspected.index
    changes = await changed_by(library, client, inspected, index + shift, char)
    yield [change_html(inspected, index, char, changes)]


async def likeliest_other(library, client, inspected, index):
    """Return the likeliest letter in the place of another one."""
    top = (await attention_at(library, client, replace(inspected, index=index)))["lens"][-1]
    return next(char for char, _ in top if char != inspected.text[index])


def require_text(text):
    if not text:
        raise CharlmError("there is no letter before this one; select a later one, or type a text")


PANEL_UPDATES = {
    "context": context_updates,
    "heads": heads_updates,
    "lens": lens_updates,
    "parts": parts_updates,
    "change": change_updates,
}
