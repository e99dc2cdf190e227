"""A text as a printed play sets it: pure functions from text to HTML."""

import re
from html import escape

# "ROMEO:", "First Citizen:", alone on a line that follows nothing or an empty line
SPEAKER = re.compile(r"[A-Z][A-Za-z' -]{0,30}:")


def text_html(text, given=0, writing=False):
    """`text` as paragraphs, one a line: speakers, lines of verse, gaps; its first `given`
    characters marked as the visitor's own.

    No paragraph is closed, which HTML permits: so a text that grows gives HTML that, but for the
    line being written, only grows at its end, and only that end has to travel to the browser.
    The text of each paragraph is the line itself, so that copying them gives the text back.
    """
    parts, start, after_gap = (
        [f'<article class="play-text{" writing" if writing else ""}">'],
        0,
        True,
    )
    for line in text.split("\n"):
        kind = "gap" if not line else "speaker" if after_gap and SPEAKER.fullmatch(line) else "line"
        own = max(0, min(len(line), given - start))
        marked = f'<span class="given">{escape(line[:own])}</span>' if own else ""
        parts.append(f'<p class="{kind}">{marked}{escape(line[own:])}')
        after_gap = not line
        start += len(line) + 1
    return "".join(parts)
