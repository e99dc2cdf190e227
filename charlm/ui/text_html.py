"""A text set like a printed play: pure functions from text to HTML."""

from html import escape

from charlm.data.speakers import is_speaker

LABEL = "The text; arrow keys select a letter and show its chances"


def text_html(text, prompt_length=0, generating=False, description="", mark=None):
    """Return `text` as one paragraph per line: a speaker, a line of speech, or a gap.

    The first `prompt_length` characters are marked as the visitor's own. `generating`: more text
    is coming, so the page shows a cursor at the end. `description`: of the text, for page.js.
    `mark`: the index of a letter that is marked, or None.

    Paragraphs are not closed, which HTML permits. As the text grows, its HTML changes only from
    the last line on, and Gradio sends only that suffix to the browser. A paragraph's text is the
    line itself, so copying the paragraphs gives the text back.
    """
    # focusable, so that the arrow keys can select its letters: see letters.js
    data = f' data-shown="{escape(description)}" tabindex="0" aria-label="{LABEL}"'
    data = data if description else ""
    parts = [f'<article class="play-text{" generating" if generating else ""}"{data}>']
    start, after_gap = 0, True
    for line in text.split("\n"):
        kind = "gap" if not line else "speaker" if after_gap and is_speaker(line) else "line"
        own = max(0, min(len(line), prompt_length - start))
        at = None if mark is None else mark - start
        prompt = f'<span class="prompt">{marked(line, 0, own, at)}</span>' if own else ""
        newline = '<mark class="newline"></mark>' if at == len(line) else ""
        parts.append(f'<p class="{kind}">{prompt}{marked(line, own, len(line), at)}{newline}')
        after_gap = not line
        start += len(line) + 1
    return "".join(parts)


def marked(line, start, end, mark):
    """Return the characters [start, end) of a line as HTML, with that at `mark` marked, if any."""
    if mark is None or not start <= mark < end:
        return escape(line[start:end])
    before, after = escape(line[start:mark]), escape(line[mark + 1 : end])
    return f"{before}<mark>{escape(line[mark])}</mark>{after}"
