"""Gradio's scripts and styles as visitors get them, as plain ASGI."""

import asyncio
import gzip

import brotli
import pytest
from starlette.responses import FileResponse

from charlm.ui.assets import Assets
from charlm.ui.static_files import YEAR

SCRIPT = "/assets/index-D4.js"


SIZE = 10_000
DECODERS = {b"br": brotli.decompress, b"gzip": gzip.decompress, None: bytes}


class FakeGradio:
    """An application that counts its answers, which compresses none."""

    def __init__(self, status=200):
        self.status, self.answered = status, 0

    async def __call__(self, scope, receive, send):
        self.answered += 1
        await asyncio.sleep(0)
        headers = [(b"content-type", b"text/javascript"), (b"content-length", b"%d" % SIZE)]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        body = scope["path"].encode().ljust(SIZE)
        await send({"type": "http.response.body", "body": body[:5], "more_body": True})
        await send({"type": "http.response.body", "body": body[5:]})


@pytest.fixture
def folder(tmp_path):
    for name in ("index-D4.js", "Index.css"):
        (tmp_path / name).touch()
    return tmp_path


async def left():
    """The messages of a client that has gone."""
    return {"type": "http.disconnect"}


async def get(app, path=SCRIPT, query=b"", method="GET", receive=None, **headers):
    """Return (status, headers, decompressed body) of a request."""
    headers = {"accept_encoding": "gzip, br"} | headers
    pairs = [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items() if v]
    scope = {"type": "http", "method": method, "path": path, "headers": pairs}
    sent = []

    async def send(message):
        sent.append(message)

    await app(scope | {"query_string": query}, receive, send)
    start, body = dict(sent[0]["headers"]), b"".join(m.get("body", b"") for m in sent[1:])
    assert int(start.get(b"content-length", len(body))) == len(body)
    return sent[0]["status"], start, DECODERS[start.get(b"content-encoding")](body)


def test_a_crowd_gets_one_compression_of_each_file_for_a_year(folder):
    gradio = FakeGradio()
    app = Assets(gradio, folder)

    async def crowd():
        files = [(SCRIPT, b""), ("/theme.css", b"v=1"), ("/assets/Index.css", b"")]
        return await asyncio.gather(*(get(app, *file) for file in files * 20))

    answers = asyncio.run(crowd())
    assert gradio.answered == 3
    assert {status for status, _, _ in answers} == {200}
    assert all(headers[b"cache-control"] == YEAR.encode() for _, headers, _ in answers)
    assert all(headers[b"content-encoding"] == b"br" for _, headers, _ in answers)
    assert answers[0] == answers[3]
    assert [body.rstrip() for _, _, body in answers[:2]] == [SCRIPT.encode(), b"/theme.css"]


def test_a_visitor_who_leaves_cuts_no_file_short_for_others(folder):
    script = folder / "index-D4.js"
    script.write_bytes(b"x" * 10**6)
    app = Assets(FileResponse(script), folder)
    asyncio.run(get(app, receive=left))
    status, _, body = asyncio.run(get(app, receive=left))
    assert status == 200
    assert len(body) == 10**6


def test_each_encoding_has_an_answer_of_its_own(folder):
    gradio = FakeGradio()
    app = Assets(gradio, folder)

    async def visits():
        encodings = ("br", "gzip", "gzip, deflate, br, zstd", "gzip;q=1.0")
        return [await get(app, accept_encoding=encoding) for encoding in encodings]

    answers = asyncio.run(visits())
    assert [h[b"content-encoding"] for _, h, _ in answers] == [b"br", b"gzip"] * 2
    assert len({body for _, _, body in answers}) == 1
    assert gradio.answered == 2


@pytest.mark.parametrize(
    "request_",
    [
        {"path": "/"},
        {"path": "/theme.css"},  # whose content is not named
        {"path": "/assets/"},
        {"path": "/assets/Index-d4.js"},  # the same file where case does not matter
        {"path": "/assets/.././assets/index-D4.js"},  # as many names of a file as one likes
        {"path": "/static/js/iframeResizer.js"},
        {"path": "/gradio_api/assets/index.js"},
        {"method": "HEAD"},
        {"accept_encoding": ""},
        {"if_none_match": '"1"'},
        {"if_modified_since": "Sun, 29 Nov 2026 15:09:47 GMT"},
        {"range": "bytes=0-9"},
    ],
    ids=str,
)
def test_nothing_else_is_kept(request_, folder):
    gradio = FakeGradio()
    app = Assets(gradio, folder)

    async def visits():
        return [await get(app, **request_) for _ in range(2)]

    asyncio.run(visits())
    assert gradio.answered == 2
    assert app._answers == {}


@pytest.mark.parametrize("status", [404, 500])
def test_failures_are_kept_neither_here_nor_by_browsers(status, folder):
    gradio = FakeGradio(status)
    app = Assets(gradio, folder)

    async def visits():
        return [await get(app) for _ in range(2)]

    answers = asyncio.run(visits())
    assert gradio.answered == 2
    assert all(b"cache-control" not in headers for _, headers, _ in answers)
