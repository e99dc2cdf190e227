"""Who reads the answers of the page: nothing is computed for, or kept for, those who left.

Gradio keeps the messages of an event until somebody fetches them, and notices after up to ten
seconds that a reader has gone while no message comes. It has no setting for either, so this module
uses two tables of its queue: `pending_messages_per_session` and `event_ids_to_events`.
"""

import asyncio
import contextlib
import json
import re
import time
from collections import Counter
from urllib.parse import parse_qs

from charlm.serving.asgi import HTTP_PREFIX, refuse, route_of
from charlm.serving.generate import true_or_after

READ_WITHIN = 30  # seconds in which somebody must begin to read an answer
OPEN_SECONDS = 2  # that an update waits for a reader
MAX_UNREAD = 10_000_000  # bytes of JSON: the unread answers kept for one client
CALL = re.compile(rf"{HTTP_PREFIX}/call/(?:v2/)?[^/]+/([^/]+)")


class Readers:
    """The sessions whose messages are being read, and those that wait for a reader."""

    def __init__(self, queue, leave):
        """`queue()`: Gradio's queue. `leave(session)` is called when a reader disconnects."""
        self.queue, self.leave = queue, leave
        self._reading = Counter()  # session -> open streams
        self._tasks = set()
        # session -> (client, bytes of its answers, task that will drop them), the oldest first
        self._unread = {}

    def is_absent(self, session):
        """Return whether nobody reads the messages of a session now."""
        return not self._reading[session]

    def expect(self, session, client, answer):
        """Record an unread answer; drop the client's oldest ones beyond MAX_UNREAD."""
        if not self.is_absent(session):
            return
        if session not in self._unread:
            self._unread[session] = client, 0, self._drop_later(session, READ_WITHIN)
        _, before, dropping = self._unread.pop(session)
        size = before + len(json.dumps(answer, default=str))
        self._unread[session] = client, size, dropping
        own = [(s, size) for s, (c, size, _) in self._unread.items() if c == client]
        excess = sum(size for _, size in own) - MAX_UNREAD
        for oldest, size in own:
            if excess > 0:
                self._drop_later(oldest, 0)
            excess -= size

    def _drop_later(self, session, seconds):
        task = asyncio.create_task(self._drop_unread(session, seconds))
        self._tasks.add(task)  # asyncio itself keeps none
        task.add_done_callback(self._tasks.discard)
        return task

    async def _drop_unread(self, session, seconds):
        """Drop the messages of a session that nobody has begun to read within some seconds."""
        await asyncio.sleep(seconds)
        if self._forget(session):
            await self._end_events(session)
            self.queue().pending_messages_per_session.pop(session, None)
            self.queue().pending_event_ids_session.pop(session, None)

    def _forget(self, session):
        """Forget the unread answers of a session; return whether there were any."""
        _, _, dropping = self._unread.pop(session, (None, 0, None))
        if dropping and dropping is not asyncio.current_task():
            dropping.cancel()  # it would drop later answers of the session
        return dropping is not None

    async def _end_events(self, session):
        await self.queue().clean_events(session_hash=session)  # they send no more messages
        self.leave(session)

    @contextlib.asynccontextmanager
    async def reading(self, session, receive):
        """Count a stream of messages; when its reader disconnects, end the session's events.

        Yields a function to call at the end of the stream, after which the reader may leave.
        """
        self._forget(session)
        self._reading[session] += 1
        complete = asyncio.Event()
        watch = asyncio.create_task(self._watch(session, receive, complete))
        try:
            yield complete.set
        finally:
            watch.cancel()
            self._reading[session] -= 1
            self._reading += Counter()  # drops the sessions at zero

    async def _watch(self, session, receive, complete):
        while (await receive())["type"] != "http.disconnect":
            pass
        if not complete.is_set():  # servers report the end of an answer as a disconnect, too
            await self._end_events(session)

    def session_of(self, scope):
        """Return the session whose messages a request reads; None for any other request."""
        route = route_of(scope) if scope["type"] == "http" and scope["method"] == "GET" else ""
        if route == f"{HTTP_PREFIX}/queue/data":
            return parse_qs(scope["query_string"].decode("latin-1")).get("session_hash", [None])[0]
        if match := CALL.fullmatch(route):
            event = self.queue().event_ids_to_events.get(match[1])
            return event.session_hash if event else match[1]
        return None


async def read_updates(updates, readers, session):
    """Yield the updates of a text while somebody reads them, and the last one in any case.

    Ends if nobody has begun to read them, or gone on, for READ_WITHIN seconds.
    """

    def reading():
        return not readers.is_absent(session)

    last_read = time.monotonic()
    async for progress in updates:
        if not progress.done and progress.new_chars:  # in a crowd, the next one comes seconds later
            await true_or_after(reading, OPEN_SECONDS, OPEN_SECONDS / 20)
        now = time.monotonic()
        if reading():
            last_read = now
        elif now - last_read > READ_WITHIN:
            return
        elif not progress.done and progress.new_chars:
            continue
        yield progress


class ReaderWatch:
    """Middleware that tells Readers who reads and who leaves."""

    def __init__(self, app, readers):
        self.app, self.readers = app, readers

    async def __call__(self, scope, receive, send):
        session = self.readers.session_of(scope)
        if session is None:
            return await self.app(scope, receive, send)
        if session not in self.readers.queue().pending_messages_per_session:
            sentence = "nothing waits to be read here; it was read, or not fetched in time"
            return await refuse(send, 404, sentence)
        async with self.readers.reading(session, receive) as complete:

            async def watched_send(message):
                if message["type"] == "http.response.body" and not message.get("more_body"):
                    complete()
                await send(message)

            return await self.app(scope, receive, watched_send)
