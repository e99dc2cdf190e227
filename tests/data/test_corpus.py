import hashlib
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from charlm.data import corpus as data
from charlm.data.batches import batch
from charlm.data.corpus import DataError, load_corpus, read_corpus
from charlm.data.tokenizer import CharTokenizer
from charlm.rng import fold_in


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "has 0 characters; a model needs at least 1,000"),
        (b"ten chars.", "has 10 characters"),
        (b"caf\xe9 " * 500, "not UTF-8 text .byte 3"),
        (b"\0\1\2text" * 500, "binary file"),
    ],
)
def test_a_text_that_cannot_be_used_is_named(tmp_path, raw, message):
    path = tmp_path / "bad.txt"
    path.write_bytes(raw)
    with pytest.raises(DataError, match=f"bad.txt.*{message}"):
        read_corpus(path)


def test_a_missing_text_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.txt: No such file"):
        load_corpus(tmp_path / "none.txt")


def test_line_ends_and_byte_order_marks_are_normalised(tmp_path):
    path = tmp_path / "own.txt"
    path.write_bytes("\ufeffΑβγ\r\nδ\r".encode() * 300)
    assert read_corpus(path).text.startswith("Αβγ\nδ\n")


def test_the_environment_names_the_text(text_file, monkeypatch):
    monkeypatch.setenv("CHARLM_DATA", str(text_file))
    corpus = load_corpus()
    assert corpus.sha256 == hashlib.sha256(text_file.read_bytes()).hexdigest()
    assert corpus.name == "small.txt"


def test_the_split_is_the_first_nine_tenths(corpus):
    tokenizer = CharTokenizer.fit(corpus.text)
    train, val = corpus.split(tokenizer)
    assert len(train) == int(0.9 * len(corpus.text))
    assert tokenizer.decode(torch.cat([train, val]).tolist()) == corpus.text


@given(seed=st.integers(0, 2**40), step=st.integers(0, 10**6))
def test_a_batch_is_a_pure_function_of_seed_and_step(seed, step):
    ids = torch.arange(1000)
    torch.manual_seed(0)
    x, y = batch(ids, 3, 8, seed, step)
    torch.manual_seed(1)
    again = batch(ids, 3, 8, seed, step)
    assert x.equal(again[0]) and y.equal(again[1])
    assert x.shape == (3, 8) and y.equal(x + 1)
    assert not x.equal(batch(ids, 3, 8, seed, step + 1)[0])


def test_batches_reach_both_ends_of_the_text():
    ids = torch.arange(12)
    starts = {int(x) for step in range(50) for x in batch(ids, 4, 8, 0, step)[0][:, 0]}
    assert starts == {0, 1, 2, 3}


def test_fold_in_tells_counters_apart():
    seeds = {fold_in(s, a, b) for s in range(5) for a in range(20) for b in range(20)}
    assert len(seeds) == 2000
    assert fold_in(1, 23) != fold_in(12, 3)


@pytest.fixture
def web(tmp_path, monkeypatch):
    """A web server on this machine in the place of the one that has Tiny Shakespeare."""
    folder = tmp_path / "web"
    folder.mkdir()
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(data, "URL", f"http://127.0.0.1:{server.server_port}/input.txt")
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

    monkeypatch.setattr(data, "SHA256", hashlib.sha256(raw).hexdigest())
    assert load_corpus().name == "tinyshakespeare"
    (web / "input.txt").unlink()
    assert load_corpus().text == raw.decode()

    (tmp_path / "cache/charlm/tinyshakespeare.txt").write_bytes(raw[:-5])
    with pytest.raises(DataError, match="cannot download"):
        load_corpus()


def test_without_a_network_it_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "URL", "http://127.0.0.1:9/input.txt")
    monkeypatch.delenv("CHARLM_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(DataError, match=r"cannot download Tiny Shakespeare .*--data FILE"):
        load_corpus()


def test_tiny_shakespeare_is_what_the_plan_says(tinyshakespeare):
    assert (tinyshakespeare.name, len(tinyshakespeare.text)) == ("tinyshakespeare", 1_115_394)
    assert CharTokenizer.fit(tinyshakespeare.text).vocab_size == 65


@pytest.mark.parametrize(
    ("length", "block_size", "batch_size"), [(1003, 10, 7), (30, 8, 5), (9, 8, 3)]
)
def test_an_epoch_has_every_window_once(length, block_size, batch_size):
    ids, n = torch.arange(length), max(1, (length - 1) // block_size - 1)
    rows, seen = [], []
    for step in range(3 * n):
        x, y = batch(ids, batch_size, block_size, 5, step, "epochs")
        assert x.shape == (batch_size, block_size)
        assert y.equal(x + 1)
        rows += x[:, 0].tolist()
    for epoch in range(3 * n * batch_size // n):
        starts = sorted(rows[epoch * n : (epoch + 1) * n])
        assert starts == list(range(starts[0], starts[0] + n * block_size, block_size))
        seen.append(rows[epoch * n : (epoch + 1) * n])
    assert n == 1 or seen[0] != seen[1]
