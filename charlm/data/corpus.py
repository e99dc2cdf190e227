"""The text to train on: read from a file or downloaded, and split in two."""

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
TIMEOUT = 10  # seconds without data from the network
MIN_CHARS = 1000


class DataError(CharlmError):
    """A text that cannot be read or used; the message says which, why, and what to do."""


@dataclass(frozen=True)
class Corpus:
    """A text with its name and the SHA-256 of its file."""

    name: str
    sha256: str
    text: str

    def check_room(self, block_size):
        """Raise DataError unless the training split is longer than `block_size`."""
        n_train = int(0.9 * len(self.text))
        if n_train <= block_size:
            raise DataError(
                f"block_size is {block_size}, but nine tenths of {self.name}, which are for"
                f" training, have {n_train} characters; choose a smaller block_size"
            )

    def split(self, tokenizer):
        """Return the first 90 % and last 10 % as ids: int64 tensors (N_train,) and (N_val,)."""
        ids = torch.tensor(tokenizer.encode(self.text))
        n_train = int(0.9 * len(ids))
        return ids[:n_train], ids[n_train:]


def load_corpus(path=None):
    """Return the corpus at `path`, else at $CHARLM_DATA, else Tiny Shakespeare.

    Tiny Shakespeare is downloaded once, to the cache directory. Raises DataError if the text cannot
    be read or downloaded, or is not a text of at least 1,000 characters.
    """
    if path := path or os.environ.get("CHARLM_DATA"):
        return read_corpus(Path(path))
    path = cache_directory() / f"{NAME}.txt"
    if not (path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == SHA256):
        download(path)
    return read_corpus(path)


def read_corpus(path):
    """Return the Corpus in a UTF-8 file; raises DataError."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read the text {path}: {error.strerror}") from None
    corpus = make_corpus(raw, path)
    return replace(corpus, name=NAME if corpus.sha256 == SHA256 else path.name)


def make_corpus(raw, name):
    """Return the Corpus of a text's UTF-8 bytes; raises DataError, with its name."""
    try:
        text = normalize_newlines(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise DataError(
            f"{name} is not UTF-8 text (byte {error.start} is invalid); save it as UTF-8"
        ) from None
    if "\0" in text:
        raise DataError(f"{name} is a binary file (it has NUL bytes); give a plain text")
    if len(text) < MIN_CHARS:
        raise DataError(
            f"{name} has {len(text)} characters; a model needs at least {MIN_CHARS:,} to learn from"
        )
    if len(set(text)) == 1:
        raise DataError(f"{name} is one character over and over; there is nothing to learn in it")
    return Corpus(name, hashlib.sha256(raw).hexdigest(), text)


def cache_directory():
    """Return the directory for downloads: charlm/ in $XDG_CACHE_HOME or ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "charlm"


def download(target):
    """Download Tiny Shakespeare to `target`, and check its SHA-256; raises DataError."""
    advice = f"save {URL} yourself and give it with --data FILE or CHARLM_DATA=FILE"
    try:
        with urllib.request.urlopen(URL, timeout=TIMEOUT) as response:
            raw = response.read()
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise DataError(f"cannot download Tiny Shakespeare ({reason}); {advice}") from None
    if hashlib.sha256(raw).hexdigest() != SHA256:
        raise DataError(f"the file at {URL} is not Tiny Shakespeare (wrong SHA-256); {advice}")
    try:
        write_atomically(target, raw)
    except OSError as error:
        raise DataError(f"cannot write {target}: {error.strerror}; {advice}") from None
