"""The page under attack: what an honest visitor gets beside hostile ones, and what they leave."""

import asyncio
import contextlib
import json
import os
import secrets
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx

from charlm.bench.process import REPOSITORY
from charlm.bench.serving import CONNECTIONS, TIMEOUT, memory, served

HOSTILE, HONEST = "127.0.0.1", "127.0.0.2"  # source addresses: two clients on Linux
CHARS = 200  # of the honest visitor's text
TEXTS, SCORES, LINKS = 330, 60, 80
LONG_TEXT = "First Citizen:\nWe are accounted poor citizens, the patricians good.\n" * 100


def bench_hostile():
    """Print a table of attacks and what the page does under them."""
    with slow_server() as hub:
        command = [sys.executable, str(REPOSITORY / "app.py")]
        with served(command, HF_ENDPOINT=hub) as (url, process):
            print("| beside | page opens after | text of 200 characters after |\n|---|---|---|")
            asyncio.run(honest_visit(url))  # loads the model
            for attack, flood in FLOODS.items():
                page, text = asyncio.run(beside(url, flood))
                print(f"| {attack} | {page:.2f} s | {text:.2f} s |", flush=True)
            print("\n| attack | memory left | peak | files left |\n|---|---|---|---|")
            for attack, act in ATTACKS.items():
                left, peak, files = measure(act, url, process.pid)
                cells = f"{left:,.0f} MB | {peak:,.0f} MB | {files:,.0f} MB"
                print(f"| {attack} | {cells} |", flush=True)


@contextlib.contextmanager
def slow_server():
    """Yield the address of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=500) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def client_from(address, url):
    transport = httpx.AsyncHTTPTransport(local_address=address, limits=CONNECTIONS)
    return httpx.AsyncClient(base_url=url, transport=transport, timeout=TIMEOUT)


async def call(client, endpoint, *data):
    """Call an endpoint and return its last event, as text."""
    answer = await client.post(f"gradio_api/call/{endpoint}", json={"data": data})
    event = answer.raise_for_status().json()["event_id"]
    return (await client.get(f"gradio_api/call/{endpoint}/{event}")).text.rsplit("event: ")[-1]


async def honest_visit(url):
    """Open the page and have a text written; return the seconds of both."""
    async with client_from(HONEST, url) as client:
        began = time.perf_counter()
        (await client.get("")).raise_for_status()
        (await client.get("config")).raise_for_status()
        opened = time.perf_counter()
        last = await call(client, "generate", "KING:", None, CHARS, 0.8, 0, 0, 0, 1)
        if not last.startswith("complete"):
            raise ConnectionError(last)
        return opened - began, time.perf_counter() - opened


async def beside(url, flood):
    """Return the honest visitor's seconds while a flood of another client goes on."""
    async with client_from(HOSTILE, url) as client:
        tasks = [asyncio.create_task(one) for one in flood(client)]
        await asyncio.sleep(1)
        result = await visit_from_elsewhere(url)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(1)
    return result


async def visit_from_elsewhere(url):
    """Return honest_visit's seconds, measured in a process that the flood does not slow down."""
    code = "import sys; from charlm.bench.hostile import print_visit; print_visit(sys.argv[1])"
    pipe = asyncio.subprocess.PIPE
    command = [sys.executable, "-c", code, url]
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, cwd=REPOSITORY)
    output, _ = await process.communicate()
    return map(float, output.split())


def print_visit(url):
    print(*asyncio.run(honest_visit(url)))


def nothing(client):
    return []


def texts(client):
    return [call(client, "generate", "KING:", None, 5000) for _ in range(TEXTS)]


def scores(client):
    return [call(client, "score", LONG_TEXT[:10_000], None) for _ in range(SCORES)]


def links(client):
    return [open_link(client, f"somebody/model-{n}") for n in range(LINKS)]


def extremes(client):
    return [call(client, "generate", "KING:", None, 5000, 1.0, k) for k in (1e30, 2**63, -1) * 4]


def everything(client):
    return [*texts(client), *scores(client), *links(client)]


async def open_link(client, model):
    """Fire the page's load events as a browser does that opens a link to a Hub model."""
    config, session = (await client.get("config")).json(), secrets.token_hex(8)
    for event in config["dependencies"]:
        if ["load"] in [target[1:] for target in event["targets"]] and event["queue"]:
            body = {"data": [], "fn_index": event["id"], "session_hash": session}
            query = {"model": model}
            await client.post("gradio_api/queue/join", json=body, params=query)
    await client.get(f"gradio_api/queue/data?session_hash={session}")


FLOODS = {
    "nothing": nothing,
    "12 texts with top_k of 1e30, 2^63 and -1": extremes,
    f"{TEXTS} texts": texts,
    f"{SCORES} scores of 10,000 characters": scores,
    f"{LINKS} links to a slow Hub": links,
    "all of these at once": everything,
}


def measure(act, url, pid):
    """Return the megabytes that an attack leaves in memory, its peak, and those left on disk."""
    before, stored, peak, over = memory(pid), uploaded(), [0.0], threading.Event()

    def watch():
        while not over.wait(0.02):
            peak[0] = max(peak[0], memory(pid) - before)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        asyncio.run(act(url))
        time.sleep(2)
    finally:
        over.set()
        watcher.join()
    return memory(pid) - before, peak[0], uploaded() - stored


def uploaded():
    """Return the megabytes of uploaded files."""
    folder = os.environ.get("GRADIO_TEMP_DIR") or Path(tempfile.gettempdir()) / "gradio"
    paths = Path(folder).glob("**/*")
    return sum(path.stat().st_size for path in paths if path.is_file()) / 1e6


async def large_bodies(url):
    async def body():
        for _ in range(50):
            yield b"x" * 1_000_000

    async with client_from(HOSTILE, url) as client:
        for _ in range(10):
            with contextlib.suppress(httpx.HTTPError):  # the page closes the connection
                await client.post("gradio_api/call/generate", content=body())


async def empty_lists(url):
    body = b'{"data":[' + b"[]," * 2_000_000 + b"[]]}"
    async with client_from(HOSTILE, url) as client:
        await client.post("gradio_api/call/generate", content=body)


async def sessions(url):
    async with client_from(HOSTILE, url) as client:
        for _ in range(1200):
            body = {"data": [], "session_hash": secrets.token_hex(8)}
            await client.post("gradio_api/run/models", json=body)


async def unread_texts(url):
    async with client_from(HOSTILE, url) as client:
        for _ in range(20):
            data = [LONG_TEXT[:10_000], None, 5000]
            await client.post("gradio_api/call/generate", json={"data": data})
        await asyncio.sleep(35)


async def unread_scores(url, wait=35):
    async with client_from(HOSTILE, url) as client:
        for _ in range(20):
            await client.post("gradio_api/call/score", json={"data": [LONG_TEXT[:10_000], None]})
        await asyncio.sleep(wait)


async def uploads(url):
    async with client_from(HOSTILE, url) as client:
        for n in range(100):
            files = {"files": ("text.txt", json.dumps(n).encode() + os.urandom(7_900_000))}
            await client.post("gradio_api/upload", files=files)


ATTACKS = {
    "10 bodies of 50 MB": large_bodies,
    "a body of 6 MB of empty lists": empty_lists,
    "1,200 sessions that list the models": sessions,
    "20 unread texts": unread_texts,
    "20 unread scores": unread_scores,
    "100 uploads of 7.9 MB": uploads,
}
