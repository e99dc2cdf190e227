"""Floods of one client, and an honest visitor with another address beside them."""

import asyncio
import os
import secrets
import time

import pytest
from programs import App

from charlm.bench import hostile

pytestmark = pytest.mark.skipif(os.uname().sysname != "Linux", reason="needs 127.0.0.2")


@pytest.fixture(scope="module")
def slow_hub_app(tmp_path_factory, trained):
    """A page whose Hub accepts connections and never answers."""
    with hostile.slow_server() as hub:
        app = App(tmp_path_factory.mktemp("fairness"), trained, HF_ENDPOINT=hub)
        yield app
        app.stop()


@pytest.mark.slow
def test_a_flood_of_one_client_hardly_delays_another(slow_hub_app):
    url = slow_hub_app.url
    asyncio.run(hostile.honest_visit(url))  # loads the model
    page, text = asyncio.run(hostile.beside(url, hostile.everything))
    # on a machine that runs other tests; the figures of a quiet one are in SECURITY.md
    assert page < 10
    assert text < 20
    assert "Traceback" not in slow_hub_app.log.read_text()


def test_a_class_behind_one_address_is_served_in_full(app):
    async def lesson():
        async with hostile.client_from(hostile.HOSTILE, app.url) as client:
            one = ("generate", "KING:", None, 300, 0.8, 0, 0, 0)
            return await asyncio.gather(*(hostile.call(client, *one, n) for n in range(60)))

    texts = asyncio.run(lesson())
    assert all(text.startswith("complete") for text in texts)
    assert len(set(texts)) == 60


@pytest.mark.parametrize("way", ["queue", "call"])
def test_a_visitor_who_leaves_frees_the_place(app, way):
    """A session has four texts at most: a fifth is admitted soon after the others' readers left."""
    session = secrets.token_hex(8)
    body = {"data": ["KING:", None, 5000], "session_hash": session}

    async def visit():
        async with hostile.client_from(hostile.HONEST, app.url) as client:
            events = []
            for _ in range(4):
                answer = await client.post("gradio_api/call/generate", json=body)
                events.append(answer.json()["event_id"])
            url = f"gradio_api/call/generate/{events[0]}"
            if way == "queue":
                url = f"gradio_api/queue/data?session_hash={session}"
            async with client.stream("GET", url) as stream:
                await anext(stream.aiter_lines())
            left = time.monotonic()
            while not await is_served(client):
                assert time.monotonic() - left < 1.5, "the texts of those who left are written"

    async def is_served(client):
        short = {"data": ["KING:", None, 10], "session_hash": session}
        answer = await client.post("gradio_api/call/generate", json=short)
        url = f"gradio_api/call/generate/{answer.json()['event_id']}"
        async with client.stream("GET", url) as stream:
            async for line in stream.aiter_lines():
                if line in ("event: complete", "event: error"):
                    break
        return line == "event: complete"

    asyncio.run(visit())


@pytest.mark.slow
def test_answers_that_nobody_reads_take_little_memory(app):
    before = hostile.memory(app.process.pid)
    asyncio.run(hostile.unread_scores(app.url, wait=6))
    assert hostile.memory(app.process.pid) < before + 200
