"""What the Look inside tab asks for: a text, a letter of it, a panel, from the browser."""

from dataclasses import dataclass

from charlm.errors import CharlmError
from charlm.serving.generate import sample_config
from charlm.serving.inspected_text import inspected_text
from charlm.serving.parameters import MAX_INT, MAX_NAME_CHARS, MAX_PARTS_CHARS, Integer, Text
from charlm.ui.inside_html import PANELS
from charlm.ui.page import OneOf
from charlm.ui.shown_text import MAX_TEXT_CHARS, Shown, request_parts, shown_of

INSPECT = "inspect"


@dataclass(frozen=True)
class InsideRequest:
    """A request of the tab."""

    shown: Shown  # the text and the index of the letter
    off: str  # the parts that are switched off
    panel: str  # one of PANELS
    changed: int  # the index of the letter that is changed; -1: none was chosen
    other: str  # the letter in its place; "": none was typed
    serial: int  # of the request, which the answer repeats
    has_text: bool  # whether the browser shows the text already
    costs_of: str  # the digest of the text whose costs it shows, see InspectedText

    def inspected(self, library):
        """Return the InspectedText with all parts on. Raises CharlmError."""
        shown = self.shown
        config = sample_config(1, *shown.link.settings[1:])
        text = shown.text, shown.prompt_length, shown.index
        return inspected_text(library, *text, shown.link.model, config)


def parse_inside_request(text, limits):
    """Return the InsideRequest that the browser sent as JSON. Raises CharlmError."""
    _, parts = request_parts(text, [INSPECT])
    shown = shown_of(parts, limits)
    if shown.index > len(shown.text):
        raise CharlmError(f"index is {shown.index}; the text has {len(shown.text)} characters")
    checks = {"off": Text("", MAX_PARTS_CHARS), "panel": OneOf(tuple(PANELS))}
    checks |= {"changed": Integer(-1, -1, MAX_TEXT_CHARS), "other": Text("", 1)}
    checks |= {"serial": Integer(0, 0, MAX_INT), "costs_of": Text("", MAX_NAME_CHARS)}
    values = {name: check.check(name, parts.get(name)) for name, check in checks.items()}
    return InsideRequest(shown, **values, has_text=parts.get("has_text") is True)
