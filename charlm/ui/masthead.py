"""The head of the page: what it is, what it does, what to press, and where it comes from."""

import os
from html import escape

from charlm.data.corpus import NAME, URL
from charlm.errors import CharlmError
from charlm.ui.figures import round_figure

LECTURE = "https://www.youtube.com/watch?v=kCc8FmEb1nY"
HUB = "https://huggingface.co/spaces/"
ANNOUNCEMENTS = '<div id="announcements" role="status" aria-live="polite"></div>'  # see page.js


def masthead_html(library, name, training):
    """Return the head of a page that starts with the model `name`.

    `training`: whether visitors may start runs.
    """
    watch = "watch one learn from scratch" if training else "see how one learned"
    try:
        summary = library.summary(name)
    except CharlmError:  # the model's own line gives the reason
        summary = None
    return f"""
<header class="masthead">
  <div class="rule">❦</div>
  <h1>charlm</h1>
  <p>{escape(what_it_is(summary))} It predicts the next character, over and over.</p>
  <p class="how">Type a beginning and press <b>Generate</b>, {watch} under <b>Watch</b>, see why it
  chose each letter under <b>Look inside</b>, or <b>guess</b> against it.
  <span class="links"><span>Where it comes from:</span> {links(summary)}</span></p>
</header>
"""


def what_it_is(summary):
    """Return a sentence about a ModelSummary, or None: its size and its training text."""
    if summary is None:
        return "A tiny language model."
    kind = "A tiny GPT" if summary.kind == "gpt" else "A tiny language model"
    size = f" with {round_figure(summary.parameters)} parameters" if summary.parameters else ""
    text = "Shakespeare" if summary.data_name == NAME else summary.data_name
    return f"{kind}{size}, trained on {text}."


def links(summary):
    """Return the links to the lecture, the text and the code, as far as they are known."""
    found = [link(LECTURE, "the lecture “Let’s build GPT”")]
    if summary and summary.data_name == NAME:
        found.append(link(URL, "the text"))
    if space := os.environ.get("SPACE_ID"):
        found.append(link(f"{HUB}{space}/tree/main", "the code"))
    return " · ".join(found)


def link(address, text):
    return f'<a href="{escape(address)}" target="_blank" rel="noopener">{text}</a>'
