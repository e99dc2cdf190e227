"""The events of the Play tab: requests for a text, the generation itself, Hub models."""

import threading
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial

import gradio as gr

from charlm.errors import CharlmError
from charlm.serving.clients import client_of
from charlm.serving.generate import generate, sample_config
from charlm.ui.events import GENERATE_EVENT, QUIET, SLOW, visitor_error
from charlm.ui.link import SETTINGS, Link
from charlm.ui.play_html import hub_notice_html, model_summary_html, progress_html
from charlm.ui.readers import read_updates


class InFlight:
    """The generation that each session has in flight, so that Stop or a newer request ends it."""

    def __init__(self):
        self._stops = {}  # session -> the threading.Event that ends its generation

    def begin(self, session):
        """End the session's generation; returns the Event that ends the one beginning now."""
        self.stop(session)
        self._stops[session] = stop = threading.Event()
        return stop

    def stop(self, session):
        """End the session's generation, if it has one."""
        if stop := self._stops.pop(session, None):
            stop.set()

    def end(self, session, stop):
        """Remove the ended generation that `stop` belongs to."""
        if self._stops.get(session) is stop:
            del self._stops[session]


@dataclass(frozen=True)
class Requests:
    """The requests for a text: each ends the generation in flight and changes `count`.

    The change triggers the one event that generates. The browser starts it again only when the
    previous generation has ended (`always_last`), so the last update of an ended generation can
    never be shown after a newer one began.
    """

    count: gr.Number  # not a gr.State: the browser learns of its changes from queued events only
    in_flight: InFlight

    def event(self, prepared=None):
        """Return the arguments of an event that requests a text.

        `prepared`: a gr.State that the preceding event sets to whether the request is to be made.
        Each such event needs its own, so that it cannot suppress the requests of others.
        """
        inputs = [self.count, prepared] if prepared else [self.count]
        return {"fn": self._request, "inputs": inputs, "outputs": self.count, **QUIET}

    def _request(self, request: gr.Request, count, prepared=True):
        if prepared:
            self.in_flight.stop(request.session_hash)
        return (count or 0) + prepared


def connect_play_events(library, controls, text, status, readers):
    """Connect the events of the tab; returns Requests, by which other events request a text."""
    requests = Requests(gr.Number(0, visible="hidden", precision=0), InFlight())
    outputs = [text, status, controls.notice]
    connect_generation(library, controls, requests, outputs, readers)
    gr.on([controls.generate.click, controls.prompt.submit], **requests.event())
    for button, prompt in controls.examples:
        button.click(partial(str, prompt), None, controls.prompt, **QUIET).then(**requests.event())
    summary = partial(model_summary_html, library)
    chosen = controls.model.input(summary, controls.model, controls.model_summary, **QUIET)
    chosen.then(**requests.event())

    def stop(request: gr.Request):
        requests.in_flight.stop(request.session_hash)

    controls.stop.click(stop, None, None, **QUIET)
    if controls.hub_source:
        connect_hub_source(library, controls, requests)
    return requests


def connect_generation(library, controls, requests, outputs, readers):
    """Connect the event that generates, triggered by a change of `requests.count`."""
    in_flight = requests.in_flight

    async def stream_updates(request: gr.Request, prompt, model, *settings):
        session, progress = request.session_hash, None
        stop = in_flight.begin(session)
        try:
            config = sample_config(*settings)
            values = dict(zip(SETTINGS, settings, strict=True)) | {"seed": config.seed}
            client = client_of(request)
            revision = await library.pools.loading.run(client, library.revision, model)
            link = Link(prompt, model, revision, tuple(values.values()))
            updates = generate(library, prompt, model, config, client, stop.is_set)
            async with aclosing(updates):
                async for progress in read_updates(updates, readers, session):
                    yield progress_html(progress, link)
        except CharlmError as error:
            if progress:  # keep the text generated so far
                yield progress_html(replace(progress, done=True, stopped=True), link)
            if not stop.is_set():
                raise visitor_error(error) from None
        finally:
            in_flight.end(session, stop)

    requests.count.change(
        stream_updates,
        [controls.prompt, controls.model, *controls.settings],
        outputs,
        # most of an update's cost is postprocessing, which plain strings do not need
        postprocess=False,
        concurrency_limit=None,
        trigger_mode="always_last",
        show_progress="hidden",
        api_name=GENERATE_EVENT,
        api_visibility="private",
    )


def connect_hub_source(library, controls, requests):
    """Connect the field for Hub models: fetch the model, choose it, and request a text."""

    async def fetch(request: gr.Request, source):
        skip, pools, client = gr.skip(), library.pools, client_of(request)
        yield [hub_notice_html([f"Fetching {source.strip()} …"]), skip, skip, skip, False]
        try:
            name = await pools.fetching.run(client, library.add, source)
        except CharlmError as error:
            yield [hub_notice_html([str(error)]), skip, skip, skip, False]
            return
        chosen = gr.update(choices=library.names(), value=name)
        notices = await pools.loading.run(client, library.notices)
        summary = await pools.loading.run(client, model_summary_html, library, name)
        yield [hub_notice_html(notices), chosen, summary, "", True]

    source, fetched = controls.hub_source, gr.State(False)
    outputs = [controls.hub_notice, controls.model, controls.model_summary, source, fetched]
    event = source.submit(fetch, source, outputs, trigger_mode="multiple", **SLOW)
    event.then(**requests.event(fetched))
