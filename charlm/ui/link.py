"""Links to a generation: an address that holds its prompt, model, revision and settings."""

from dataclasses import dataclass
from urllib.parse import urlencode

from charlm.config import SampleConfig
from charlm.errors import CharlmError
from charlm.serving.generate import check_text_length, sample_config

MAX_QUERY_CHARS = 8_000  # every browser and server accepts an address of this length
SETTINGS = {  # name -> (type, default), in the order that sample_config takes them
    "max_new_chars": (int, SampleConfig.max_new_chars),
    "temperature": (float, SampleConfig.temperature),
    "top_k": (int, SampleConfig.top_k),
    "top_p": (float, SampleConfig.top_p),
    "min_p": (float, SampleConfig.min_p),
    "seed": (int, -1),
}


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
    settings = tuple(parse_setting(name, params.get(name, "")) for name in SETTINGS)
    sample_config(limits, *settings)
    prompt = params.get("prompt", "")
    check_text_length("the prompt", prompt)
    return Link(prompt, params.get("model") or default_model, params.get("revision", ""), settings)


def parse_setting(name, text):
    kind, default = SETTINGS[name]
    try:
        return kind(text) if text else default
    except ValueError:
        raise CharlmError(f"this link says {name} is {text!r}, which is no number") from None
