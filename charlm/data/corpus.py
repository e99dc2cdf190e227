"""The text: found or fetched, split in two, and cut into batches."""

import hashlib
import os
import urllib.request
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from charlm.data.tokenizer import normalize_newlines
from charlm.errors import CharlmError
from charlm.files import write_atomically

URL = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
NAME = "tinyshakespeare"
TIMEOUT = 10  # seconds of silence from the network before giving up
SMALLEST = 1000  # characters


class DataError(CharlmError):
    """A corpus that cannot be had or used; the message says which, why and what to do."""


@dataclass(frozen=True)
class Corpus:
    """A text and where it came from. `sha256` is that of the file's bytes."""

    name: str
    sha256: str
    text: str

    def check_room(self, block_size):
        """Raise DataError unless the training split has a window of `block_size` characters."""
        n_train = int(0.9 * len(self.text))
        if n_train <= block_size:
            raise DataError(
                f"block_size is {block_size}, but nine tenths of {self.name}, which are for"
                f" training, have {n_train} characters; choose a smaller block_size"
            )

    def split(self, tokenizer):
        """First 90 % and last 10 % as ids: two int64 tensors, (N_train,) and (N_val,)."""
        ids = torch.tensor(tokenizer.encode(self.text))
        n_train = int(0.9 * len(ids))
        return ids[:n_train], ids[n_train:]


def load_corpus(path=None):
    """The corpus at `path`, else at $CHARLM_DATA, else Tiny Shakespeare, from the cache or the web.

    Raises DataError if it is missing, unreachable, not text, or shorter than 1,000 characters.
    """
    if path := path or os.environ.get("CHARLM_DATA"):
        return read_corpus(Path(path))
    path = cache_directory() / f"{NAME}.txt"
    if not (path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == SHA256):
        download(path)
    return read_corpus(path)


def read_corpus(path):
    """The UTF-8 text file at `path`; raises DataError saying what is wrong with it."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read the text {path}: {error.strerror}") from None
    corpus = make_corpus(raw, path)
    return replace(corpus, name=NAME if corpus.sha256 == SHA256 else path.name)


def make_corpus(raw, name):
    """The Corpus of a text's UTF-8 bytes; raises DataError, with its name, if they are none."""
    try:
        text = normalize_newlines(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise DataError(
            f"{name} is not UTF-8 text (byte {error.start} is no part of it); save it as UTF-8"
        ) from None
    if "\0" in text:
        raise DataError(f"{name} is a binary file (it has NUL bytes); give a plain text")
    if len(text) < SMALLEST:
        raise DataError(
            f"{name} has {len(text)} characters; a model needs at least {SMALLEST:,} to learn from"
        )
    if len(set(text)) == 1:
        raise DataError(f"{name} is one character over and over; there is nothing to learn in it")
    return Corpus(name, hashlib.sha256(raw).hexdigest(), text)


def cache_directory():
    """Where downloads are kept: charlm/ below $XDG_CACHE_HOME or ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "charlm"


def download(target):
    """Fetch Tiny Shakespeare to `target`, checked by SHA-256 and whole or not at all."""
    advice = f"save {URL} yourself and give it with --data FILE or CHARLM_DATA=FILE"
    try:
        with urllib.request.urlopen(URL, timeout=TIMEOUT) as response:
            raw = response.read()
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise DataError(f"cannot download Tiny Shakespeare ({reason}); {advice}") from None
    if hashlib.sha256(raw).hexdigest() != SHA256:
        raise DataError(f"what {URL} sent is not Tiny Shakespeare (wrong SHA-256); {advice}")
    try:
        write_atomically(target, raw)
    except OSError as error:
        raise DataError(f"cannot write {target}: {error.strerror}; {advice}") from None
