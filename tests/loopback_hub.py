"""A Hugging Face Hub on 127.0.0.1, in memory, for the real huggingface_hub.

It answers over HTTP, with the headers and errors of huggingface.co. As there, large files have
another origin (localhost instead of 127.0.0.1).
"""

import asyncio
import contextlib
import os
import re
import socket
import struct
import threading
from dataclasses import dataclass
from http import HTTPStatus

import uvicorn
from loopback_api import ROUTES, route
from loopback_repo import Account, Refused, Repo, allow, unauthorized
from starlette.responses import JSONResponse
from starlette.routing import Router
from waiting import join, wait_until


class Gone(Exception):
    """The connection was dropped on purpose."""


@dataclass
class Fault:
    """A failure to inject into requests that match, `times` times."""

    kind: str
    match: str
    times: float
    value: dict


class Exchange:
    """One request and its response, with the faults to inject."""

    def __init__(self, hub, scope, receive, send):
        self.hub, self.scope, self._receive, self._send = hub, scope, receive, send
        self.line, self.received, self.sent = f"{scope['method']} {scope['path']}", 0, 0
        self.cut = hub.fault("cut", self.line)

    async def run(self):
        answer = self.hub.router
        if slow := self.hub.fault("delay", self.line, use=True):
            await asyncio.sleep(slow.value["seconds"])
        if failing := self.hub.fault("fail", self.line, use=True):
            status, headers = failing.value["status"], failing.value["headers"]
            answer = JSONResponse({"error": HTTPStatus(status).phrase}, status, headers)
        with contextlib.suppress(Gone):
            try:
                await answer(self.scope, self.receive, self.send)
            except Refused as refused:
                await refused.answer(self.scope, self.receive, self.send)

    async def receive(self):
        message = await self._receive()
        self.received += len(message.get("body", b""))
        if self.cuts(self.received):
            self.log(None)
            await self.drop(reset=True)
        return message

    async def send(self, message):
        if message["type"] == "http.response.start":
            lost = self.hub.fault("lose", self.line, use=True)
            self.log(None if lost else message["status"])
            if lost:
                await self.drop()
        elif self.scope["method"] != "HEAD":
            body, before = message["body"], self.sent
            self.sent += len(body)
            if self.cuts(self.sent):
                part = body[: self.cut.value["after"] - before]
                await self._send(message | {"body": part, "more_body": True})
                if self.cut.value["reset"]:
                    await self.drop(reset=True)
                raise Gone  # uvicorn then sends the part and closes the connection
        await self._send(message)

    def cuts(self, length):
        """Return whether to cut a body of this length off now."""
        # another request may have used the fault since this one started
        due = self.cut and self.cut.times > 0 and length > self.cut.value["after"]
        if due:
            self.cut.times -= 1
        return due

    def log(self, status):
        self.hub.requests.append((self.scope["method"], self.scope["path"], status))

    async def drop(self, reset=False):
        connections = self.hub.server.server_state.connections
        wire = next(c.transport for c in connections if c.client == self.scope["client"])
        if reset:
            linger = struct.pack("ii", 1, 0)
            wire.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        wire.abort()
        await asyncio.sleep(0)  # let uvicorn notice, or it sends an error response
        raise Gone


class Hub:
    """The Hub's state, server and faults; `running_hub` starts one.

    The `match` of a fault is a regular expression to search in "METHOD /path"; with times=None it
    lasts until heal().
    """

    def __init__(self):
        self.tokens = {"hf_writer": Account("ann", "write"), "hf_reader": Account("ann", "read")}
        self.tokens["hf_other"] = Account("bob", "write")
        self.repos = {}  # (kind, "owner/name") -> Repo
        self.requests = []  # (method, path, status); the status is None without a response
        self.faults = []
        self.port = 0
        self.router = Router([route(self, *described) for described in ROUTES])

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def env(self, home, token=None):
        """Return the environment for a client: this process's, with the settings of this Hub."""
        env = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING"))}
        env |= {"HF_ENDPOINT": self.url, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}
        env |= {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
        env |= dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost")
        return env | ({"HF_TOKEN": token} if token else {})

    def repo(self, repo_id, kind="model"):
        return self.repos[kind, repo_id]

    def files(self, repo_id, revision="main", kind="model"):
        return dict(self.repo(repo_id, kind).at(revision).files)

    def add(self, repo_id, files, kind="model", message="seed", **settings):
        """Commit files (None deletes one), to a new repository if necessary; returns the sha."""
        if (kind, repo_id) not in self.repos:
            sdk = "gradio" if kind == "space" else None
            self.repos[kind, repo_id] = Repo(kind, repo_id, sdk)
        repo = self.repo(repo_id, kind)
        for name, value in settings.items():
            setattr(repo, name, value)
        return repo.commit(message, repo.owner, files).sha

    def fail(self, match, status, times=1, headers=None):
        """Answer a request with an error instead of executing it."""
        self._add_fault("fail", match, times, status=status, headers=headers)

    def cut(self, match, after_bytes, times=1, reset=False):
        """Cut off the body of a request or response after `after_bytes`.

        A response ends as if the server had closed the connection, or with a reset.
        """
        self._add_fault("cut", match, times, after=after_bytes, reset=reset)

    def lose(self, match, times=1):
        """Execute a request and close the connection without a response."""
        self._add_fault("lose", match, times)

    def delay(self, match, seconds, times=None):
        """Answer a request later."""
        self._add_fault("delay", match, times, seconds=seconds)

    def heal(self):
        """Remove all faults."""
        self.faults.clear()

    def clear(self):
        """Reset everything but tokens."""
        self.heal()
        self.repos.clear()
        self.requests.clear()

    def start(self):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        options = {"interface": "asgi3", "lifespan": "off", "log_config": None}
        options |= {"log_level": "error", "timeout_graceful_shutdown": 1}
        self.server = uvicorn.Server(uvicorn.Config(self, **options))
        options = {"kwargs": {"sockets": [listener]}, "daemon": True}
        self.thread = threading.Thread(target=self.server.run, **options)
        self.thread.start()
        wait_until(lambda: self.server.started or not self.thread.is_alive())
        assert self.thread.is_alive(), "the loopback Hub did not start"

    def stop(self):
        self.server.should_exit = True
        join(self.thread)

    async def __call__(self, scope, receive, send):
        await Exchange(self, scope, receive, send).run()

    def _add_fault(self, kind, match, times, **value):
        self.faults.append(Fault(kind, match, float("inf") if times is None else times, value))

    def fault(self, kind, line, use=False):
        for fault in self.faults:
            if fault.kind == kind and fault.times > 0 and re.search(fault.match, line):
                fault.times -= use
                return fault
        return None

    def account(self, request):
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if token and token not in self.tokens:
            raise Refused(401, "Invalid credentials in Authorization header")
        return self.tokens[token] if token else None

    def named(self, request):
        at = request.path_params
        return self.repos.get((at.get("kinds", "models")[:-1], f"{at['owner']}/{at['name']}"))

    def readable(self, request):
        account, repo = self.account(request), self.named(request)
        if repo and not (repo.private and (account is None or account.user != repo.owner)):
            return repo
        raise Refused(404, "Repository not found", "RepoNotFound") if account else unauthorized()

    def writable(self, request):
        repo, account = self.readable(request), self.account(request)
        if account is None:
            raise unauthorized()
        allow(account, repo.owner)
        return repo


@contextlib.contextmanager
def running_hub():
    hub = Hub()
    hub.start()
    try:
        yield hub
    finally:
        hub.stop()
