"""The page with visitors: how soon they read something, and how much is written for all."""

import asyncio
import contextlib
import json
import os
import re
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles

import httpx
from gradio_client.utils import apply_diff

from charlm.bench.process import REPOSITORY, BenchError
from charlm.ui.events import GENERATE_EVENT

PATIENCE = 120  # seconds
WRITTEN = re.compile(r"([\d,]+) characters")  # in the line below the verse
BARE = """
import gradio, torch
with gradio.Blocks() as page:
    gradio.Textbox()
page.launch(server_port={port})
"""


@dataclass(frozen=True)
class Visit:
    """What somebody saw who opened the page and pressed the button; times in seconds."""

    page: float  # until it was there
    first: float  # from the button to the first characters
    whole: float  # from the button to the last
    chars: int


def bench_serve(chars, crowds):
    """Measure and print both tables."""
    print("| start until the page is served | seconds | ratio |\n|---|---|---|")
    bare, own = start_seconds()
    print(
        f"| gradio and torch, bare | {bare:.1f} | 1.0 |\n| charlm | {own:.1f} | {own / bare:.2f} |"
    )
    print(
        "\n| visitors | failed | first text, p50 | p95 | all done after | characters a second |",
        end="",
    )
    print(" memory |\n|---|---|---|---|---|---|---|")
    with served([sys.executable, str(REPOSITORY / "app.py")]) as (url, process):
        asyncio.run(crowd(url, 1, chars))  # the first of all finds the model not loaded yet
        for count in crowds:
            visits, failed, seconds = asyncio.run(crowd(url, count, chars))
            first = [visit.first for visit in visits] or [float("nan")]
            p50, p95 = (quantiles(first, n=20)[i] for i in (9, 18)) if len(first) > 1 else first * 2
            speed = sum(visit.chars for visit in visits) / seconds
            cells = (
                f"{count} | {failed} | {p50:.2f} s | {p95:.2f} s | {seconds:.1f} s | {speed:,.0f}"
            )
            print(f"| {cells} | {memory(process.pid):,.0f} MB |", flush=True)


def start_seconds(rounds=3):
    """Seconds until a bare page is served, and until ours is; each the best of some, in turns."""
    best = [float("inf")] * 2
    for _ in range(rounds):
        for i, command in enumerate(([sys.executable, "-c", BARE], [sys.executable, "app.py"])):
            began = time.perf_counter()
            with served(command):
                best[i] = min(best[i], time.perf_counter() - began)
    return best


@contextlib.contextmanager
def served(command):
    """(address, process) of a page that a command serves; ended afterwards."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url, env = f"http://127.0.0.1:{port}/", os.environ | {"GRADIO_SERVER_PORT": str(port)}
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with log.open("w") as told:
            command = [part.replace("{port}", str(port)) for part in command]
            process = subprocess.Popen(command, cwd=REPOSITORY, env=env, stdout=told, stderr=told)
        try:
            give_up = time.monotonic() + PATIENCE
            while not answers(url):
                if process.poll() is not None or time.monotonic() > give_up:
                    raise BenchError(f"{command[-1]} does not serve: {log.read_text()[-500:]}")
                time.sleep(0.02)
            yield url, process
        finally:
            process.terminate()
            process.wait()


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE):
            return True
    except OSError:
        return False


async def crowd(url, count, chars):
    """(visits, how many failed, seconds in all) of so many who come at the same moment."""
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE, limits=limits) as client:
        config = (await client.get("config")).json()
        began = time.perf_counter()
        done = await asyncio.gather(
            *(visit(client, config, chars) for _ in range(count)), return_exceptions=True
        )
        seconds = time.perf_counter() - began
    failures = [one for one in done if isinstance(one, BaseException)]
    for failure in failures[:3]:
        print(f"failed: {failure!r}", file=sys.stderr)
    return [one for one in done if isinstance(one, Visit)], len(failures), seconds


async def visit(client, config, chars):
    """Open the page, press Generate as it is but for the length, and read until it is over."""
    began = time.perf_counter()
    (await client.get("")).raise_for_status()
    pressed, session = time.perf_counter(), secrets.token_hex(8)
    await client.post("gradio_api/queue/join", json=request(config, chars, session))
    shown, written, first = None, 0, None
    address = f"gradio_api/queue/data?session_hash={session}"
    async with client.stream("GET", address) as answer:
        async for line in answer.aiter_lines():
            message = json.loads(line.removeprefix("data:")) if line else {}
            if not message.get("success", True):
                raise BenchError(str(message.get("output")))
            if message.get("msg") == "process_completed":
                break
            if message.get("msg") == "process_generating":  # the first whole, then what changed
                data = message["output"]["data"]
                shown = list(map(apply_diff, shown, data)) if shown else data
                if found := WRITTEN.search(str(shown[1])):
                    written = int(found[1].replace(",", ""))
                if written and first is None:
                    first = time.perf_counter() - pressed
    if written != chars:
        raise BenchError(f"{written} characters were written of {chars}")
    return Visit(pressed - began, first, time.perf_counter() - pressed, written)


def request(config, chars, session):
    """What a browser sends when a text is asked for on a page on which nothing else was done."""
    parts = {part["id"]: part["props"] for part in config["components"]}
    event = next(e for e in config["dependencies"] if e["api_name"] == GENERATE_EVENT)
    data = [parts[i].get("value") for i in event["inputs"]]
    (length,) = (n for n, i in enumerate(event["inputs"]) if parts[i].get("label") == "Length")
    data[length] = chars
    asked = {"data": data, "fn_index": event["id"], "session_hash": session}
    return asked | {"event_data": None, "trigger_id": event["targets"][0][0]}


def memory(pid):
    """Megabytes that a process holds."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1e3
    return float("nan")
