"""What the panels of the Look inside tab have in common, and the text beside them."""

import json
import math
from html import escape

from charlm.data.perplexity import unsure_between
from charlm.ui.chances_html import name
from charlm.ui.text_html import text_html

PANELS = {
    "context": "What it saw",
    "heads": "Who looked where",
    "lens": "When it made up its mind",
    "parts": "What it would miss",
    "change": "One letter changed",
}
LEVELS = (0.02, 0.05, 0.12, 0.25, 0.5)  # weights and shares from which a darker colour is used
ALL_ON_HTML = '<button type="button" class="pill" data-all-on>Switch all on</button>'
LABEL = "The text; arrow keys select the letter to predict"


def inspected_html(inspected):
    """Return the text of an InspectedText."""
    is_typed = inspected.prompt_length == len(inspected.text)  # with nothing to mark
    html = text_html(inspected.text, 0 if is_typed else inspected.prompt_length)
    article = f'<article tabindex="0" aria-label="{LABEL}" '
    return f"{html.replace('<article ', article, 1)}</article>"


def caption_html(inspected, serial):
    """Return which letter is selected, with buttons to its neighbours, and the state as JSON.

    inside.js keeps the state, which differs from what it requested if the model does not know all
    characters. `serial`: of the request.
    """
    index, length = inspected.index, len(inspected.text)
    last = index >= length
    which = "the next letter" if last else f"letter {index + 1:,}, {letter(inspected.char)}"
    state = {"index": index, "prompt_length": inspected.prompt_length}
    state |= {"start": inspected.start, "length": length, "serial": serial}
    buttons = step_html(-1, "Previous letter", index == 0) + step_html(1, "Next letter", last)
    return (
        f'<p class="step-letters" data-inspected="{escape(json.dumps(state))}">'
        f"<span>Predicting {which}</span>{buttons}</p>"
    )


def step_html(step, label, disabled):
    arrow = "←" if step < 0 else "→"
    attributes = f'data-step="{step}" aria-label="{label}"{" disabled" * disabled}'
    return f'<button type="button" class="pill" {attributes}>{arrow}</button>'


def letter(char):
    """Return a character in quotation marks, or the name of one that is not seen."""
    called = name(char)
    return f"“{called}”" if called == escape(char) else f"a {called}"


def panel_html(panel, introduction, body):
    """Return a panel with a sentence on what to look for."""
    return f'<section class="panel {panel}"><p class="look-for">{introduction}</p>{body}</section>'


def off_html(inspected):
    """Return a line on the parts that are switched off; "" if none is."""
    if not inspected.off:
        return ""
    return f'<p class="off">Switched off: {part_names(inspected.off)} {ALL_ON_HTML}</p>'


def part_names(parts):
    """Return what parts are called in a sentence."""
    return ", ".join(part_name(part) for part in parts)


def part_name(part):
    layer, _, name = part.partition(".")
    names = {"": "all", "conv": "convolution", "mlp": "feed-forward layer"}
    return f"block {layer}: {names.get(name) or name.replace('head', 'head ')}"


def described(inspected):
    """Return what the letter is called in a sentence."""
    return letter(inspected.char) if inspected.char else "the next letter"


def unsure(bits, inspected=None):
    """Return what bits per character mean; with an InspectedText, also blind guessing."""
    vocab_size = inspected and inspected.tokenizer.vocab_size
    return unsure_between(bits * math.log(2), vocab_size)
