"""What each panel of the Look inside tab computes, and when it shows what.

Each function yields HTML by the names "panel" and "costs", which is the table of parts.
"""

import time
from dataclasses import replace

from charlm.errors import CharlmError, quote
from charlm.models.parts import parts_of
from charlm.serving.inspected_text import (
    attention_at,
    bits_without,
    chances,
    changed_by,
    continuation,
    lens_at,
    part_costs,
)
from charlm.ui.change_html import change_html, first_changeable, unknown_html
from charlm.ui.context_html import context_html
from charlm.ui.heads_html import heads_html
from charlm.ui.inside_html import panel_html
from charlm.ui.lens_html import lens_html
from charlm.ui.parts_html import comparison_html, costs_html

CONTINUED = 160  # characters that a model goes on with, with all parts and without some
COSTS_SECONDS = 0.25  # at least, between updates of the table of parts
NO_PARTS = "The bigram model has no heads, no blocks and no parts: it is one table of pairs."


async def context_updates(library, client, wanted, inspected, stop_requested):
    alternatives = await chances(library, client, inspected, inspected.off)
    yield {"panel": context_html(inspected, alternatives)}


async def heads_updates(library, client, wanted, inspected, stop_requested):
    attention = await attention_at(library, client, inspected)
    none = panel_html("heads", NO_PARTS, "")
    yield {"panel": heads_html(inspected, attention) if attention["layers"] else none}


async def lens_updates(library, client, wanted, inspected, stop_requested):
    yield {"panel": lens_html(inspected, await lens_at(library, client, inspected))}


async def parts_updates(library, client, wanted, inspected, stop_requested):
    parts, off = parts_of(inspected.network), inspected.off
    if not parts:
        yield {"panel": panel_html("parts", NO_PARTS, ""), "costs": ""}
        return
    require_text(inspected.scored)
    if not off:
        yield {"panel": ""}
    else:
        bits = await bits_without(library, client, inspected)
        both = [await chances(library, client, inspected, some) for some in ((), off)]
        yield {"panel": comparison_html(inspected, both, bits)}
        place = library, client, inspected
        texts = [await continuation(*place, some, CONTINUED, stop_requested) for some in ((), off)]
        yield {"panel": comparison_html(inspected, both, bits, texts)}
    if wanted.costs_of != inspected.scored_digest:
        async for table in cost_tables(library, client, inspected):
            yield {"costs": table}


async def cost_tables(library, client, inspected):
    """Yield the table of parts as their costs become known."""
    costs, due = {}, 0
    async for group in part_costs(library, client, inspected):
        costs |= group
        if len(costs) > len(parts_of(inspected.network)) or time.monotonic() >= due:
            yield costs_html(inspected, costs)
            due = time.monotonic() + COSTS_SECONDS


async def change_updates(library, client, wanted, inspected, stop_requested):
    require_text(inspected.text[: inspected.index])
    index, other = wanted.changed, wanted.other
    if not first_changeable(inspected) <= index < inspected.index:
        index, other = inspected.index - 1, ""
    if other:
        char = inspected.tokenizer.clean(other).text[:1]
    else:
        char = await likeliest_other(library, client, inspected, index)
    if not char:
        sentence = f"{inspected.model} does not know {quote(other)}; type another letter."
        yield {"panel": unknown_html(inspected, index, other, sentence)}
        return
    shift = len(inspected.context) - inspected.index
    changes = await changed_by(library, client, inspected, index + shift, char)
    yield {"panel": change_html(inspected, index, char, changes)}


async def likeliest_other(library, client, inspected, index):
    """Return the likeliest letter in the place of another one; "" if there is no other."""
    *_, top = await lens_at(library, client, replace(inspected, index=index))
    return next((char for char, _ in top if char != inspected.text[index]), "")


def require_text(text):
    if not text:
        raise CharlmError("there is no letter before this one; select a later one, or type a text")


PANEL_UPDATES = {
    "context": context_updates,
    "heads": heads_updates,
    "lens": lens_updates,
    "parts": parts_updates,
    "change": change_updates,
}
