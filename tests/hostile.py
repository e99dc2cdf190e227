"""A client that sends what no page would: over HTTP, from an address of its own."""

import json
import re
from pathlib import Path

import httpx

# values for any parameter; bytes are JSON that Python's writer would not make
BAD_VALUES = [
    *(None, True, 0, -1, 1, 2**31, 2**63, -(2**63) - 1, 1e30, 0.5),
    *(b"NaN", b"Infinity", b"-1e999", b"9" * 5000, b'"KING\\ud800"', b'"\\u0000"'),
    *("", "x", "x" * 100_000, "9" * 30, "1e999", "../../etc/passwd", "${7*7}{{7*7}}"),
    *("<img src=x onerror=alert(1)>", [], [[]], {}, {"a": [1, {}]}),
    [{"path": "/etc/passwd", "url": "http://127.0.0.1:9/", "meta": {"_type": "gradio.FileData"}}],
    {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}},
]
UNCLEAR = re.compile(
    r"Traceback|NoneType|object at 0x|Overflow|Error\b|/tmp|\.py|<class|<img|unhashable|\bstr\b"
)


class HostileClient:
    """Calls of a page's endpoints and events, from 127.0.0.1 or another address of loopback."""

    def __init__(self, url, address="127.0.0.1"):
        transport = httpx.HTTPTransport(local_address=address)
        self.http = httpx.Client(base_url=url, transport=transport, timeout=60)

    def events(self):
        """Return the events of the page."""
        return self.http.get("config").json()["dependencies"]

    def post(self, route, body):
        """Post a body, bytes or a value with bytes in it, as JSON; return the response."""
        raw = body if isinstance(body, bytes) else dump(body)
        headers = {"content-type": "application/json"}
        return self.http.post(f"gradio_api/{route}", content=raw, headers=headers)

    def call(self, endpoint, *data):
        """Call an endpoint; return (whether it succeeded, the data or the message)."""
        response = self.post(f"call/{endpoint}", {"data": list(data)})
        if response.status_code != 200:
            return False, response.json()["detail"]
        event = response.json()["event_id"]
        answer = self.http.get(f"gradio_api/call/{endpoint}/{event}").text
        kind, data = re.findall(r"event: (\w+)\ndata: (.*)", answer)[-1]
        data = json.loads(data)
        return (True, data) if kind == "complete" else (False, (data or {}).get("error"))

    def fire(self, index, queued, *data):
        """Fire an event of the page; return (whether it succeeded, the data or the message)."""
        body = {"data": list(data), "fn_index": index, "session_hash": "hostile"}
        response = self.post("queue/join" if queued else "run/predict", body)
        if not queued or response.status_code != 200:
            answer = response.json()
            message = answer.get("error") or answer.get("detail")
            return response.status_code == 200, message or answer
        url = "gradio_api/queue/data?session_hash=hostile"
        with self.http.stream("GET", url) as stream:
            for line in stream.iter_lines():
                message = json.loads(line.removeprefix("data:") or "{}")
                if message.get("msg") == "process_completed":
                    return message["success"], message["output"].get("error")
        raise AssertionError("the event has no end")


def dump(value):
    """Return a value as JSON; bytes in it are JSON already."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, list):
        return b"[" + b",".join(map(dump, value)) + b"]"
    if isinstance(value, dict):
        return (
            b"{" + b",".join(dump(key) + b":" + dump(entry) for key, entry in value.items()) + b"}"
        )
    return json.dumps(value).encode()


def is_clear(message):
    """Return whether an error's message is a sentence of sane length for a person."""
    return isinstance(message, str) and 10 < len(message) < 400 and not UNCLEAR.search(message)


def megabytes(pid):
    """Return the resident memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1000
