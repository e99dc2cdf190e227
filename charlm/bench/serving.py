"""The page under load: how soon visitors see text, and the characters per second for all."""

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
from charlm.serving.environment import skip_if_missing
from charlm.ui.events import GENERATE_EVENT

TIMEOUT = 120  # seconds
# the server closes idle connections after 5 s: one of that age may be closed while it is reused
CONNECTIONS = httpx.Limits(keepalive_expiry=2)
GENERATED = re.compile(r"([\d,]+) characters?")  # in the status line
BARE = """
import gradio, torch
with gradio.Blocks() as page:
    gradio.Textbox()
page.launch(server_port={port})
"""


@dataclass(frozen=True)
class Visit:
    """The measurements of a visitor: open the page, request a text; times in seconds."""

    page: float  # until the page was loaded
    first: float  # from the request to the first characters
    whole: float  # from the request to the last character
    chars: int


def bench_serve(chars, crowds):
    """Print two tables: the start of the page and what it then takes, and visitors at once."""
    print("| start until the page is served | seconds | ratio | idle, of a core |")
    print("|---|---|---|---|")
    bare, own = starts()
    for name, (seconds, idle) in {"gradio and torch, bare": bare, "charlm": own}.items():
        print(f"| {name} | {seconds:.1f} | {seconds / bare[0]:.2f} | {idle:.1%} |")
    print(
        "\n| visitors | failed | first text, p50 | p95 | all done after | characters/s |",
        end="",
    )
    print(" memory |\n|---|---|---|---|---|---|---|")
    with served([sys.executable, str(REPOSITORY / "app.py")]) as (url, process):
        asyncio.run(visit_at_once(url, 1, chars))  # loads the model
        for count in crowds:
            visits, failed, seconds = asyncio.run(visit_at_once(url, count, chars))
            first = [visit.first for visit in visits] or [float("nan")]
            p50, p95 = (quantiles(first, n=20)[i] for i in (9, 18)) if len(first) > 1 else first * 2
            speed = sum(visit.chars for visit in visits) / seconds
            cells = (
                f"{count} | {failed} | {p50:.2f} s | {p95:.2f} s | {seconds:.1f} s | {speed:,.0f}"
            )
            print(f"| {cells} | {memory(process.pid):,.0f} MB |", flush=True)


def starts(rounds=3):
    """Return (seconds until it is served, share of a core while idle) for a bare page and ours.

    Each of the round in which it was served soonest.
    """
    measured = [], []
    for _ in range(rounds):
        for page, command in zip(measured, (["-c", BARE], ["app.py"]), strict=True):
            began = time.perf_counter()
            with served([sys.executable, *command]) as (_, process):
                page.append((time.perf_counter() - began, idle_share(process.pid)))
    return [min(page) for page in measured]


def idle_share(pid, seconds=5):
    """Return the share of a core that a process takes when its start is over."""
    time.sleep(1)
    before = processor_seconds(pid)
    time.sleep(seconds)
    return (processor_seconds(pid) - before) / seconds


def processor_seconds(pid):
    """Return the seconds of a processor that a process has taken, its children's not included."""
    _, fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)
    return sum(map(int, fields.split()[11:13])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def served(command, **variables):
    """Serve a page by a command; yield (address, process), and end it afterwards.

    `variables`: additions to its environment.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url, env = (
        f"http://127.0.0.1:{port}/",
        os.environ | variables | {"GRADIO_SERVER_PORT": str(port)},
    )
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with log.open("w") as output:
            command = [part.replace("{port}", str(port)) for part in command]
            process = subprocess.Popen(
                command, cwd=REPOSITORY, env=env, stdout=output, stderr=output
            )
        try:
            give_up = time.monotonic() + TIMEOUT
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
        with urllib.request.urlopen(url, timeout=TIMEOUT):
            return True
    except OSError:
        return False


async def visit_at_once(url, count, chars):
    """Simulate `count` visitors at once; return their visits, the failures and the seconds."""
    skip_if_missing("sniffio")  # httpx tries it several times for each request
    # a client each: the time that one takes grows with the square of its connections
    options = {"base_url": url, "timeout": TIMEOUT, "limits": CONNECTIONS}
    options |= {"trust_env": False, "verify": False}  # for "http://", and made quickly
    clients = [httpx.AsyncClient(**options) for _ in range(count)]
    config = (await clients[0].get("config")).json()
    began = time.perf_counter()
    visits = (visit(client, config, chars) for client in clients)
    done = await asyncio.gather(*visits, return_exceptions=True)
    seconds = time.perf_counter() - began
    for client in clients:
        await client.aclose()
    failures = [one for one in done if isinstance(one, BaseException)]
    for failure in failures[:3]:
        print(f"failed: {failure!r}", file=sys.stderr)
    return [one for one in done if isinstance(one, Visit)], len(failures), seconds


async def visit(client, config, chars):
    """Open the page, request a text of `chars` characters, and read until it is complete."""
    began = time.perf_counter()
    (await client.get("")).raise_for_status()
    pressed, session = time.perf_counter(), secrets.token_hex(8)
    await client.post("gradio_api/queue/join", json=request(config, chars, session))
    shown, generated, first = None, 0, None
    address = f"gradio_api/queue/data?session_hash={session}"
    async with client.stream("GET", address) as answer:
        async for line in answer.aiter_lines():
            message = json.loads(line.removeprefix("data:")) if line else {}
            if not message.get("success", True):
                raise BenchError(str(message.get("output")))
            if message.get("msg") == "process_completed":
                break
            if message.get("msg") == "process_generating":  # first whole, then diffs
                data = message["output"]["data"]
                shown = list(map(apply_diff, shown, data)) if shown else data
                if found := GENERATED.search(str(shown[1])):
                    generated = int(found[1].replace(",", ""))
                if generated and first is None:
                    first = time.perf_counter() - pressed
    if generated != chars:
        raise BenchError(f"{generated} characters were generated of {chars}")
    return Visit(pressed - began, first, time.perf_counter() - pressed, generated)


def request(config, chars, session):
    """Return a browser's request body for a text with the page's default settings."""
    parts = {part["id"]: part["props"] for part in config["components"]}
    event = next(e for e in config["dependencies"] if e["api_name"] == GENERATE_EVENT)
    data = [parts[i].get("value") for i in event["inputs"]]
    (length,) = (n for n, i in enumerate(event["inputs"]) if parts[i].get("label") == "Length")
    data[length] = chars
    body = {"data": data, "fn_index": event["id"], "session_hash": session}
    return body | {"event_data": None, "trigger_id": event["targets"][0][0]}


def memory(pid):
    """Return the megabytes of memory of a process and its children; shared pages count once."""
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    rollups = [Path(f"/proc/{one}/smaps_rollup") for one in (pid, *found.stdout.split())]
    lines = [line for rollup in rollups for line in rollup.read_text().splitlines()]
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1e3
