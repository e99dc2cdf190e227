"""The schema of everything that visitors send: a type and bounds for each parameter.

`Page.process_api` checks a request against it once, before Gradio or charlm uses any value.
"""

import math
import re
from dataclasses import dataclass

from charlm.config import SampleConfig
from charlm.errors import CharlmError, quote

MAX_PROMPT_CHARS = 10_000
MAX_NAME_CHARS = 300  # of a model or a run; a Hub model's name holds a revision, too
MAX_PARTS_CHARS = 2_000  # of a list of parts of a model
MAX_INT = 2**63 - 1
MAX_TOP_K = 2**21  # above the number of characters that there are
NUMBER = re.compile(r"\s*[-+]?[\d.]+(e[-+]?\d+)?\s*", re.IGNORECASE)
MAX_NUMBER_CHARS = 40  # of a number that was sent as a text


class ParameterError(CharlmError):
    """A value that a parameter does not take; the message names both and says what is allowed."""

    def __init__(self, name, value, allowed):
        super().__init__(f"{name} is {quote(value)}; it must be {allowed}")


@dataclass(frozen=True)
class Text:
    """A text of at most `most` characters."""

    default: str
    most: int

    def check(self, name, value):
        """Return the text, or the default for None. Raises CharlmError."""
        if value is None:
            return self.default
        if not isinstance(value, str):
            raise ParameterError(name, value, "a text")
        if len(value) > self.most:
            raise CharlmError(
                f"{name} has {len(value):,} characters; at most {self.most:,} are taken here"
            )
        if any("\ud800" <= char <= "\udfff" for char in value):
            raise ParameterError(name, value, "valid Unicode, without half of a surrogate pair")
        return value


@dataclass(frozen=True)
class Number:
    """A finite number from `low` to `high`; a larger one is cut to `clamp`, if that is given."""

    default: float
    low: float
    high: float
    clamp: float | None = None

    @property
    def allowed(self):
        """The allowed values in words."""
        return f"a number {self.bounds}"

    @property
    def bounds(self):
        """The bounds in words."""
        if self.clamp is not None:
            return f"of {self.low:,} or more"
        return f"from {self.low:,} to {self.high:,}"

    def check(self, name, value):
        """Return the number, or the default for None or an emptied field. Raises ParameterError.

        Numbers in texts are accepted, as clients send what was typed.
        """
        number = parse_number(value)
        if number is None:
            return self.default
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise ParameterError(name, value, self.allowed)
        if self.clamp is not None and self.high < number < math.inf:
            return self.clamp
        if not self.low <= number <= self.high:
            raise ParameterError(name, value, self.allowed)
        return self.convert(name, value, number)

    def convert(self, name, value, number):
        return float(number)


@dataclass(frozen=True)
class Integer(Number):
    """A whole number from `low` to `high`; a larger one is cut to `clamp`, if that is given."""

    @property
    def allowed(self):
        return f"a whole number {self.bounds}"

    def convert(self, name, value, number):
        if isinstance(number, float) and not number.is_integer():
            raise ParameterError(name, value, self.allowed)
        return int(number)


@dataclass(frozen=True)
class Choices:
    """A list of at most `most` names."""

    most: int

    def check(self, name, value):
        """Return the list; an empty one for None. Raises CharlmError."""
        value = [] if value is None else value
        if not isinstance(value, list) or len(value) > self.most:
            raise ParameterError(name, value, f"a list of at most {self.most:,} names")
        return [Text("", MAX_NAME_CHARS).check(name, entry) for entry in value]


def parse_number(value):
    """Return the number in a text, None for an empty text, and any other value unchanged."""
    if not isinstance(value, str):
        return value
    if not value.strip():
        return None
    if len(value) > MAX_NUMBER_CHARS or not NUMBER.fullmatch(value):
        return value
    whole = value.strip().lstrip("+-").isdecimal()
    try:
        return int(value) if whole else float(value)
    except ValueError:  # such as "1.2.3"
        return value


def sample_parameters(limits):
    """Return the parameters of a generation by name, in the order that SampleConfig has them.

    A seed of -1 is random.
    """
    length = min(SampleConfig.max_new_chars, limits.max_new_chars)
    return {
        "max_new_chars": Integer(length, 1, limits.max_new_chars),
        "temperature": Number(SampleConfig.temperature, 0, 100),
        "top_k": Integer(0, 0, MAX_TOP_K, clamp=MAX_TOP_K),
        "top_p": Number(0.0, 0, 1),
        "min_p": Number(0.0, 0, 1),
        "seed": Integer(-1, -1, MAX_INT),
    }


def page_parameters(limits):
    """Return the parameters of a generation that the page's controls can be set to, by name."""
    return sample_parameters(limits) | {"temperature": Number(SampleConfig.temperature, 0, 2)}


def endpoint_parameters(limits, default_model):
    """Return the parameters of each endpoint by name, in the order in which they are sent."""
    prompt, name = Text("", MAX_PROMPT_CHARS), Text("", MAX_NAME_CHARS)
    model, off = Text(default_model, MAX_NAME_CHARS), Text("", MAX_PARTS_CHARS)
    sample = sample_parameters(limits)
    settings = {name: sample[name] for name in sample if name != "max_new_chars"}
    start = {
        "preset": Text("fast", MAX_NAME_CHARS),
        "name": name,
        "steps": Integer(0, 0, limits.max_steps),
        "text": Text("", limits.max_text),
    }
    return {
        "generate": {"prompt": prompt, "model": model, **sample, "off": off},
        "score": {"text": prompt, "model": model, "off": off},
        "alternatives": {"text": prompt, "model": model, **settings, "off": off},
        "attention": {"text": prompt, "model": model, "off": off},
        "ablation": {"text": prompt, "model": model},
        "copied": {"text": prompt, "model": model},
        "models": {},
        "runs": {},
        "snapshots": {"run": name},
        "run_status": {"run": name, "cursor": Integer(0, 0, MAX_INT)},
        "start_run": start,
        "stop_run": {"run": name},
    }
