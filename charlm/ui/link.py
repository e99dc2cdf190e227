"""Links to a generation: an address that holds its prompt, model, revision and settings."""

from dataclasses import dataclass, fields
from urllib.parse import urlencode

from charlm.config import SampleConfig
from charlm.serving.parameters import MAX_NAME_CHARS, MAX_PROMPT_CHARS, Text, sample_parameters

MAX_QUERY_CHARS = 8_000  # every browser and server accepts an address of this length
SETTINGS = tuple(field.name for field in fields(SampleConfig))


@dataclass(frozen=True)
class Link:
    """The request for a generation that an address holds."""

    prompt: str
    model: str
    revision: str  # of the model, see Library.revision; "" accepts any
    settings: tuple  # a value for each of SETTINGS

    def query(self):
        """Return the query of the address, from the "?" on; "" if it would be too long."""
        parts = {"prompt": self.prompt, "model": self.model, "revision": self.revision}
        parts |= dict(zip(SETTINGS, self.settings, strict=True))
        query = "?" + urlencode(parts)
        return query if len(query) <= MAX_QUERY_CHARS else ""


def link_from_query(params, default_model, limits):
    """Return the Link in a mapping of query parameters; None if they hold none.

    Parameters left out get the values of a fresh page. Raises CharlmError for a value that is
    invalid or beyond the Limits.
    """
    if not {"prompt", "model", *SETTINGS} & params.keys():
        return None
    name = Text("", MAX_NAME_CHARS)
    prompt = Text("", MAX_PROMPT_CHARS).check("prompt", params.get("prompt"))
    model = name.check("model", params.get("model")) or default_model
    revision = name.check("revision", params.get("revision"))
    parameters = sample_parameters(limits).items()
    settings = (parameter.check(name, params.get(name)) for name, parameter in parameters)
    return Link(prompt, model, revision, tuple(settings))
