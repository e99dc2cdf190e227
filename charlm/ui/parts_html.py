"""The parts of a model, what a text costs without each, and what changes with some of them off."""

from bisect import bisect
from html import escape

from charlm.models.parts import parts_of
from charlm.ui.context_html import letter_chances_html
from charlm.ui.inside_html import part_names, unsure

COSTS = (0.01, 0.03, 0.1, 0.3, 1.0)  # bits per letter from which a darker colour is used
INTRODUCTION = (
    "Every part <b>adds</b> to the residual stream. Its number says how many more bits per letter"
    " this text would surprise the model without it; with a minus, fewer. Press parts to switch"
    " them off, and compare below."
)


def costs_html(inspected, costs):
    """Return a table of switches, a row for each block, with the costs that are known.

    `costs`: part -> bits per character of the text without it; "" is none.
    """
    parts, rows, whole = parts_of(inspected.network), {}, costs[""]
    for part in parts:
        rows.setdefault(part.partition(".")[0], []).append(part)
    body = "".join(
        f"<tr><th scope=row>block {layer}</th>"
        + "".join(switch_html(part, costs.get(part), whole) for part in row)
        + "</tr>"
        for layer, row in rows.items()
    )
    is_busy = str(len(costs) <= len(parts)).lower()
    return (
        f'<section class="panel"><p class="look-for">{INTRODUCTION}</p>'
        f"<p>With all parts, {measured(inspected)} surprises the model by {whole:.2f} bits per"
        f" letter: it is {unsure(whole, inspected)}.</p>"
        '<div class="costs" role="region" tabindex="0" aria-label="The parts"'
        f' aria-busy="{is_busy}" data-of="{inspected.scored_digest}">'
        f"<table><tbody>{body}</tbody></table></div></section>"
    )


def measured(inspected):
    """Return a phrase for the text, or for the part of it that is scored."""
    n = len(inspected.scored)
    return "this text" if n == len(inspected.text) else f"the part of {n:,} letters that is read"


def switch_html(part, bits, whole):
    """Return a part's switch; `bits`: those per character without it, None if not known yet."""
    layer, _, short = part.partition(".")
    short = short.replace("head", "head ") or "all"
    cost, level, said = "…", 0, "not measured yet"
    if bits is not None:
        difference = round(bits - whole, 2) + 0.0  # not -0.0
        cost = f"{difference:+.2f}".replace("-", "−")
        level = bisect(COSTS, difference)
        said = f"{cost} bits per letter without it, {unsure(bits)}"
    label = f"block {layer}, {short}: {said}"
    return (
        f'<td><button type="button" role="switch" aria-checked="true" data-part="{part}"'
        f' class="w{level}" aria-label="{label}" title="{label}"><b>{short}</b> {cost}'
        "</button></td>"
    )


def comparison_html(inspected, alternatives, bits, texts=(None, None)):
    """Return the letter's chances and the model's texts, with all parts and without some.

    `alternatives`, `texts`: two of each; the texts are None until they are known. `bits`: those per
    character of the text without the parts.
    """
    off = part_names(inspected.off)
    cost = (
        f"<p>Without {off}, {measured(inspected)} surprises the model by {bits:.2f} bits per"
        f" letter: it is {unsure(bits, inspected)}.</p>"
    )
    columns = "".join(
        f"<div><h3>{title}</h3>"
        f"{letter_chances_html(inspected, a)}"
        f'<p class="same-seed">It goes on, with the same random numbers:</p>'
        f'<p class="continued">{escape(text) if text is not None else "…"}</p></div>'
        for title, a, text in zip(
            ("With all parts", f"Without {off}"), alternatives, texts, strict=True
        )
    )
    return f'<section class="panel">{cost}<div class="sides">{columns}</div></section>'
