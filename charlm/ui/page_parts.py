"""The parts of the page that its address asks for: one tab for a frame, or fewer controls."""

from dataclasses import dataclass

from charlm.errors import CharlmError
from charlm.serving.parameters import ParameterError
from charlm.ui.page import OneOf

HIDEABLE = ("settings", "train", "hub")  # groups of controls; page_parts.css says which
# of a page in a frame: address.js keeps its address up to date
FULL_PAGE = (
    '<p class="full-page"><a href="./" target="_blank" rel="noopener">open in charlm'
    ' <span aria-hidden="true">↗</span></a></p>'
)


@dataclass(frozen=True)
class Words:
    """Some of a few words, separated by commas."""

    allowed: tuple

    def check(self, name, value):
        """Return the words. Raises ParameterError for the first one that is not allowed."""
        words = [word for word in value.split(",") if word]
        for word in words:
            if word not in self.allowed:
                raise ParameterError(name, word, "one of " + ", ".join(self.allowed))
        return [word for word in self.allowed if word in words]


def part_parameters(tabs):
    """Return the parameters of an address that leave out parts of the page; `tabs`: their names."""
    return {"embed": OneOf(tuple(tabs)), "hide": Words(HIDEABLE)}


def checked_query(query, parameters):
    """Return (values, problems) of a mapping of query parameters.

    `problems`: sentences on values that are not allowed, which are left out.
    """
    values, problems = {}, []
    for name, parameter in parameters.items():
        try:
            values |= {name: parameter.check(name, query[name])} if name in query else {}
        except CharlmError as error:
            problems.append(f"In this address, {error}.")
    return values, problems


def part_attributes(values):
    """Return the attributes of the document by which page_parts.css and the scripts know both."""
    embed = [f' data-embed="{values["embed"]}"'] if "embed" in values else []
    hide = [f' data-hide="{" ".join(values["hide"])}"'] if values.get("hide") else []
    return "".join([*embed, *hide])
