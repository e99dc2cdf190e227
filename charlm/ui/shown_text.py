"""The text that the page shows, and the requests that go on from it.

The browser keeps the text, so that it outlives the server: an attribute of the text's HTML
describes it, and page.js sends both back when a visitor presses "Next letter" or "Continue", or
selects a letter.
"""

import json
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl

from charlm.errors import CharlmError
from charlm.serving.generate import TextRequest, random_seed, sample_config
from charlm.serving.parameters import MAX_NAME_CHARS, Integer, Text
from charlm.ui.link import SETTINGS, Link, link_from_query, link_parameters

MAX_TEXT_CHARS = 20_000  # of a text, beyond which it is not continued
MAX_JSON_CHARS = 6 * 2 * MAX_TEXT_CHARS  # the text and its prompt, each character escaped
GENERATE, CONTINUE, LETTER, LINK = "generate", "continue", "letter", "link"
LOOK, BRANCH = "look", "branch"  # at a letter's chances; off with another letter
ADDRESS = "address"  # as LINK, of the address
TEXT_ACTIONS = (GENERATE, CONTINUE, LINK, BRANCH, ADDRESS)  # which request many letters


@dataclass(frozen=True)
class Shown:
    """A text that was written on the page."""

    link: Link  # to it
    text: str  # the prompt and the characters generated after it
    prompt_length: int  # characters of `text`
    index: int = 0  # of the letter that is selected, for LOOK and BRANCH
    char: str = ""  # in its place, for BRANCH

    @property
    def written(self):
        """The characters generated after the prompt."""
        return self.text[self.prompt_length :]


def shown_json(link, prompt_length):
    """Return the description of a text that its HTML carries."""
    return json.dumps(link.parts() | {"prompt_length": prompt_length})


def link_request(link):
    """Return the request to show the text of a Link."""
    shown = {"text": link.prompt, "prompt_length": len(link.prompt), "written": link.written}
    return json.dumps({"action": LINK, **shown, **link.parts()})


def parse_request(text, limits, allowed):
    """Return (action, Shown) of a request that the browser sent; the Shown is None without a text.

    Raises CharlmError if it is not one of an `allowed` action.
    """
    action, parts = request_parts(text, allowed)
    if action == ADDRESS:
        return LINK, shown_in(parts.get("query"), limits)
    if action == GENERATE or (parts.get("model") is None and action in (CONTINUE, LETTER)):
        return action, None
    shown = shown_of(parts, limits)
    if action in (LOOK, BRANCH) and shown.index >= len(shown.text):
        raise CharlmError(f"index is {shown.index}; the text has {len(shown.text)} characters")
    return action, shown


def request_parts(text, allowed):
    """Return (action, the JSON object) of a request, whose other values are not checked.

    Raises CharlmError if it is not one of an `allowed` action.
    """
    try:
        parts = json.loads(text or "{}")
    except (ValueError, RecursionError):
        parts = None
    if not isinstance(parts, dict):
        raise CharlmError("this is not a request of the page; reload it")
    action = parts.get("action", GENERATE)
    if action not in allowed:
        raise CharlmError(f"action must be one of {', '.join(allowed)}")
    return action, parts


def shown_of(parts, limits):
    """Return the Shown that a request describes. Raises CharlmError."""
    long, index = Text("", MAX_TEXT_CHARS), Integer(0, 0, MAX_TEXT_CHARS)
    checks = {"prompt": long, "model": Text("", MAX_NAME_CHARS), **link_parameters(limits)}
    checks |= {"text": long, "prompt_length": index, "index": index, "char": Text("", 1)}
    values = {name: check.check(name, parts.get(name)) for name, check in checks.items()}
    settings = tuple(values[name] for name in SETTINGS)
    link = Link(values["prompt"], values["model"], values["revision"], settings, values["written"])
    others = (values[name] for name in ("text", "prompt_length", "index", "char"))
    return Shown(link, *others)


def shown_in(query, limits):
    """Return the Shown that the query of an address names. Raises CharlmError."""
    query = Text("", MAX_JSON_CHARS).check("query", query)
    params = dict(parse_qsl(query.removeprefix("?"), keep_blank_values=True))
    link, problems = link_from_query(params, "", limits)
    if problems or not link:
        raise CharlmError(" ".join(problems) or "this address holds no text")
    return Shown(link, link.prompt, len(link.prompt))


def next_text(action, fields, shown):
    """Return (Link, TextRequest) of the text that an action asks for.

    `fields`: the Link that the page's controls describe, with the revision of its model now.
    `shown`: the Shown, or None. "Next letter" and "Continue" go on from it with its seed. If the
    model or a setting has changed since, all of it becomes the prompt of the new text. "Next
    letter" begins anew if the prompt has changed.
    """
    length = 1 if action == LETTER else fields.settings[0]
    if action in (LETTER, CONTINUE) and shown and len(shown.text) + length > MAX_TEXT_CHARS:
        most = f"{MAX_TEXT_CHARS:,} characters, beyond which no text goes on"
        raise CharlmError(f"this text would exceed {most}; begin a new one")
    if action == LETTER and shown and shown.link.prompt != fields.prompt:
        shown = None
    if action == LINK:
        link = with_seed(replace(shown.link, revision=fields.revision), -1)
        return link, text_request(link, link.written or link.settings[0])
    if action == LOOK:
        return shown.link, look_request(shown)
    if action == BRANCH:
        prompt = shown.text[: shown.index] + shown.char
        link = replace(shown.link, prompt=prompt, revision=fields.revision)
        return link, text_request(link, link.settings[0])
    if action == GENERATE or shown is None:
        link = with_seed(fields, -1)
        return link, text_request(link, length, keep_alternatives=action == LETTER)
    link, written = with_seed(fields, shown.link.settings[-1]), shown.written
    if written_with(link) == written_with(shown.link):
        link = replace(link, prompt=shown.link.prompt)
    else:
        link, written = replace(link, prompt=shown.text), ""
    return link, text_request(link, length, written, action == LETTER)


def look_request(shown):
    """Return the TextRequest that writes the selected letter of a Shown once more."""
    link, start = shown.link, min(shown.index, shown.prompt_length)
    link = replace(link, prompt=shown.text[:start])
    return text_request(link, 1, shown.text[start : shown.index], keep_alternatives=True)


def with_seed(link, seed):
    """Return a Link with this seed in place of -1; -1 draws one."""
    *others, own = link.settings
    seed = seed if own == -1 else own
    return replace(link, settings=(*others, random_seed() if seed == -1 else seed))


def written_with(link):
    """Return what the characters of a Link's text depend on, besides its prompt."""
    return link.model, link.revision, link.settings[1:]


def text_request(link, length, written="", keep_alternatives=False):
    """Return the TextRequest for `length` characters of a Link's text, after those written."""
    config = sample_config(length, *link.settings[1:])
    return TextRequest(
        link.prompt, link.model, config, written, keep_alternatives=keep_alternatives
    )
