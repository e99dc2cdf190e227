"""The Play tab's HTML: functions from a model's summary, a Progress or notices to strings."""

import time
from html import escape

from charlm.data.perplexity import unsure_between
from charlm.errors import CharlmError, without_directories
from charlm.ui.chances_html import chances_html
from charlm.ui.figures import format_duration
from charlm.ui.shown_text import shown_json
from charlm.ui.text_html import text_html

KINDS = {
    "gpt": "Sees {block_size} characters back",
    "bigram": "Sees one character back",
}


def model_summary_html(library, name):
    """Return a line about a model: context, parameters, validation loss and revision."""
    try:
        summary = library.summary(name)
    except CharlmError as error:
        return f'<p class="model-summary">{escape(str(error))}</p>'
    facts = [KINDS[summary.kind].format(block_size=summary.block_size)]
    if summary.parameters:
        facts.append(f"{summary.parameters:,} parameters")
    if summary.val_loss is not None:
        unsure = unsure_between(summary.val_loss, summary.vocab_size)
        facts.append(f"validation loss {summary.val_loss:.4f}, {unsure}")
    if summary.revision:
        facts.append(f"revision {summary.revision[:7]}")
    return f'<p class="model-summary">{escape("; ".join(facts))}.</p>'


def first_text_html(library, name):
    """Return the text of a fresh page: the last sample of the model's training run."""
    try:
        return text_html(library.summary(name).sample.strip("\n"))
    except CharlmError:
        return text_html("")


def first_status_html(library, name):
    """Return the status line of a fresh page, which says at which step the sample was taken."""
    try:
        step = library.summary(name).sample_step
    except CharlmError as error:
        return status_line(str(error))
    return status_line("" if step is None else f"{name}, as it wrote at step {step:,}")


def progress_html(progress, link, vocabulary=""):
    """Return a generation's text, status line, notice and chances; `link`: the Link to it.

    `vocabulary`: of the model, for the chances of the last letter.
    """
    description = shown_json(link, progress.prompt_length)
    text = text_html(progress.text, progress.prompt_length, not progress.done, description)
    last = len(progress.text) - 1
    chances = chances_html(progress.alternatives, progress.text, last, vocabulary)
    return [text, status_html(progress, link), dropped_notice_html(progress), chances]


def loading_html(model):
    """Return the line below the text while a model is loaded."""
    return status_line(f"loading {model} …")


def status_html(progress, link):
    """Return the line below the text: queue position or speed, and at the end the link."""
    if position := progress.queue_position:
        before = f"{position - 1:,} before you" if position > 1 else "you are next"
        return status_line(f"{link.model} is busy: {before} in the queue")
    characters = "character" if progress.new_chars == 1 else "characters"
    line = f"{link.model}: {progress.new_chars:,} {characters}"
    if not progress.alternatives:
        line += f", {progress.chars_per_second:,.0f} a second"
    line += f", seed {progress.seed}"
    if progress.stopped:
        line += ", ended by this page's limit of time" if progress.timed_out else ", stopped"
    if not progress.done:
        if others := progress.other_streams:
            line += f"; {others:,} other{'s' if others > 1 else ''} at the same time"
        return status_line(line)
    if not (query := link.with_written(progress.new_chars).query()):
        return status_line(f"{line}; too long for a link")
    return status_line(line, f' · <a id="link" href="{escape(query)}">link to this</a>')


def status_line(text, more_html=""):
    return f'<p class="status">{escape(text)}{more_html}</p>'


def notices_html(notices, announcement=None):
    """Return sentences about what the Hub or a link failed to provide; empty ones are skipped.

    `announcement`: what screen readers hear instead of them.
    """
    shown = [without_directories(notice) for notice in notices if notice]
    if not shown:
        return ""
    sentences = "".join(f"<p>{escape(notice)}</p>" for notice in shown)
    announcement = escape(announcement or " ".join(shown))
    return f'<div class="notice" data-announcement="{announcement}">{sentences}</div>'


def fetching(source, followers):
    """Return a sentence on a Hub model that the HubFollowers are fetching."""
    download = followers.download(source)
    if not (download and download.size):
        return f"Fetching {source} …"
    megabytes, seconds = download.size / 1e6, time.monotonic() - download.began
    sentence = f"Fetching {source}: {download.done / 1e6:.1f} of {megabytes:.1f} MB"
    if 0 < download.done < download.size and seconds > 1:
        left = seconds * (download.size / download.done - 1)
        sentence += f", about {format_duration(left)} left"
    return f"{sentence} …"


def dropped_notice_html(progress):
    """Return a notice that names the prompt's dropped characters; "" if none were dropped."""
    if not progress.dropped:
        return ""
    names = " ".join(c if c.isprintable() else f"U+{ord(c):04X}" for c in progress.dropped[:20])
    more = " and others" if len(progress.dropped) > 20 else ""
    sentence = escape(f"This model does not know {names}{more}; left out.")
    return f'<p class="notice" data-announcement="{sentence}">{sentence}</p>'
