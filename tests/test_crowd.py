"""Many visitors at a time, over HTTP, and one in Chromium beside them."""

import asyncio
import json
import random
import secrets
import threading
import time

import httpx
import pytest
from browser import at_change, visitor
from playwright.sync_api import expect
from waiting import join

from charlm.bench import serving

VISITORS, CHARS = 200, 1000


async def visit_and_leave(url):
    """Send VISITORS requests whose readers leave after a random number of lines, or at the end."""
    connections = serving.CONNECTIONS
    async with httpx.AsyncClient(base_url=url, timeout=120, limits=connections) as client:
        config = (await client.get("config")).json()
        rng = random.Random(3)

        async def visit(max_lines):
            session = secrets.token_hex(8)
            await asyncio.sleep(rng.random() * 5)
            request = serving.request(config, CHARS, session)
            (await client.post("gradio_api/queue/join", json=request)).raise_for_status()
            address, lines = f"gradio_api/queue/data?session_hash={session}", 0
            async with client.stream("GET", address) as answer:
                answer.raise_for_status()
                async for line in answer.aiter_lines():
                    lines += bool(line)
                    if lines > max_lines:
                        return "left"
                    message = json.loads(line.removeprefix("data:")) if line else {}
                    assert message.get("success", True), message
                    if message.get("msg") == "process_completed":
                        return "served"
            return "cut off"

        return await asyncio.gather(
            *(visit(rng.choice([0, 1, 2, 5, 20, 10**9])) for _ in range(VISITORS))
        )


@pytest.mark.slow
def test_two_hundred_visitors_who_leave_at_random_leak_nothing(app):
    before, logged = serving.memory(app.process.pid), len(app.log.read_text())
    ends = asyncio.run(visit_and_leave(app.url))
    assert set(ends) == {"left", "served"}
    time.sleep(1)
    visits, failed, seconds = asyncio.run(serving.visit_at_once(app.url, 1, 100))
    assert (len(visits), failed) == (1, 0)
    assert seconds < 10  # nothing is generated for those who left
    assert serving.memory(app.process.pid) < before + 400
    assert "Traceback" not in app.log.read_text()[logged:]  # other tests share the app


STOP_IS_VISIBLE = "document.querySelector('#stop-generating').offsetParent !== null"


@pytest.mark.slow
def test_the_page_stays_usable_beside_a_crowd(browser, app):
    over, crowds = threading.Event(), []

    def send_crowds():
        while not over.is_set():
            crowds.append(asyncio.run(serving.visit_at_once(app.url, 20, CHARS)))

    others = threading.Thread(target=send_crowds)
    with visitor(browser, app) as page:
        expect(page.locator("#generate")).to_be_visible(timeout=60_000)
        others.start()
        try:
            for _ in range(3):
                at_change(page, STOP_IS_VISIBLE, "window.stopWasVisible = true")
                page.locator("#examples button").first.click()
                page.wait_for_function("window.stopWasVisible", timeout=10_000)
                page.evaluate("window.stopWasVisible = false")
                expect(page.locator("#generate")).to_be_visible(timeout=30_000)
                expect(page.locator("#status")).to_contain_text("500 characters")
        finally:
            over.set()
            join(others)
    assert [failed for _, failed, _ in crowds] == [0] * len(crowds)
