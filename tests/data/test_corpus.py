import hashlib
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch

from charlm.data import corpus as corpus_module
from charlm.data.corpus import DataError, load_corpus, read_corpus
from charlm.data.tokenizer import CharTokenizer


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "has 0 characters; a model needs at least 1,000"),
        (b"ten chars.", "has 10 characters"),
        (b"caf\xe9 " * 500, "not UTF-8 text .byte 3"),
        (b"\0\1\2text" * 500, "binary file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer.*git lfs pull"),
        (("KING: no!\n" * 200).encode("utf-16"), "is UTF-16, not UTF-8.*iconv -f UTF-16 -t UTF-8"),
        (("KING: no!\n" * 200).encode("utf-16-le"), "is UTF-16LE, not UTF-8.*iconv -f UTF-16LE"),
        (("Ach, König!\n" * 200).encode("utf-16-be"), "is UTF-16BE, not UTF-8"),
        (("KING: no!\n" * 200).encode("utf-32"), "is UTF-32, not UTF-8"),
        (("KING: no!\n" * 200).encode("utf-32-be"), "is UTF-32BE, not UTF-8"),
    ],
)
def test_an_unusable_text_is_named_with_the_reason(tmp_path, raw, message):
    path = tmp_path / "bad.txt"
    path.write_bytes(raw)
    with pytest.raises(DataError, match=f"bad.txt.*{message}"):
        read_corpus(path)


def test_a_missing_text_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.txt: No such file"):
        load_corpus(tmp_path / "none.txt")


def test_line_ends_are_normalised_and_byte_order_marks_removed(tmp_path):
    path = tmp_path / "own.txt"
    path.write_bytes("\ufeffΑβγ\r\nδ\r".encode() * 300)
    assert read_corpus(path).text.startswith("Αβγ\nδ\n")


def test_the_environment_variable_names_the_text(text_file, monkeypatch):
    monkeypatch.setenv("CHARLM_DATA", str(text_file))
    corpus = load_corpus()
    assert corpus.sha256 == hashlib.sha256(text_file.read_bytes()).hexdigest()
    assert corpus.name == "small.txt"


def test_the_split_is_the_first_nine_tenths(corpus):
    tokenizer = CharTokenizer.fit(corpus.text)
    train, val = corpus.split(tokenizer)
    assert len(train) == int(0.9 * len(corpus.text))
    assert tokenizer.decode(torch.cat([train, val]).tolist()) == corpus.text


@pytest.fixture
def web(tmp_path, monkeypatch):
    """The folder of a local web server that replaces the one with Tiny Shakespeare."""
    folder = tmp_path / "web"
    folder.mkdir()
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(corpus_module, "URL", f"http://127.0.0.1:{server.server_port}/input.txt")
    monkeypatch.delenv("CHARLM_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield folder
    server.shutdown()
    server.server_close()


def test_the_download_is_checked_and_cached(web, tmp_path, monkeypatch):
    raw = b"To sing a song that old was sung\n" * 100
    (web / "input.txt").write_bytes(raw)
    with pytest.raises(DataError, match="wrong SHA-256"):
        load_corpus()
    assert not list((tmp_path / "cache").rglob("*.txt"))

    monkeypatch.setattr(corpus_module, "SHA256", hashlib.sha256(raw).hexdigest())
    assert load_corpus().name == "tinyshakespeare"
    (web / "input.txt").unlink()
    assert load_corpus().text == raw.decode()

    (tmp_path / "cache/charlm/tinyshakespeare.txt").write_bytes(raw[:-5])
    with pytest.raises(DataError, match="cannot download"):
        load_corpus()


def test_a_failed_download_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus_module, "URL", "http://127.0.0.1:9/input.txt")
    monkeypatch.delenv("CHARLM_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(DataError, match=r"cannot download Tiny Shakespeare .*--data FILE"):
        load_corpus()


def test_tiny_shakespeare_has_the_documented_size(tinyshakespeare):
    assert (tinyshakespeare.name, len(tinyshakespeare.text)) == ("tinyshakespeare", 1_115_394)
    assert CharTokenizer.fit(tinyshakespeare.text).vocab_size == 65
