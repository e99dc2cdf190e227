"""Who looked where: each head's weights over the end of the context, and what it does there."""

from bisect import bisect
from html import escape

from charlm.ui.chances_html import percent
from charlm.ui.inside_html import LEVELS, letter, panel_html

STRIP = 64  # last characters of the context in a strip
MOST = 4  # characters with the largest weights that a head lists
INTRODUCTION = (
    "<b>Attention</b> is how letters communicate. The last letter sends out a query, each letter so"
    " far a key; the better they fit, the more of that letter is added to the last one, and the"
    " stronger its colour. A convolution does not choose where to look: it always mixes the last"
    " few letters. Select a head, and its weights are shown in the text."
)


def heads_html(inspected, attention):
    """Return the heads, block by block; `attention`: see inspection.attention."""
    context = inspected.context[-len(attention["layers"][0]["heads"][0]) :]
    shift = inspected.index - len(context)  # index in the text of the first letter
    blocks = "".join(block_html(layer, context) for layer in attention["layers"])
    return panel_html("heads", INTRODUCTION, f'<div data-start="{shift}">{blocks}</div>')


def block_html(layer, context):
    number, convolves = layer["layer"], layer["kind"] == "convolution"
    rows = zip(layer["heads"], layer["patterns"], strict=True)
    heads = "".join(
        head_html(f"{number}.{i}", "convolution" if convolves else f"head {i}", *row, context)
        for i, row in enumerate(rows)
    )
    return f"<h3>Block {number}</h3><ul>{heads}</ul>"


def head_html(key, title, weights, pattern, context):
    """Return a button with a head's largest weights, its strip, and its pattern.

    `key`: by which inside.js remembers the head.
    """
    levels = [bisect(LEVELS, weight) for weight in weights]
    largest = sorted(range(len(weights)), key=lambda i: -weights[i])[:MOST]
    shown = (f"{letter(context[i])} {percent(weights[i])}" for i in largest if weights[i] >= 0.01)
    return (
        f'<li><button type="button" aria-pressed="false" data-head="{key}"'
        f' data-levels="{"".join(map(str, levels))}"><b>{title}</b> <span>{", ".join(shown)}'
        f'</span><span class="strip-text" aria-hidden="true">'
        f"{strip_html(context[-STRIP:], levels[-STRIP:])}</span>"
        f'<span class="pattern">{pattern_html(pattern)}</span></button></li>'
    )


def pattern_html(pattern):
    """Return what a head does on this text, and the share of its weights that this explains.

    Beside it stands the share that an even spread over all letters would give.
    """
    if not pattern["pattern"]:
        return "in this context: no clear pattern"
    share, even = percent(pattern["share"]), percent(pattern["even"])
    return f"in this context: mostly {pattern['pattern']}, {share} (an even spread: {even})"


def strip_html(chars, levels):
    """Return characters over the colours of their levels; neighbours of one level are one."""
    runs = []
    for char, level in zip(chars.replace("\n", "↵"), levels, strict=True):
        if runs and runs[-1][1] == level:
            runs[-1][0] += char
        else:
            runs.append([char, level])
    return "".join(f"<i class=w{level}>{escape(run)}</i>" for run, level in runs)
