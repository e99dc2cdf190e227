"""train.py and app.py as tests start them."""

import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import preloaded

import train as train_script

REPOSITORY = Path(__file__).parent.parent


def free_port():
    """Return a free port, of those that the system gives to no other program meanwhile."""
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as free, contextlib.suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port


class CommandLine:
    """train.py in its own folder, with its own checkpoints/."""

    def __init__(self, folder):
        self.folder = folder
        self.checkpoints = folder / "checkpoints"
        (folder / "train.py").symlink_to(REPOSITORY / "train.py")

    def command(self, *args):
        return [sys.executable, str(self.folder / "train.py"), *map(str, args)]

    def __call__(self, *args):
        return preloaded.run(self.command(*args), text=True)

    def start(self, *args):
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return preloaded.Process(self.command(*args), **pipes)


class InThisProcess:
    """train.py called in this process, which is faster than to start one."""

    def __init__(self, folder, monkeypatch, capsys):
        self.folder, self.checkpoints = folder, folder / "checkpoints"
        self.monkeypatch, self.capsys = monkeypatch, capsys
        monkeypatch.setattr(train_script, "checkpoints_directory", lambda _: self.checkpoints)

    def __call__(self, *args):
        self.monkeypatch.setattr("sys.argv", ["train.py", *map(str, args)])
        try:
            status = train_script.main()
        except SystemExit as error:
            status = error.code
        printed = self.capsys.readouterr()
        return status, printed.out + printed.err


WATCH_THE_NETWORK = """
import json, os, sys
def watch(event, args):
    if event in ("socket.getaddrinfo", "socket.connect"):
        host = args[0] if event == "socket.getaddrinfo" else args[1]
        host = host[0] if isinstance(host, tuple) else host
        host = host.decode() if isinstance(host, bytes) else str(host or "")
        if not host.startswith("/"):
            with open(os.environ["NETWORK_CALLS"], "a") as file:
                file.write(json.dumps({"event": event, "host": host}) + "\\n")
sys.addaudithook(watch)
"""

# the self-play that fills the draft of each model takes seconds of a processor; it only saves time
WARM_UP_SHORTLY = """
from charlm.generation import warm_up
warm_up.TEXTS, warm_up.CHARS = 8, 25
"""


class App:
    """app.py, served from its own folder, with the given model directories."""

    customization = WATCH_THE_NETWORK + WARM_UP_SHORTLY  # what its Python runs at its start

    def __init__(self, folder, checkpoints, **variables):
        for script in ("app.py", "train.py"):
            (folder / script).symlink_to(REPOSITORY / script)
        self.checkpoints = folder / "checkpoints"
        self.checkpoints.symlink_to(checkpoints)
        port = free_port()
        self.url, self.log, self.calls = (
            f"http://127.0.0.1:{port}/",
            folder / "log",
            folder / "calls",
        )
        (folder / "sitecustomize.py").write_text(self.customization)
        env = os.environ | {"GRADIO_SERVER_PORT": str(port), "PYTHONPATH": str(folder)}
        self.env = env | {"NETWORK_CALLS": str(self.calls)} | variables
        self.command = [sys.executable, str(folder / "app.py")]
        self.start()

    def start(self):
        with self.log.open("a") as log:
            self.process = preloaded.Process(self.command, stdout=log, stderr=log, env=self.env)
        self.wait_until_it_serves()

    def wait_until_it_serves(self, seconds=90):
        give_up = time.monotonic() + seconds
        while time.monotonic() < give_up:
            assert self.process.poll() is None, self.log.read_text()
            try:
                with urllib.request.urlopen(self.url, timeout=5):
                    return
            except OSError:
                time.sleep(0.2)
        raise AssertionError(f"nothing is served: {self.log.read_text()}")

    def calls_to_elsewhere(self):
        """Return the name lookups of, and the connections to, other machines."""
        lines = self.calls.read_text().splitlines() if self.calls.exists() else []
        here = ("127.0.0.1", "localhost", "::1", "0.0.0.0", "")
        return [call for call in map(json.loads, lines) if call["host"] not in here]

    def stop(self):
        self.process.terminate()
        self.process.wait(30)
