"""The events of the mode Compare: the comparison, and the chances of a letter in each text."""

from contextlib import aclosing
from dataclasses import replace
from functools import partial

import gradio as gr

from charlm.serving.clients import client_of
from charlm.serving.comparison import compare, compared_chances, first_difference, surprises
from charlm.serving.generate import sample_config
from charlm.ui.compare_html import compared_chances_html, summary_html, written_html
from charlm.ui.compare_request import (
    COMPARE,
    COMPARE_LOOK,
    MAX_WRITERS,
    parse_chances_request,
)
from charlm.ui.events import FAST, visitor_errors
from charlm.ui.page_load import find_linked_model
from charlm.ui.readers import read_updates
from charlm.ui.text_requests import with_request
from charlm.ui.writers_html import default_writers, writers_html


def connect_compare_events(library, view, requests):
    """Connect the events that compare.js requests by hidden buttons."""
    button = gr.Button(visible="hidden", elem_id="compare")
    button.click(trigger_mode="always_last", **requests.event(COMPARE))

    async def look(request: gr.Request, text):
        with visitor_errors():
            wanted = parse_chances_request(text, library.limits)
            config = sample_config(1, *wanted.comparison.link.settings[1:])
            place = wanted.comparison.writers, config, wanted.texts, wanted.index
            found = await compared_chances(library, client_of(request), *place)
            return compared_chances_html(found, [text for text, _ in wanted.texts], wanted.index)

    selected = gr.Button(visible="hidden", elem_id="compare-look")
    options = {"trigger_mode": "always_last", "queue": False, **FAST}
    inputs = {"inputs": requests.request, "js": with_request(COMPARE_LOOK)}
    selected.click(look, outputs=view.chances, **inputs, **options)


async def comparison_updates(library, client, wanted, stop_requested, readers, session):
    """Yield the HTML of a comparison, in the order of `CompareView.outputs`.

    `wanted`: the ComparisonRequest. `readers`, `session`: see `read_updates`.
    """
    pool = library.pools.loading
    if not wanted.writers:
        writers = await pool.run(client, default_writers, library, wanted.link.model)
        wanted = wanted.with_writers(writers)
    form = await pool.run(client, writers_html, library, wanted.writers)
    others = [""] * (MAX_WRITERS - len(wanted.writers))
    chances = ""  # of a letter of the texts before
    config, find = sample_config(*wanted.link.settings), partial(find_writer, library, client)
    place = wanted.writers, wanted.link.prompt, config, client, find, stop_requested
    comparison, updates = None, read_updates(compare(library, *place), readers, session)
    async with aclosing(updates):
        async for comparison in updates:
            mark = first_difference([written.text for written in comparison.texts])
            columns = [written_html(written, mark) for written in comparison.texts]
            columns += others
            yield [form, *columns, summary_html(wanted, comparison, mark), chances]
            chances = gr.skip()
    if comparison and comparison.done and not stop_requested():  # else its reader left
        bits = await surprises(library, comparison, client)
        yield [form, *columns, summary_html(wanted, comparison, mark, bits), chances]


async def find_writer(library, client, writer):
    """Return a Writer as its model is here, fetched first if it is on the Hub, and a notice."""
    pools = library.pools
    known = "/" not in writer.model or writer.model in library.names()
    pool = pools.loading if known else pools.fetching
    model, notice = await pool.run(client, find_linked_model, library, writer)
    revision = await pools.loading.run(client, library.revision, model)
    return replace(writer, model=model, revision=revision), notice
