"""The document that all visitors get, as plain ASGI."""

import asyncio
import gzip
from types import SimpleNamespace

import pytest

from charlm.ui import document
from charlm.ui.document import Document

HTML = b"<html><head></head><body><gradio-app></gradio-app></body></html>"
PAGE = SimpleNamespace(share_url=None, masthead="", first_text="", theme_hash="x")


class FakeGradio:
    """An application that counts how often it renders the document."""

    def __init__(self, status=200, content_type=b"text/html; charset=utf-8"):
        self.status, self.headers = status, [(b"content-type", content_type)]
        self.rendered = []

    async def __call__(self, scope, receive, send):
        self.rendered.append(scope["query_string"])
        await asyncio.sleep(0)
        start = {"type": "http.response.start", "status": self.status, "headers": self.headers}
        await send(start)
        await send({"type": "http.response.body", "body": HTML[:9], "more_body": True})
        await send({"type": "http.response.body", "body": HTML[9:]})


async def get(app, query=b"", **headers):
    """Return (status, body) of a request for the document."""
    headers = {"host": "127.0.0.1"} | headers
    pairs = [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()]
    scope = {"type": "http", "method": "GET", "path": "/", "scheme": "http", "headers": pairs}
    sent = []

    async def send(message):
        sent.append(message)

    await app(scope | {"query_string": query}, None, send)
    length = dict(sent[0]["headers"]).get(b"content-length")
    assert length == b"%d" % len(sent[1]["body"])
    is_gzip = dict(sent[0]["headers"]).get(b"content-encoding") == b"gzip"
    assert is_gzip == (not query and "accept_encoding" in headers and sent[0]["status"] == 200)
    return sent[0]["status"], gzip.decompress(sent[1]["body"]) if is_gzip else sent[1]["body"]


def test_a_crowd_that_comes_at_once_gets_one_rendering_and_each_its_first_paint():
    gradio = FakeGradio()
    app = Document(gradio, PAGE)

    async def crowd():
        return await asyncio.gather(*(get(app, query) for query in [b"", b"tab=watch"] * 20))

    answers = asyncio.run(crowd())
    assert gradio.rendered == [b""], "it knows nothing of the visitor's query"
    assert len(set(answers)) == 2
    assert b'class="columns play"' in answers[0][1]
    assert b'class="columns watch"' in answers[1][1]


def test_the_document_without_a_query_is_compressed_once_for_those_who_take_it():
    app = Document(FakeGradio(), PAGE)

    async def visits():
        accept = {"accept_encoding": "gzip, br"}
        return [await get(app), await get(app, **accept), await get(app, b"tab=play", **accept)]

    assert len(set(asyncio.run(visits()))) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "localhost"},
        {"x_forwarded_host": "page.example"},
        {"x_forwarded_proto": "https"},
        {"x_gradio_server": "http://page.example"},
    ],
)
def test_each_address_has_a_document_of_its_own(headers):
    gradio = FakeGradio()
    app = Document(gradio, PAGE)

    async def visits():
        for _ in range(2):
            await get(app)
            await get(app, **headers)

    asyncio.run(visits())
    assert len(gradio.rendered) == 2


def test_few_documents_are_kept():
    gradio = FakeGradio()
    app = Document(gradio, PAGE)

    async def visits():
        for n in range(100):
            await get(app, host=f"127.0.0.{n}")

    asyncio.run(visits())
    assert len(app._documents) == document.MAX_DOCUMENTS
    assert len(app._compressed) <= document.MAX_DOCUMENTS


@pytest.mark.parametrize("app", [(500, b"text/html"), (200, b"application/json")])
def test_no_other_answer_is_kept(app):
    gradio = FakeGradio(*app)
    document = Document(gradio, PAGE)
    for _ in range(2):
        assert asyncio.run(get(document))[0] == app[0]
    assert len(gradio.rendered) == 2
