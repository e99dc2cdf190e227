"""What the Guess tab asks for: a passage, by the code that its address holds, or a text."""

import base64
import binascii
import re

from charlm.errors import CharlmError
from charlm.serving.parameters import MAX_INT, MAX_NAME_CHARS, Integer, Text
from charlm.serving.passages import Typed, Validation, Written
from charlm.ui.link import MAX_QUERY_CHARS
from charlm.ui.shown_text import request_parts

PASSAGE, ANOTHER = ACTIONS = ("passage", "another")
MAX_TYPED_CHARS = 2_000
MAX_JSON_CHARS = 6 * 2 * (MAX_TYPED_CHARS + MAX_QUERY_CHARS)  # each character escaped
CORPUS_CODE = re.compile(r"corpus\.([0-9a-f]{12})\.([0-9]{1,9})")
MODEL_CODE = re.compile(r"model\.([0-9]{1,19})\.([0-9a-f]{0,12})\.(.+)", re.DOTALL)
TYPED_CODE = re.compile(r"typed\.([\w-]+)", re.ASCII)


def parse_guess_request(text):
    """Return (source, other_than): the sources of the passage that the browser asks for, and of the
    one that it shows. Each may be None: any passage will do, and none is shown. Raises CharlmError.
    """
    action, parts = request_parts(text, ACTIONS)
    checks = {"text": Text("", MAX_TYPED_CHARS), "code": Text("", MAX_QUERY_CHARS)}
    typed, code = (check.check(name, parts.get(name)) for name, check in checks.items())
    source = parse_code(code) if code else Typed(typed) if typed.strip() else None
    return (None, source) if action == ANOTHER else (source, None)


def parse_code(code):
    """Return the source that a code names: see `code_of`. Raises CharlmError."""
    if match := CORPUS_CODE.fullmatch(code):
        return Validation(match[1], int(match[2]))
    if match := MODEL_CODE.fullmatch(code):
        name = Text("", MAX_NAME_CHARS).check("passage", match[3])
        return Written(name, match[2], Integer(0, 0, MAX_INT).check("passage", int(match[1])))
    if match := TYPED_CODE.fullmatch(code):
        try:
            raw = base64.urlsafe_b64decode(match[1] + "=" * (-len(match[1]) % 4))
            return Typed(Text("", MAX_TYPED_CHARS).check("passage", raw.decode()))
        except (binascii.Error, UnicodeDecodeError):
            pass
    raise CharlmError("the passage of this address is incomplete; copy the whole address")


def code_of(source):
    """Return the code of a source, for an address. A typed text cannot be read in it at a glance,
    since it has the letters to guess.
    """
    if isinstance(source, Validation):
        return f"corpus.{source.digest}.{source.offset}"
    if isinstance(source, Written):
        return f"model.{source.seed}.{source.revision}.{source.model}"
    return "typed." + base64.urlsafe_b64encode(source.text.encode()).decode().rstrip("=")
