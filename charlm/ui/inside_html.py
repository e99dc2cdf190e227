"""The Look inside tab's HTML: the text with the letter selected, and what the model does there."""

import json
import math
from bisect import bisect
from html import escape

from charlm.ui.chances_html import chances_html, name, percent
from charlm.ui.figures import unsure_between
from charlm.ui.text_html import text_html

PANELS = {
    "context": "What it saw",
    "heads": "Who looked where",
    "lens": "When it made up its mind",
    "parts": "What it would miss",
    "change": "One letter changed",
}
STRIP = 64  # last characters of the context in a strip
LEVELS = (0.02, 0.05, 0.12, 0.25, 0.5)  # weights and shares from which a darker colour is used
MOST = 5  # characters with the largest weights that a head lists
ALL_ON_HTML = '<button type="button" class="pill" data-all-on>Switch all on</button>'
LABEL = "The text; arrow keys select the letter to predict"


def inspected_html(inspected):
    """Return the text of an InspectedText."""
    is_typed = inspected.prompt_length == len(inspected.text)  # with nothing to mark
    html = text_html(inspected.text, 0 if is_typed else inspected.prompt_length)
    return html.replace("<article ", f'<article tabindex="0" aria-label="{LABEL}" ', 1)


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
        f"<span>It predicts {which}</span>{buttons}</p>"
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
    return f'<p class="off">Switched off: {", ".join(inspected.off)} {ALL_ON_HTML}</p>'


def letter_chances_html(inspected, alternatives):
    """Return the chances of the letter, see chances_html."""
    vocabulary = inspected.tokenizer.chars
    return chances_html(alternatives, inspected.text, inspected.index, vocabulary, False)


def context_html(inspected, alternatives):
    """Return what the model saw, and the chances that it computed from it."""
    start, block_size = inspected.start, inspected.network.config.block_size
    n = inspected.index - start
    one = inspected.network.kind == "bigram"
    introduction = (
        "This model is a table of pairs: it sees one letter, and nothing before it."
        if one
        else f"The <b>context</b>: the model predicts a letter from those before it, at most"
        f" {block_size:,} of them (<code>block_size</code>). What is grey it cannot see."
    )
    letters = "1 letter" if n == 1 else f"{n:,} letters"
    saw = f"To predict {described(inspected)}, it saw {letters}."
    if not inspected.index:
        saw = f"Before {described(inspected)} there is nothing: the model is given a new line."
    elif start > 0 and not one:
        saw += f" The first {start:,} are out of its sight."
    die = "Then a die is rolled: a random number chooses, likelier letters more often."
    if not inspected.config.temperature:
        die = "At temperature 0 no die is rolled: the likeliest letter is taken."
    chances = letter_chances_html(inspected, alternatives)
    certainty = certainty_html(inspected, alternatives["stages"][0])
    computed = "From the letters that it sees, it computes a chance for every letter it knows."
    body = f"<p>{saw} {computed} {die}</p>"
    return panel_html("context", introduction, f"{body}{chances}{certainty}")


def described(inspected):
    """Return what the letter is called in a sentence."""
    return letter(inspected.char) if inspected.char else "the next letter"


def certainty_html(inspected, stage):
    """Return sentences on how sure the model was; `stage`: its own chances."""
    entropy = stage["entropy_bits"]
    sentence = f"Before the die, the model is {unsure(entropy)} ({entropy:.2f} bits)."
    p = dict(stage["chars"]).get(inspected.char)
    if p:
        bits = f"{-math.log2(p):.1f} bits (a chance of {percent(p)})"
        sentence += f" The text goes on with {described(inspected)}, which surprised it by {bits}."
    return f"<p>{sentence}</p>"


def unsure(bits):
    """Return what bits per character mean."""
    return unsure_between(bits * math.log(2))


def heads_html(inspected, attention):
    """Return each head's weights as a strip over the end of the context, with its pattern."""
    introduction = (
        "<b>Attention</b> is how letters communicate. The last letter sends out a query, every"
        " letter before it a key; the better they fit, the more that letter adds: the darker it"
        " is here. A convolution does not choose where to look: it always mixes the last few"
        " letters. Select a head to see its weights in the text."
    )
    context = inspected.context[-len(attention["layers"][0]["heads"][0]) :]
    shift = inspected.index - len(context)  # index in the text of the first letter
    blocks = "".join(block_html(layer, context) for layer in attention["layers"])
    return panel_html("heads", introduction, f'<div data-start="{shift}">{blocks}</div>')


def block_html(layer, context):
    number, kind = layer["layer"], layer["kind"]
    rows = zip(layer["heads"], layer["patterns"], strict=True)
    heads = "".join(
        head_html("convolution" if kind == "convolution" else f"head {i}", *row, context)
        for i, row in enumerate(rows)
    )
    return f"<h3>Block {number}</h3><ul>{heads}</ul>"


def head_html(title, weights, pattern, context):
    """Return a button with a head's pattern, its strip, and its largest weights."""
    levels = [bisect(LEVELS, weight) for weight in weights]
    largest = sorted(range(len(weights)), key=lambda i: -weights[i])[:MOST]
    shown = (f"{letter(context[i])} {percent(weights[i])}" for i in largest if weights[i] >= 0.01)
    return (
        f'<li><button type="button" aria-pressed="false"'
        f' data-levels="{"".join(map(str, levels))}"><b>{title}</b> <span class="pattern">'
        f'{pattern_html(pattern)}</span><span class="strip-text" aria-hidden="true">'
        f"{strip_html(context[-STRIP:], levels[-STRIP:])}</span>"
        f'<span class="most">here: {", ".join(shown)}</span></button></li>'
    )


def pattern_html(pattern):
    """Return what a head does on this text, and the share of its weights that this explains.

    Beside it stands the share that weights would have which are even over all letters.
    """
    measured = f"{percent(pattern['share'])}, evenly it would be {percent(pattern['even'])}"
    if pattern["pattern"]:
        return f"mostly {pattern['pattern']} <small>({measured})</small>"
    closest = pattern["closest"] and f" <small>(most like {pattern['closest']}: {measured})</small>"
    return f"no clear pattern{closest or ''}"


def strip_html(chars, levels):
    """Return characters over the colours of their levels; neighbours of one level are one."""
    runs = []
    for char, level in zip(chars.replace("\n", "↵"), levels, strict=True):
        if runs and runs[-1][1] == level:
            runs[-1][0] += char
        else:
            runs.append([char, level])
    return "".join(f"<i class=w{level}>{escape(run)}</i>" for run, level in runs)


def lens_html(inspected, lens):
    """Return the likeliest letters after each block, and where the letter came up.

    `lens`: see inspection.attention.
    """
    introduction = (
        "Every block <b>adds</b> to the residual stream. Read after each of them, by the last norm"
        " and the output layer, it shows what the model would write if it ended there. Look for"
        " the block after which the letter is on top, and stays there."
    )
    rows = ["the embedding", *(f"block {i}" for i in range(len(lens) - 1))]
    if len(lens) == 1:
        introduction = "This model has no blocks: its table gives the chances at once."
        rows = ["the table"]
    body = "".join(
        lens_row_html(title, top, inspected.char) for title, top in zip(rows, lens, strict=True)
    )
    verdict = f"<p>{when(inspected, lens, rows)}</p>" if len(lens) > 1 else ""
    table = f'<table class="lens"><tbody>{body}</tbody></table>'
    return panel_html("lens", introduction, verdict + table)


def lens_row_html(title, top, char):
    cells = "".join(
        f'<td class="w{bisect(LEVELS, p)}{" chosen" * (c == char)}"><b>{name(c)}</b>'
        f" <small>{percent(p)}</small></td>"
        for c, p in top
    )
    return f"<tr><th scope=row>{title}</th>{cells}</tr>"


def when(inspected, lens, rows):
    """Return a sentence on where in the network the model decided; `rows`: names of the places."""
    firsts = [top[0][0] for top in lens]
    final = firsts[-1]
    since = next(i for i in range(len(firsts)) if set(firsts[i:]) == {final})
    place = f"Only after {rows[since]}" if since == len(rows) - 1 else f"From {rows[since]} on"
    sentence = f"{place}, {letter(final)} is the likeliest."
    if inspected.char and inspected.char != final:
        were = [rows[i] for i, first in enumerate(firsts) if first == inspected.char]
        sentence += f" The text has {letter(inspected.char)}, which "
        sentence += f"was it only after {', '.join(were)}." if were else "was it nowhere."
    return sentence
