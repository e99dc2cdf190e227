"""A text set like a printed play: pure functions from text to HTML."""

import re
from html import escape

# "ROMEO:" or "First Citizen:", alone on the first line or on a line after an empty one
SPEAKER = re.compile(r"[A-Z][A-Za-z' -]{0,30}:")


def text_html(text, prompt_length=0, generating=False):
    """Return `text` as one paragraph per line: a speaker, a line of speech, or a gap.

    The first `prompt_length` characters are marked as the visitor's own. `generating`: more text
    is coming, so the page shows a cursor at the end.

    Paragraphs are not closed, which HTML permits. As the text grows, its HTML changes only from
    the last line on, and Gradio sends only that suffix to the browser. A paragraph's text is the
    line itself, so copying the paragraphs gives the text back.
    """
    parts = [f'<article class="play-text{" generating" if generating else ""}">']
    start, after_gap = 0, True
    for line in text.split("\n"):
        kind = "gap" if not line else "speaker" if after_gap and SPEAKER.fullmatch(line) else "line"
        own = max(0, min(len(line), prompt_length - start))
        marked = f'<span class="prompt">{escape(line[:own])}</span>' if own else ""
        parts.append(f'<p class="{kind}">{marked}{escape(line[own:])}')
        after_gap = not line
        start += len(line) + 1
    return "".join(parts)
