"""Links to a generation: what was asked for, in an address that asks for the same again."""

from dataclasses import dataclass
from urllib.parse import urlencode

from charlm.config import SampleConfig
from charlm.errors import CharlmError
from charlm.serving import generate as writer

LONGEST = 8_000  # characters of an address, which every browser and server takes
NUMBERS = {  # what each is, and what it is if nothing is said; as writer.sample_config takes them
    "max_new_chars": (int, SampleConfig.max_new_chars),
    "temperature": (float, SampleConfig.temperature),
    "top_k": (int, SampleConfig.top_k),
    "top_p": (float, SampleConfig.top_p),
    "min_p": (float, SampleConfig.min_p),
    "seed": (int, -1),
}


@dataclass(frozen=True)
class Link:
    """A generation as an address tells it."""

    prompt: str
    model: str
    revision: str  # of the model, see Library.revision; "" takes any
    numbers: tuple  # one for each of NUMBERS

    def query(self):
        """The address's query, from the "?" on; "" if it would be too long to be sent."""
        parts = {"prompt": self.prompt, "model": self.model, "revision": self.revision}
        parts |= dict(zip(NUMBERS, self.numbers, strict=True))
        query = "?" + urlencode(parts)
        return query if len(query) <= LONGEST else ""


def read(params, default, limits):
    """The Link in an address's parameters, a mapping of texts; None if there is none.

    What is left out is as on a fresh page, and the model is then `default`. Raises CharlmError,
    for what is beyond the Limits as well.
    """
    if not {"prompt", "model", *NUMBERS} & params.keys():
        return None
    numbers = tuple(number(name, params.get(name, "")) for name in NUMBERS)
    writer.sample_config(limits, *numbers)
    prompt = params.get("prompt", "")
    writer.check_length("the prompt", prompt)
    return Link(prompt, params.get("model") or default, params.get("revision", ""), numbers)


def number(name, text):
    kind, default = NUMBERS[name]
    try:
        return kind(text) if text else default
    except ValueError:
        raise CharlmError(f"this link says {name} is {text!r}, which is no number") from None
