"""Output that cannot be written is dropped."""

import io

import pytest

from charlm.console import Console


class Broken:
    encoding = "utf-8"

    def write(self, text):
        raise self.error

    def flush(self):
        raise self.error


class WriteOnly:
    """A stream of another program, with nothing but `write`."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text


@pytest.mark.parametrize(
    "error", [BrokenPipeError(), OSError(28, "No space left"), ValueError("closed"), RuntimeError()]
)
def test_a_broken_stream_raises_nothing(error):
    stream = Broken()
    stream.error = error
    console = Console(stream)
    assert console.write("text") == 4
    console.flush()
    assert not console.isatty()


def test_a_missing_stream_raises_nothing():
    console = Console(None)
    print("text", file=console, flush=True)
    assert (console.isatty(), console.encoding) == (False, "utf-8")


def test_a_stream_with_nothing_but_write_is_written():
    stream = WriteOnly()
    print("a", "b", file=Console(stream), flush=True)
    assert stream.text == "a b\n"


@pytest.mark.parametrize("text", ["h\xe9", "\udce9", "\u4e2d"])
def test_characters_that_an_encoding_lacks_are_replaced(text):
    raw = io.BytesIO()
    console = Console(io.TextIOWrapper(raw, encoding="ascii"))
    print(text, "!", file=console, flush=True)
    assert raw.getvalue().endswith(b"? !\n")
