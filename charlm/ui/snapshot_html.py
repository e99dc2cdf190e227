"""The texts of a run's steps, and the marks on their axis, as data for snapshots.js."""

import json
from html import escape

from charlm.data.perplexity import unsure_between
from charlm.ui.text_html import text_html

MAX_STEPS = 100  # of a run, that the slider offers
MAX_SAMPLE, MAX_LINES = 1000, 60  # characters and lines of a sample
MARKS = {"words": "words", "lines": "verse"}  # the label on the axis, or the value without one
LABEL_WIDTH = 0.14  # of a mark, as a fraction of the axis
# filled in by snapshots.js, so that no update of the server moves the slider
SLIDER_HTML = """
<div class="axis"><input type="range" id="snapshot-step" min="0" max="1000" value="1000"
 aria-label="Step of the run whose text is shown"><ol id="snapshot-marks"></ol></div>
<p class="bar"><button type="button" id="snapshot-play" class="round-button">▶ Play</button>
<span id="snapshot-facts"></span> <a id="snapshot-open" hidden>Go on in Play</a></p>
"""


def steps_html(history, snapshots, axes):
    """Return an element whose data-steps has the texts and marks of a run's steps as JSON.

    `snapshots`: the steps that were kept. `axes`: the Axes of the loss chart.
    """
    steps = steps_of(history, snapshots, axes)
    data = {"run": history.name, "steps": steps, "marks": marks_of(history, axes)}
    return f'<div hidden data-steps="{escape(json.dumps(data, ensure_ascii=False))}"></div>'


def steps_of(history, snapshots, axes):
    """Return [{step, x, facts, kept, html}, ...], ascending: see `steps_html`."""
    samples, kept = dict(history.samples), set(snapshots)
    estimates, losses = dict(history.snapshots), {s: val for s, _, val in history.evals}
    steps = sorted(samples.keys() | kept)
    every = -(-len(steps) // MAX_STEPS)  # the last step is always offered
    return [
        {
            "step": step,
            "x": round(axes.x(step), 4),
            "facts": facts(losses.get(step), estimates.get(step)),
            "kept": step in kept,
            "html": text_html(start_of(samples[step])) if step in samples else "",
        }
        for step in steps[::-1][:: every or 1][::-1]
    ]


def start_of(sample):
    """Return the first characters and lines of a sample: a log from the Hub may have long ones."""
    return "\n".join(sample.strip("\n")[:MAX_SAMPLE].split("\n")[:MAX_LINES])


def facts(loss, estimate):
    """Return the validation loss of a step in words; `estimate`: where it was not evaluated."""
    if loss is None and estimate is None:
        return ""
    figure = f"about {estimate:.2f}" if loss is None else f"{loss:.4f}"
    return f"validation loss {figure}, {unsure_between(estimate if loss is None else loss)}"


def marks_of(history, axes):
    """Return [{step, x, row, label, title}, ...] of the first samples that are like the text."""
    marks, ends = [], []  # where the last label of each row ends
    for name, step, value in history.text_milestones():
        x = axes.x(step)
        row = next((i for i, end in enumerate(ends) if end <= x), len(ends))
        ends[row : row + 1] = [x + LABEL_WIDTH]
        mark = {"step": step, "x": round(x, 4), "row": row, "label": MARKS.get(name, value)}
        marks.append(mark | {"title": text_milestone(name, step, value)})
    return marks


def text_milestone(name, step, value):
    """Return a sentence about a milestone: see History.text_milestones."""
    sentences = {
        "words": "letters become words: {:.0%} of them are in words of the text",
        "lines": "lines break where the text's do: {:.0%} are as long as nine in ten there",
        "speaker": "the first name of the play: {}",
    }
    return f"step {step:,}: {sentences[name].format(value)}"
