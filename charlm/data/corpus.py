"""The text to train on: read from a file or downloaded, and split in two."""

import codecs
import hashlib
import http.client
import os
import urllib.request
from dataclasses import dataclass, replace

from charlm.console import warn_once
from charlm.data.tokenizer import normalize_newlines
from charlm.errors import CharlmError
from charlm.files import PointerError, refuse_pointer, write_atomically
from charlm.paths import expand, is_writable, user_directories

URL = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
NAME = "tinyshakespeare"
TIMEOUT = 10  # seconds without data from the network
MIN_CHARS = 1000


class DataError(CharlmError):
    """A text that cannot be read or used; the message says which, why, and what to do."""


@dataclass(frozen=True)
class Corpus:
    """A text with its name and its SHA-256."""

    name: str
    sha256: str  # of the text as a model learns it, in UTF-8
    text: str
    file_sha256: str = ""  # of the file it was read from; older runs recorded that one

    def has_sha256(self, sha256):
        """Return whether a run that recorded this SHA-256 was trained on this text."""
        return sha256 in (self.sha256, self.file_sha256)

    def check_room(self, block_size):
        """Raise DataError unless the training split is longer than `block_size`."""
        n_train = int(0.9 * len(self.text))
        if n_train <= block_size:
            raise DataError(
                f"block_size is {block_size}, but nine tenths of {self.name}, which are for"
                f" training, have {n_train} characters; choose a smaller block_size"
            )

    @property
    def training_part(self):
        """The first 90 % of the text."""
        return self.text[: int(0.9 * len(self.text))]

    @property
    def validation_part(self):
        """The last 10 % of the text."""
        return self.text[int(0.9 * len(self.text)) :]

    def split(self, tokenizer):
        """Return the first 90 % and last 10 % as ids: int64 tensors (N_train,) and (N_val,)."""
        ids = tokenizer.encode_corpus(self.text)
        n_train = int(0.9 * len(ids))
        return ids[:n_train], ids[n_train:]


def load_corpus(path=None):
    """Return the corpus at `path`, else at $CHARLM_DATA, else Tiny Shakespeare.

    Tiny Shakespeare is downloaded once, to a cache directory. Raises DataError if the text cannot
    be read or downloaded, or is not a text of at least 1,000 characters.
    """
    if path := path or os.environ.get("CHARLM_DATA"):
        return read_corpus(expand(path))
    for cached in cached_paths():
        try:
            corpus = read_corpus(cached)
        except DataError:  # it is not there, or was cut off
            continue
        if corpus.sha256 == SHA256:
            return corpus
    return download()


def find_corpus(name, sha256, paths, fetch=True, read=None):
    """Return (corpus, path) of the text of a run, which may have been moved since.

    `name` and `sha256`: what the run recorded. It is looked for at `paths`, where None entries
    count for nothing, at $CHARLM_DATA, and in the cache directories; with `fetch`, Tiny Shakespeare
    is downloaded if need be. `read`: what reads a path, in place of `read_corpus`. Raises
    DataError, which says where it was looked for.
    """
    shakespeare = sha256 == SHA256
    places = [*paths, os.environ.get("CHARLM_DATA"), *(cached_paths() if shakespeare else ())]
    failures = []
    for path in dict.fromkeys(expand(place) for place in places if place):
        try:
            corpus = (read or read_corpus)(path)
            if corpus.has_sha256(sha256):
                return corpus, path
            failures.append(f"{path} is another text")
        except DataError as error:
            failures.append(str(error))
    if shakespeare and fetch:
        return download(), None
    tried = "; ".join(failures) or "nothing names its file"
    raise DataError(f"the run's text {name} was not found ({tried}); give it with --data FILE")


def read_corpus(path):
    """Return the Corpus in a UTF-8 file; raises DataError."""
    try:
        corpus = make_corpus(path.read_bytes(), path)
    except OSError as error:
        raise DataError(f"cannot read the text {path}: {error.strerror}") from None
    except MemoryError:
        size = f"{path.stat().st_size:,} bytes"
        raise DataError(f"the text {path} does not fit in memory ({size})") from None
    name = os.fsencode(path.name).decode(errors="replace")  # the system allows any bytes
    return replace(corpus, name=NAME if corpus.sha256 == SHA256 else name)


def make_corpus(raw, name):
    """Return the Corpus of a text's UTF-8 bytes; raises DataError, with its name."""
    try:
        refuse_pointer(raw)
    except PointerError as error:
        raise DataError(f"{name} {error}") from None
    if encoding := other_encoding(raw):
        convert = f"`iconv -f {encoding} -t UTF-8 FILE > NEW_FILE`"
        raise DataError(f"{name} is {encoding}, not UTF-8; save it as UTF-8, as by {convert}")
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
    digests = (hashlib.sha256(data).hexdigest() for data in (text.encode(), raw))
    return Corpus(name, next(digests), text, next(digests))


def other_encoding(raw):
    """Return "UTF-16" or "UTF-32" if a text's bytes are in one of them, marked or not; else None.

    Of the text that most people write, every other byte, or three of four, are then NUL.
    """
    if raw.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "UTF-32"
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "UTF-16"
    start = raw[: 2**16 // 4 * 4]
    for width in (4, 2):
        for order in ("LE", "BE"):
            low = start[0 if order == "LE" else width - 1 :: width]
            zeros = start.count(0) - low.count(0)
            if start and zeros > 0.8 * (len(start) - len(low)) and low.count(0) < 0.1 * len(low):
                return f"UTF-{8 * width}{order}"
    return None


def cached_paths():
    """Return the paths at which a downloaded Tiny Shakespeare may be."""
    return [directory / f"{NAME}.txt" for directory in user_directories("cache")]


def download():
    """Download Tiny Shakespeare, check its SHA-256 and cache it; return it, or raise DataError."""
    advice = f"save {URL} yourself and give it with --data FILE or CHARLM_DATA=FILE"
    try:
        with urllib.request.urlopen(URL, timeout=TIMEOUT) as response:
            raw = response.read()
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise DataError(f"cannot download Tiny Shakespeare ({reason}); {advice}") from None
    if hashlib.sha256(raw).hexdigest() != SHA256:
        raise DataError(f"the file at {URL} is not Tiny Shakespeare (wrong SHA-256); {advice}")
    cached = cached_paths()
    target = next((path for path in cached if is_writable(path.parent)), cached[0])
    try:
        write_atomically(target, raw)
    except OSError as error:
        warn_once(f"Tiny Shakespeare is not kept: cannot write {target}: {error.strerror}")
    return make_corpus(raw, NAME)
