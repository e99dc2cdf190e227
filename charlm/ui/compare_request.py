"""What the mode Compare asks for, from the browser or an address: writers, and what they share."""

import json
import re
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl, quote, unquote, urlencode

from charlm.errors import CharlmError
from charlm.serving.comparison import Writer
from charlm.serving.parameters import (
    MAX_INT,
    MAX_NAME_CHARS,
    Integer,
    ParameterError,
    Text,
    page_parameters,
)
from charlm.ui.link import MAX_QUERY_CHARS, Link, link_from_query
from charlm.ui.shown_text import (
    ADDRESS,
    MAX_JSON_CHARS,
    MAX_TEXT_CHARS,
    TEXT_ACTIONS,
    request_parts,
    with_seed,
)

COMPARE, COMPARE_LOOK = "compare", "compare_look"
MAX_WRITERS = 3
MAX_COMPARE_CHARS = 2_000  # of the parameter of an address
PART = re.compile(r"\d{1,3}(\.(conv|mlp|head\d{1,3}))?")
A_PART = "a part such as 3, 3.mlp or 3.head0"
A_LIST = "one or two models besides the first one, such as bigram,gpt~3"


@dataclass(frozen=True)
class ComparisonRequest:
    """A request for a comparison."""

    link: Link  # the prompt and the settings that its writers share
    writers: tuple  # of Writer; () leaves the choice to the page
    serial: int = 0  # of the request, which the answer repeats

    def with_writers(self, writers):
        """Return the request with other Writers."""
        return replace(self, writers=tuple(writers))

    def query(self):
        """Return the query of the address, from the "?" on; "" if it would be too long."""
        revisions = ",".join(writer.revision for writer in self.writers).rstrip(",")
        link = replace(self.link, model=self.writers[0].model, revision=revisions)
        compare = urlencode({COMPARE: compare_value(self.writers)}, safe=",~")
        query = f"{link.query()}&{compare}"
        return query if link.query() and len(query) <= MAX_QUERY_CHARS else ""

    def json(self):
        """Return the request as the browser sends it."""
        writers = [vars(writer) for writer in self.writers]
        return json.dumps({"action": COMPARE, "shared": self.link.shared(), "writers": writers})


@dataclass(frozen=True)
class ChancesRequest:
    """A request for the chances of a letter."""

    comparison: ComparisonRequest
    texts: tuple  # (text, length of its prompt) of each writer
    index: int


def compare_value(writers):
    """Return what an address says of the writers, besides the model of the first: "bigram,gpt~3".

    A part that is off follows a "~". If one of the first writer is off, it stands alone in front.
    """
    parts = [f"~{writer.off}" if writer.off else "" for writer in writers]
    models = ["", *(escaped(writer.model) for writer in writers[1:])]
    entries = (model + part for model, part in zip(models, parts, strict=True))
    return ",".join(filter(None, entries))


def escaped(name):
    """Return a model's name without the characters that have a meaning in an address."""
    return quote(name, safe="/@#:+ ").replace("~", "%7E")


def writers_in(value, model, revisions=""):
    """Return the Writers of an address; `model`: the first one's. Raises CharlmError."""
    value = Text("", MAX_COMPARE_CHARS).check(COMPARE, value)
    entries = [entry.partition("~") for entry in value.split(",")]
    own = entries.pop(0)[2] if not entries[0][0] else ""
    if not 1 <= len(entries) < MAX_WRITERS or not all(name for name, _, _ in entries):
        raise ParameterError(COMPARE, value, A_LIST)
    pairs = [(model, own), *((unquote(name), part) for name, _, part in entries)]
    revisions = revisions.split(",")
    revisions += [""] * (len(pairs) - len(revisions))
    return tuple(
        checked_writer({"model": name, "off": part, "revision": revision})
        for (name, part), revision in zip(pairs, revisions, strict=False)
    )


def checked_writer(parts):
    """Return the Writer that a mapping describes. Raises CharlmError."""
    if not isinstance(parts, dict):
        raise ParameterError("writer", parts, "an object with model and off")
    name = Text("", MAX_NAME_CHARS)
    writer = Writer(*(name.check(key, parts.get(key)) for key in ("model", "off", "revision")))
    if writer.off and not PART.fullmatch(writer.off):
        raise ParameterError("off", writer.off, A_PART)
    return writer


def comparison_in(params, default_model, limits):
    """Return (ComparisonRequest, problems) of a mapping of query parameters; (None, []) without.

    `problems` has a sentence for each value that is not allowed.
    """
    if COMPARE not in params:
        return None, []
    link, problems = link_from_query(params, default_model, limits)
    try:
        writers = writers_in(params[COMPARE], link.model, link.revision)
    except CharlmError as error:
        return None, [*problems, f"In this address, {error}."]
    return ComparisonRequest(link, writers), problems


def requested_comparison(inputs, limits):
    """Return the ComparisonRequest in an event's inputs; None if they request another text.

    Its seed is drawn. Raises CharlmError.
    """
    prompt, model, *settings, text = inputs
    action, parts = request_parts(text, [*TEXT_ACTIONS, COMPARE])
    if action == ADDRESS:
        query = Text("", MAX_JSON_CHARS).check("query", parts.get("query"))
        params = dict(parse_qsl(query.removeprefix("?"), keep_blank_values=True))
        wanted, problems = comparison_in(params, model, limits)
        if problems:
            raise CharlmError(" ".join(problems))
    elif action == COMPARE:
        fields = Link(prompt, model, "", tuple(settings))
        wanted = parse_comparison(parts, fields, limits)
    else:
        return None
    return wanted and replace(wanted, link=with_seed(wanted.link, -1))


def parse_comparison(parts, fields, limits):
    """Return the ComparisonRequest of a request's JSON object. Raises CharlmError.

    `fields`: the Link that the page's controls describe, for what the request leaves out.
    """
    writers = parts.get("writers")
    if not isinstance(writers, list) or len(writers) > MAX_WRITERS or len(writers) == 1:
        raise ParameterError("writers", writers, f"a list of 2 to {MAX_WRITERS} writers, or empty")
    serial = Integer(0, 0, MAX_INT).check("serial", parts.get("serial"))
    shared, model = parts.get("shared"), Text(fields.model, MAX_NAME_CHARS)
    link = replace(fields, model=model.check("model", parts.get("model")))
    if shared is not None:
        if not isinstance(shared, dict):
            raise ParameterError("shared", shared, "an object with a prompt and settings")
        checks = {"prompt": Text("", MAX_TEXT_CHARS), **page_parameters(limits)}
        prompt, *settings = (check.check(name, shared.get(name)) for name, check in checks.items())
        link = replace(link, prompt=prompt, settings=tuple(settings))
    return ComparisonRequest(link, tuple(map(checked_writer, writers)), serial)


def parse_chances_request(text, limits):
    """Return the ChancesRequest that the browser sent as JSON. Raises CharlmError."""
    _, parts = request_parts(text, [COMPARE_LOOK])
    nothing = Link("", "", "", tuple(p.default for p in page_parameters(limits).values()))
    comparison, texts = parse_comparison(parts, nothing, limits), parts.get("texts")
    if not isinstance(texts, list) or len(texts) != len(comparison.writers) or not texts:
        raise ParameterError("texts", texts, "a list with a text for each writer")
    number = Integer(0, 0, MAX_TEXT_CHARS)
    checked = tuple(
        (
            Text("", MAX_TEXT_CHARS).check("text", text.get("text")),
            number.check("prompt_length", text.get("prompt_length")),
        )
        for text in (text if isinstance(text, dict) else {} for text in texts)
    )
    index = number.check("index", parts.get("index"))
    return ChancesRequest(comparison, checked, index)
