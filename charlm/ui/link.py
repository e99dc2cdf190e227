"""Links to a text: an address that holds its prompt, model, revision and settings."""

from dataclasses import dataclass, fields, replace
from urllib.parse import urlencode

from charlm.config import SampleConfig
from charlm.errors import CharlmError
from charlm.serving.parameters import (
    MAX_NAME_CHARS,
    MAX_PROMPT_CHARS,
    Integer,
    Text,
    page_parameters,
)

FIRST_PROMPT = "ROMEO:\n"  # of a fresh page
MAX_QUERY_CHARS = 8_000  # every browser and server accepts an address of this length
SETTINGS = tuple(field.name for field in fields(SampleConfig))


@dataclass(frozen=True)
class Link:
    """The request for a text that an address holds."""

    prompt: str
    model: str
    revision: str  # of the model, see Library.revision; "" accepts any
    settings: tuple  # a value for each of SETTINGS
    written: int = 0  # characters after the prompt; 0: as many as the settings say

    def with_written(self, count):
        """Return the Link to the text when `count` characters have been written."""
        return replace(self, written=0 if count == self.settings[0] else count)

    def shared(self):
        """Return the prompt and the settings by name, all as texts.

        So every address spells them alike. Browsers turn 0.0 into 0, and round large seeds.
        """
        settings = dict(zip(SETTINGS, map(str, self.settings), strict=True))
        return {"prompt": self.prompt, **settings}

    def parts(self):
        """Return what a text depends on by name, all as texts."""
        model = {"model": self.model, "revision": self.revision}
        return {"prompt": self.prompt, **model, **self.shared()}

    def query(self):
        """Return the query of the address, from the "?" on; "" if it would be too long."""
        written = {"written": self.written} if self.written else {}
        query = "?" + urlencode(self.parts() | written)
        return query if len(query) <= MAX_QUERY_CHARS else ""


def link_parameters(limits):
    """Return the parameters of an address by name, besides the prompt's and the model's."""
    written = Integer(0, 0, limits.max_new_chars)
    return {"revision": Text("", MAX_NAME_CHARS), **page_parameters(limits), "written": written}


def link_from_query(params, default_model, limits):
    """Return (Link, problems) of a mapping of query parameters; (None, []) if they hold no Link.

    A parameter that is left out, invalid or beyond the Limits gets the value of a fresh page.
    `problems` has a sentence for each of the latter two kinds.
    """
    if not {"prompt", "model", "written", "compare", *SETTINGS} & params.keys():
        return None, []
    checks = {"prompt": Text(FIRST_PROMPT, MAX_PROMPT_CHARS), "model": Text("", MAX_NAME_CHARS)}
    values, problems = {}, []
    for name, parameter in (checks | link_parameters(limits)).items():
        try:
            values[name] = parameter.check(name, params.get(name))
        except CharlmError as error:
            problems.append(f"In this address, {error}.")
            values[name] = parameter.default
    settings = tuple(values[name] for name in SETTINGS)
    model = values["model"] or default_model
    link = Link(values["prompt"], model, values["revision"], settings, values["written"])
    return link, problems
