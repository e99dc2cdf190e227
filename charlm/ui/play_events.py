"""The events of the Play tab: requests for a text, the generation itself, Hub models."""

import asyncio
import threading
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial

import gradio as gr

from charlm.errors import CharlmError
from charlm.serving.clients import client_of
from charlm.serving.generate import generate
from charlm.ui.chances_html import chances_html
from charlm.ui.events import (
    FAST,
    GENERATE_EVENT,
    LETTER_EVENT,
    QUIET,
    SLOW,
    until_done,
    visitor_error,
)
from charlm.ui.link import Link
from charlm.ui.play_html import (
    fetching,
    hub_notice_html,
    loading_html,
    model_summary_html,
    progress_html,
)
from charlm.ui.readers import read_updates
from charlm.ui.shown_text import (
    BRANCH,
    CONTINUE,
    GENERATE,
    LETTER,
    LINK,
    LOOK,
    MAX_JSON_CHARS,
    next_text,
    parse_request,
)

ENDED_JS = "() => window.charlm.textEnded()"


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
    request: gr.Textbox  # what is requested, see `shown_text`
    in_flight: InFlight

    def event(self, action=GENERATE, prepared=None):
        """Return the arguments of an event that requests a text.

        `prepared`: a gr.State that the preceding event sets to whether the request, in `request`
        already, is to be made. Each such event needs its own, so that it cannot suppress the
        requests of others.
        """
        event = {"outputs": [self.count, self.request], **QUIET}
        if prepared:
            return event | {"fn": self._make, "inputs": [self.count, self.request, prepared]}
        inputs = [self.count, self.request]
        return event | {"fn": self._make, "inputs": inputs, "js": with_request(action)}

    def _make(self, request: gr.Request, count, text, prepared=True):
        if prepared:
            self.in_flight.stop(request.session_hash)
        return (count or 0) + prepared, text


def connect_play_events(library, controls, text, status, chances, readers):
    """Connect the events of the tab; returns Requests, by which other events request a text."""
    request = gr.Textbox(visible="hidden", max_length=MAX_JSON_CHARS)
    requests = Requests(gr.Number(0, visible="hidden", precision=0), request, InFlight())
    outputs = [text, status, controls.notice, chances]
    connect_generation(library, controls, requests, outputs, readers)
    gr.on([controls.generate.click, controls.prompt.submit], **requests.event())
    connect_letters(library, controls, requests, outputs)
    other = gr.Button(visible="hidden", elem_id="branch")  # letters.js clicks it
    other.click(**requests.event(BRANCH))
    controls.go_on.click(**requests.event(CONTINUE))
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

    async def stream_updates(request: gr.Request, *inputs):
        session, progress = request.session_hash, None
        stop = in_flight.begin(session)
        try:
            client, model = client_of(request), inputs[1]
            if not library.is_loaded(model):
                yield [gr.skip(), loading_html(model), "", gr.skip()]
            link, text_request = await requested_text(library, client, *inputs)
            updates = generate(library, text_request, client, stop.is_set)
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

    generation = requests.count.change(
        stream_updates,
        [controls.prompt, controls.model, *controls.settings, requests.request],
        outputs,
        concurrency_limit=None,
        trigger_mode="always_last",
        api_name=GENERATE_EVENT,
        **FAST,
    )
    generation.then(None, None, None, js=ENDED_JS, **QUIET)


def connect_letters(library, controls, requests, outputs):
    """Connect "Next letter", and the selection of a letter: events that take half the time.

    A letter that a newer request has ended is not shown.
    """
    inputs = [controls.prompt, controls.model, *controls.settings, requests.request]

    async def letter(request, inputs, stopped):
        """Return the last Progress of a text of one letter, its Link, and the vocabulary."""
        client = client_of(request)
        try:
            link, text_request = await requested_text(library, client, *inputs)
            async for progress in generate(library, text_request, client, stopped):
                last = progress
            _, tokenizer = await library.pools.loading.run(client, library.get, link.model)
        except CharlmError as error:
            raise visitor_error(error) from None
        return last, link, tokenizer.chars

    async def add_letter(request: gr.Request, *inputs):
        stop = requests.in_flight.begin(request.session_hash)
        try:
            last = await letter(request, inputs, stop.is_set)
            return [gr.skip()] * len(outputs) if stop.is_set() else progress_html(*last)
        finally:
            requests.in_flight.end(request.session_hash, stop)

    async def look(request: gr.Request, *inputs):
        last, _, vocabulary = await letter(request, inputs, lambda: False)
        _, shown = parse_request(inputs[-1], library.limits)
        return chances_html(last.alternatives, shown.text, shown.index, vocabulary)

    options = {"queue": False, "api_name": LETTER_EVENT, **FAST}
    added = controls.next_letter.click(
        add_letter, inputs, outputs, js=with_request(LETTER), trigger_mode="multiple", **options
    )
    added.then(None, None, None, js=ENDED_JS, **QUIET)
    selected = gr.Button(visible="hidden", elem_id="look")  # letters.js clicks it
    *_, chances = outputs
    asked = {"js": with_request(LOOK), "trigger_mode": "always_last"}
    selected.click(look, inputs, chances, **asked, **options)


def with_request(action):
    """Return a script that replaces the last input of an event by a request for `action`."""
    return f"(...inputs) => [...inputs.slice(0, -1), window.charlm.request({action!r})]"


async def requested_text(library, client, prompt, model, *others):
    """Return the Link and the TextRequest of an event's inputs. Raises CharlmError."""
    *settings, request = others
    action, shown = parse_request(request, library.limits)
    model = shown.link.model if action in (LINK, LOOK, BRANCH) else model
    revision = await library.pools.loading.run(client, library.revision, model)
    return next_text(action, Link(prompt, model, revision, tuple(settings)), shown)


def connect_hub_source(library, controls, requests):
    """Connect the field for Hub models: fetch the model, choose it, and request a text."""

    async def fetch(request: gr.Request, source):
        unchanged, pools, client = [gr.skip()] * 4, library.pools, client_of(request)
        adding = asyncio.ensure_future(pools.fetching.run(client, library.add, source))
        async for _ in until_done(adding):
            sentence = fetching(source.strip(), library.followers)
            notice = hub_notice_html([sentence], f"Fetching {source}")
            yield [notice, *unchanged, False]
        try:
            name = adding.result()
        except CharlmError as error:
            yield [hub_notice_html([str(error)]), *unchanged, False]
            return
        chosen = gr.update(choices=library.names(), value=name)
        notices = await pools.loading.run(client, library.notices)
        summary = await pools.loading.run(client, model_summary_html, library, name)
        yield [hub_notice_html(notices), chosen, summary, "", "", True]

    source, fetched = controls.hub_source, gr.State(False)
    outputs = [controls.hub_notice, controls.model, controls.model_summary, source]
    outputs += [requests.request, fetched]
    event = source.submit(fetch, source, outputs, trigger_mode="multiple", **SLOW)
    event.then(**requests.event(prepared=fetched))
