"""Bounds on the bodies of requests, checked before Gradio parses them.

A body is limited in bytes while it streams in, whatever its Content-Length says, and in the number
of values that its JSON holds: six megabytes of empty lists would take a hundred times as much.
"""

import asyncio
import json
import re
from typing import NamedTuple

from charlm.errors import CharlmError, quote
from charlm.serving.asgi import HTTP_PREFIX, header, refuse, route_of

ESCAPE = 3  # bytes of JSON per byte of a text, at most: "é" is two bytes, and six as \u00e9
OVERHEAD = 262_144  # bytes of a body besides its text
MAX_VALUES = 2_000  # values and keys in a body
MAX_ARGUMENTS = 64
MAX_DEPTH = 20
MAX_ID_CHARS = 64  # of a session or an event
MAX_DIGITS = 40  # of an integer; longer ones are read as floats
MAX_BUFFERED = 64_000_000  # bytes of bodies being received at a time
SECONDS = 60  # for a body to arrive
# Matches an unterminated string, too: a search that failed would start again at each quote in it.
STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)', re.DOTALL)


class BodyError(CharlmError):
    """A body that is refused; `status` is the HTTP status of the answer."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


class Event(NamedTuple):
    """An event that a request may name."""

    name: str  # "" if it has none
    parameters: list  # the names of its parameters


class BodyCheck:
    """Middleware that bounds and checks the bodies of requests, and passes on what Gradio needs.

    `events()`: index -> Event, of the page. Of a call, it passes on the values, the session and
    which event is called; visitors have no use for Gradio's other fields.
    """

    def __init__(self, app, max_text, events):
        self.app, self.events = app, events
        self.max_bytes = ESCAPE * max_text + OVERHEAD
        self._buffered = 0  # bytes

    async def __call__(self, scope, receive, send):
        route = route_of(scope) if scope["type"] == "http" else ""
        route = route.removeprefix(f"{HTTP_PREFIX}/")
        if scope["type"] != "http" or scope["method"] != "POST" or route == "upload":
            return await self.app(scope, receive, send)
        body = bytearray()
        try:
            await asyncio.wait_for(self._receive_into(body, scope, receive), SECONDS)
            checked = bytes(body) if route.startswith("mcp") else self.check_call(route, body)
            length = b"content-length"
            headers = [pair for pair in scope["headers"] if pair[0] != length]
            scope = {**scope, "headers": [*headers, (length, b"%d" % len(checked))]}
            self._buffered -= len(body)
            body.clear()
            return await self.app(scope, replay(checked, receive), send)
        except BodyError as error:
            return await refuse(send, error.status, str(error))
        except TimeoutError:
            return await refuse(send, 408, "the request took too long to arrive")
        finally:
            self._buffered -= len(body)

    async def _receive_into(self, body, scope, receive):
        """Receive a whole body. Raises BodyError if it is too large or holds too many values."""
        most = self.max_bytes
        if header(scope, "content-length").isdecimal():
            check_length(int(header(scope, "content-length")[:20]), most)
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise BodyError(400, "the request was not sent whole")
            chunk, more = message.get("body", b""), message.get("more_body", False)
            check_length(len(body) + len(chunk), most)
            if self._buffered + len(chunk) > MAX_BUFFERED:
                raise BodyError(503, "too much is being sent here at once; try again in a minute")
            body += chunk
            self._buffered += len(chunk)
        check_values(body)

    def check_call(self, route, body):
        """Return the body that Gradio gets for a call. Raises BodyError."""
        call = parse(body)
        if not isinstance(call, dict):
            raise BodyError(422, "the request's body must be a JSON object")
        check_ids(call)
        if route in ("cancel", "reset"):
            kept = {key: call.get(key) for key in ("session_hash", "fn_index", "event_id")}
            return json.dumps(kept).encode()
        event = self.find_event(route, call)
        if route.startswith("call/v2/"):
            return dump({name: call.get(name) for name in known_parameters(event, call)})
        if not isinstance(call.get("data"), list) or len(call["data"]) > MAX_ARGUMENTS:
            raise BodyError(422, f"data must be a list of at most {MAX_ARGUMENTS} values")
        kept = {key: call.get(key) for key in ("data", "session_hash", "fn_index", "trigger_id")}
        return dump(kept)

    def find_event(self, route, call):
        """Return the Event that a request calls. Raises BodyError if there is none."""
        events = self.events()
        if route == "queue/join" or (route == "run/predict" and call.get("fn_index") is not None):
            event = events.get(call.get("fn_index"))
        else:
            name = re.sub(r"^(run|api|call/v2|call)/", "", route)
            event = next((event for event in events.values() if event.name == name), None)
        if event is None:
            raise BodyError(404, "there is no such event or endpoint on this page")
        return event


def known_parameters(event, call):
    """Return the names of an event's parameters. Raises BodyError for any other in a call."""
    if others := call.keys() - {*event.parameters, "session_hash"}:
        names = ", ".join(event.parameters) or "none"
        message = f"there is no parameter {quote(min(others))}; the parameters are: {names}"
        raise BodyError(422, message)
    return event.parameters


def check_length(length, most):
    """Raise BodyError if a body is longer than `most` bytes."""
    if length > most:
        raise BodyError(413, f"a request to this page has at most {most:,} bytes")


def check_values(body):
    """Raise BodyError if the JSON in a body holds more than MAX_VALUES values, or is too deep.

    Counts brackets and commas outside of strings, without parsing.
    """
    bare = STRING.sub(b"", bytes(body))
    count = sum(bare.count(mark) for mark in (b",", b"[", b"{"))
    if count > MAX_VALUES or len(bare) > 100 * MAX_VALUES:
        raise BodyError(413, f"a request to this page holds at most {MAX_VALUES:,} values")
    depth = deepest = 0
    for byte in bare:
        depth += (byte in b"[{") - (byte in b"]}")
        deepest = max(deepest, depth)
    if deepest > MAX_DEPTH:
        raise BodyError(422, f"values in a request are nested at most {MAX_DEPTH} deep")


def parse(body):
    """Return the value of a JSON body. Raises BodyError."""
    try:
        return json.loads(body, parse_int=parse_int)
    except (ValueError, RecursionError):
        raise BodyError(422, "the request's body is not JSON") from None


def parse_int(digits):
    """Return an integer, or a float if it is so long that no parameter allows it."""
    return int(digits) if len(digits) <= MAX_DIGITS else float(digits)


def dump(value):
    """Return the JSON of a value that `parse` returned, as bytes."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")


def check_ids(call):
    """Raise BodyError unless the session, the event and the indices in a call are short."""
    for key in ("session_hash", "event_id"):
        value = call.get(key)
        if not (value is None or (isinstance(value, str) and len(value) <= MAX_ID_CHARS)):
            raise BodyError(422, f"{key} must be a text of at most {MAX_ID_CHARS} characters")
    for key in ("fn_index", "trigger_id"):
        value = call.get(key)
        if not (value is None or (type(value) is int and 0 <= value < 10**6)):
            raise BodyError(422, f"{key} is {quote(value)}; it must be the number of an event")


def replay(body, receive):
    """Return a `receive` that yields `body`, and then what the client does next."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again():
        return messages.pop() if messages else await receive()

    return receive_again
