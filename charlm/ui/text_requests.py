"""How the page requests a text, from its controls and the text that it shows."""

import threading
from dataclasses import dataclass

import gradio as gr

from charlm.ui.events import QUIET
from charlm.ui.link import Link
from charlm.ui.shown_text import BRANCH, GENERATE, LINK, LOOK, next_text, parse_request

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
    request: gr.Textbox  # the request as JSON, see `shown_text`
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


def with_request(action):
    """Return a script that replaces the last input of an event by a request for `action`."""
    return f"(...inputs) => [...inputs.slice(0, -1), window.charlm.request({action!r})]"


async def requested_text(library, client, allowed, prompt, model, *others):
    """Return the Link and the TextRequest of an event's inputs, which request an `allowed` action.

    Raises CharlmError.
    """
    *settings, request = others
    action, shown = parse_request(request, library.limits, allowed)
    model = shown.link.model if action in (LINK, LOOK, BRANCH) else model
    revision = await library.pools.loading.run(client, library.revision, model)
    return next_text(action, Link(prompt, model, revision, tuple(settings)), shown)
