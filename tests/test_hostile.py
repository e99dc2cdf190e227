"""Hostile requests over HTTP: none hurts the page, and each is answered by a clear sentence."""

import itertools
import random
import socket
import time

import httpx
import pytest
from hostile import BAD_VALUES, HostileClient, is_clear, megabytes

HONEST = ("KING:", "small-gpt", 30, 0.8, 0, 0, 0, 1)
# values for which a call fails in any case, so that no run starts
VALUES = {
    "/generate": dict(zip(range(8), HONEST, strict=True)),
    "/start_run": {0: "bigram", 1: "../x", 2: 1, 3: "too short"},
}
PAIRS = 120


@pytest.fixture
def client(app):
    """A hostile client; afterwards the page still works, and has printed no traceback."""
    client, printed = HostileClient(app.url), len(app.log.read_text())
    before = client.call("generate", *HONEST)
    yield client
    assert client.call("generate", *HONEST) == before
    assert "Traceback" not in app.log.read_text()[printed:]


def calls(info, rng):
    """Yield (endpoint, parameter, data) of every bad value of every parameter, and random pairs."""
    for endpoint, description in info.items():
        names = [parameter["parameter_name"] for parameter in description["parameters"]]
        usual = [VALUES.get(endpoint, {}).get(n, "x") for n in range(len(names))]
        for (n, name), bad in itertools.product(enumerate(names), BAD_VALUES):
            yield endpoint, name, [*usual[:n], bad, *usual[n + 1 :]]
        # a good name, with an empty text, would start a run
        others = [n for n in range(len(names)) if (endpoint, names[n]) != ("/start_run", "name")]
        for _ in range(PAIRS // len(info)):
            changed = [*usual]
            for n in rng.sample(others, min(2, len(others))):
                changed[n] = rng.choice(BAD_VALUES)
            yield endpoint, "", changed


@pytest.mark.slow
def test_every_bad_value_of_every_parameter_is_refused_clearly_or_understood(client, app):
    info = client.http.get("gradio_api/info").json()["named_endpoints"]
    honest, start = client.call("generate", *HONEST), megabytes(app.process.pid)
    made = list(calls(info, random.Random(3)))
    for n, (endpoint, _, data) in enumerate(made):
        succeeded, answer = client.call(endpoint.strip("/"), *data)
        assert succeeded or is_clear(answer), (endpoint, data, answer)
        assert not (endpoint == "/start_run" and succeeded), data
        if n % 50 == 0:
            assert client.call("generate", *HONEST) == honest
    assert len(made) >= 538
    assert megabytes(app.process.pid) - start < 100


@pytest.mark.slow
def test_every_event_of_the_page_bears_bad_values(client):
    config = client.http.get("config").json()
    fired = 0
    for event in config["dependencies"]:
        number = len(event["inputs"])
        if not event["backend_fn"] or event["api_visibility"] == "public":
            continue
        for bad in BAD_VALUES:
            succeeded, answer = client.fire(event["id"], event["queue"], *[bad] * number)
            assert succeeded or is_clear(answer), (event["id"], bad, answer)
            fired += 1
    assert fired > 300


@pytest.mark.parametrize(
    ("route", "body", "status"),
    [
        ("call/generate", b"", 422),
        ("call/generate", b"x", 422),
        ("call/generate", b"[]", 422),
        ("call/generate", b'{"data": 7}', 422),
        ("call/generate", b'{"data": {}, "fn_index": 1}', 422),
        ("call/generate", {"data": [""] * 65}, 422),
        ("call/generate", {"data": [], "session_hash": "x" * 65}, 422),
        ("call/generate", {"data": [], "session_hash": ["x"]}, 422),
        ("call/generate", b'{"data":' + b"[" * 1000, 422),
        ("call/generate", b'{"data":[' + b"[]," * 2_000_000 + b"[]]}", 413),
        ("call/generate", b'{"data":[' + b"{}," * 5000 + b"{}]}", 413),
        ("call/generate", b'{"data":["' + b"x" * 10_000_000 + b'"]}', 413),
        ("call/nothing", {"data": []}, 404),
        ("call/v2/generate", {"nothing": 1}, 422),
        ("call/v2/nothing", {}, 404),
        ("run/predict", {"data": [], "fn_index": 10**5}, 404),
        ("queue/join", {"data": [], "fn_index": -1, "session_hash": "x"}, 422),
        ("queue/join", {"data": [], "fn_index": True, "session_hash": "x"}, 422),
        ("component_server", {}, 404),
        ("process_recording", {}, 404),
        ("stream/x", {}, 404),
        ("cancel", b"[" * 10**6, 413),
        ("cancel", b"[" * 100, 422),
    ],
)
def test_a_malformed_request_is_refused_clearly(client, route, body, status):
    response = client.post(route, body)
    assert response.status_code == status, response.text
    assert is_clear(response.json()["detail"]), response.text


@pytest.mark.parametrize("end", [b"", b"\\"])
def test_a_string_that_does_not_end_is_read_once(client, end):
    began = time.monotonic()
    assert client.post("queue/join", b'"' + b'\\"' * 500_000 + end).status_code == 422
    assert time.monotonic() - began < 5


def test_bodies_are_bounded_whatever_their_length_is_said_to_be(client, app):
    def chunks():
        while True:
            yield b"x" * 2**20

    before = megabytes(app.process.pid)
    for _ in range(10):
        try:
            response = client.http.post("gradio_api/call/generate", content=chunks())
        except httpx.WriteError:
            continue  # the connection was closed while it was sending
        assert response.status_code == 413
    assert megabytes(app.process.pid) - before < 100


def test_half_a_request_holds_nothing_up(client, app):
    host, port = app.url.split("/")[2].split(":")
    sockets = [socket.create_connection((host, int(port))) for _ in range(50)]
    head = (
        f"POST /gradio_api/call/generate HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5000\r\n\r\n"
    )
    for connection in sockets:
        connection.sendall(head.encode() + b'{"data": [')
    start = time.monotonic()
    assert client.http.get("/").status_code == 200
    assert time.monotonic() - start < 20  # uvicorn waits for the rest of a request for ever
    for connection in sockets:
        connection.close()


@pytest.mark.parametrize(
    "path",
    [
        "file=/etc/passwd",
        "file=http://127.0.0.1:9/",
        "file=..%2f..%2fetc%2fpasswd",
        "file/etc/passwd",
        "proxy=http://127.0.0.1:9/",
        "deep_link?session_hash=x",
        "stream/x/1/1/playlist.m3u8",
        "custom_component/x/client/component/index.js",
        "dev/reload",
        "runs",
        "vibe-code",
    ],
)
def test_routes_that_the_page_does_not_need_are_closed(client, path):
    response = client.http.get(f"gradio_api/{path}")
    assert response.status_code == 404
    assert is_clear(response.json()["detail"])


@pytest.mark.parametrize(
    ("host", "served"),
    [
        ("127.0.0.1:80", True),
        ("192.168.1.7", True),
        ("[::1]:7860", True),
        ("localhost", True),
        ("LOCALHOST.", True),
        ("page.localhost:1", True),
        ("evil.example", False),
        ("evil.example:7860", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example", False),
        ("x" * 300, False),
        ("evil.example:99999999", False),
        ("", False),
    ],
)
def test_only_the_page_s_own_hosts_are_served(client, host, served):
    response = client.http.get("/config", headers={"host": host})
    assert response.status_code == (200 if served else 421)
    assert served or "CHARLM_HOSTS" in response.json()["detail"]


def test_the_mcp_endpoint_checks_the_origin(client):
    for origin, refused in (("http://evil.example", True), ("http://localhost:1", False)):
        response = client.http.get("gradio_api/mcp/", headers={"origin": origin})
        assert (response.status_code == 403) is refused
    response = client.http.get("gradio_api/mcp/", headers={"host": "evil.example"})
    assert response.status_code == 421


@pytest.mark.parametrize("others", [{}, {"x-forwarded-for": "192.0.2.1"}])
def test_a_forwarded_host_does_not_change_the_page_s_links(client, others):
    headers = {"x-forwarded-host": "evil.example", **others}
    for route in ("/", "config", "gradio_api/info"):
        assert "evil.example" not in client.http.get(route, headers=headers).text


def test_uploads_are_bounded_for_each_client_and_deleted(client):
    paths = []
    for n in range(12):
        files = {"files": ("a.txt", b"%d" % n * 1000)}
        paths += client.http.post("gradio_api/upload", files=files).json()
    existing = [path for path in paths if exists(path)]
    assert existing == paths[-4:]
    many = [("files", ("a.txt", b"many %d" % n)) for n in range(100)]
    paths = client.http.post("gradio_api/upload", files=many).json()
    assert [path for path in paths if exists(path)] == paths[-4:]
    large = client.http.post("gradio_api/upload", files={"files": ("a.txt", b"x" * 9_000_000)})
    assert large.status_code == 413


def exists(path):
    try:
        with open(path):  # noqa: PTH123
            return True
    except FileNotFoundError:
        return False
