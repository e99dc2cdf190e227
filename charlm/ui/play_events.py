"""The events of the Play tab: requests for a text, the generation itself, Hub models."""

import asyncio
from contextlib import aclosing
from dataclasses import replace
from functools import partial

import gradio as gr

from charlm.errors import CharlmError
from charlm.serving.clients import client_of
from charlm.serving.generate import generate
from charlm.ui.compare_events import comparison_updates, connect_compare_events
from charlm.ui.compare_request import requested_comparison
from charlm.ui.events import FAST, GENERATE_EVENT, QUIET, SLOW, until_done, visitor_error
from charlm.ui.letter_events import connect_letters, connect_surprise
from charlm.ui.play_html import (
    fetching,
    loading_html,
    model_summary_html,
    notices_html,
    progress_html,
)
from charlm.ui.readers import read_updates
from charlm.ui.shown_text import ADDRESS, BRANCH, CONTINUE, MAX_JSON_CHARS, TEXT_ACTIONS
from charlm.ui.text_requests import ENDED_JS, InFlight, Requests, requested_text


def connect_play_events(library, controls, text, status, chances, compared, readers):
    """Connect the events of the tab; returns Requests, by which other events request a text.

    `compared`: the CompareView.
    """
    request = gr.Textbox(visible="hidden", max_length=MAX_JSON_CHARS)
    requests = Requests(gr.Number(0, visible="hidden", precision=0), request, InFlight())
    outputs = [text, status, controls.notice, chances]
    connect_generation(library, controls, requests, outputs, compared, readers)
    connect_compare_events(library, compared, requests)
    gr.on([controls.generate.click, controls.prompt.submit], **requests.event())
    connect_letters(library, controls, requests, outputs)
    for action, name in ((BRANCH, "branch"), (ADDRESS, "reopen")):  # the browser clicks them
        button = gr.Button(visible="hidden", elem_id=name)
        button.click(trigger_mode="always_last", **requests.event(action))
    connect_surprise(library, controls, requests)
    controls.go_on.click(**requests.event(CONTINUE))
    for button, prompt in controls.examples:
        button.click(partial(str, prompt), None, controls.prompt, **QUIET).then(**requests.event())
    summary = partial(model_summary_html, library)
    chosen = controls.model.input(
        summary, controls.model, controls.model_summary, trigger_mode="always_last", **QUIET
    )
    chosen.then(**requests.event())

    def stop(request: gr.Request):
        requests.in_flight.stop(request.session_hash)

    controls.stop.click(stop, None, None, **QUIET)
    if controls.hub_source:
        connect_hub_source(library, controls, requests)
    return requests


def connect_generation(library, controls, requests, outputs, compared, readers):
    """Connect the event that generates, triggered by a change of `requests.count`."""
    in_flight = requests.in_flight
    kept, kept_comparison = ([gr.skip()] * len(some) for some in (outputs, compared.outputs))

    async def stream_updates(request: gr.Request, *inputs):
        session, client, model = request.session_hash, client_of(request), inputs[1]
        stop, progress = in_flight.begin(session), None
        try:
            if wanted := requested_comparison(inputs, library.limits):
                place = library, client, wanted, stop.is_set, readers, session
                async with aclosing(comparison_updates(*place)) as updates:
                    async for update in updates:
                        yield [*kept, *update]
                return
            if not library.is_loaded(model):
                yield [gr.skip(), loading_html(model), "", gr.skip(), *kept_comparison]
            link, text_request = await requested_text(library, client, TEXT_ACTIONS, *inputs)
            updates = generate(library, text_request, client, stop.is_set)
            async with aclosing(updates):
                async for progress in read_updates(updates, readers, session):
                    yield [*progress_html(progress, link), *kept_comparison]
        except CharlmError as error:
            if progress:  # keep the text generated so far
                ended = progress_html(replace(progress, done=True, stopped=True), link)
                yield [*ended, *kept_comparison]
            if not stop.is_set():
                raise visitor_error(error) from None
        finally:
            in_flight.end(session, stop)

    requests.count.change(
        stream_updates,
        [controls.prompt, controls.model, *controls.settings, requests.request],
        [*outputs, *compared.outputs],
        concurrency_limit=None,
        trigger_mode="always_last",
        api_name=GENERATE_EVENT,
        **FAST,
    ).then(None, None, None, js=ENDED_JS, **QUIET)


def connect_hub_source(library, controls, requests):
    """Connect the field for Hub models: fetch the model, choose it, and request a text."""

    async def fetch(request: gr.Request, source):
        unchanged, pools, client = [gr.skip()] * 4, library.pools, client_of(request)
        adding = asyncio.ensure_future(pools.fetching.run(client, library.add, source))
        async for _ in until_done(adding):
            sentence = fetching(source.strip(), library.followers)
            notice = notices_html([sentence], f"Fetching {source}")
            yield [notice, *unchanged, False]
        try:
            name = adding.result()
        except CharlmError as error:
            yield [notices_html([str(error)]), *unchanged, False]
            return
        chosen = gr.update(choices=library.names(name), value=name)
        notices = await pools.loading.run(client, library.notices)
        summary = await pools.loading.run(client, model_summary_html, library, name)
        yield [notices_html(notices), chosen, summary, "", "", True]

    source, fetched = controls.hub_source, gr.State(False)
    outputs = [controls.hub_notice, controls.model, controls.model_summary, source]
    outputs += [requests.request, fetched]
    event = source.submit(fetch, source, outputs, trigger_mode="multiple", **SLOW)
    event.then(**requests.event(prepared=fetched))
