"""The Watch tab's HTML: pure functions from a run's status and history to strings."""

from html import escape

from charlm.data.perplexity import letters, unsure_between
from charlm.ui.figures import format_duration
from charlm.ui.run_form import LABELS
from charlm.ui.run_list import text_name
from charlm.ui.snapshot_html import text_milestone

NO_RUNS_HTML = "<p>Nothing has been trained here yet.</p>"
MAX_ROWS = 200  # of the table of evaluations
STATES = {
    "waiting": "waits in the queue",
    "starting": "is starting",
    "running": "is learning",
    "paused": "is paused",
    "finished": "has finished",
    "stopped": "was stopped",
    "failed": "has failed",
}
ACTIONS = {
    "write": "Write with it",
    "pause": "Pause",
    "resume": "Resume",
    "stop": "Stop",
    "delete": "Delete …",
}
COUNTED = {"steps": "step", "n_layer": "layer", "n_head": "head"}  # options, and what they count
MILESTONES = {
    "uniform": "does better than blind chance",
    "unigram": "beats the character frequencies",
    "bigram": "beats the bigram",
    "lecture": "beats the lecture",
    "teachers": "beats its teachers together",
}


def run_head_html(status, history):
    """Return the run's name, state, progress bar, current figures and changed options.

    page.js announces the sentence in data-announcement when data-state changes.
    """
    done = min(1, status.step / status.steps) if status.steps else 0
    data = history.start["data"]["name"] if history.start else ""
    on_data = f" <small>on {escape(text_name(data))}</small>" if data else ""
    message = f'<p class="message">{escape(status.message)}</p>' if status.message else ""
    name, state = escape(status.name), status.state
    return (
        f'<div class="run {state}" data-run="{name}" data-state="{state}"'
        f' data-announcement="{escape(announcement(status))}">'
        f"<h2>{name} <em>{STATES[state]}</em>{on_data}</h2>"
        f'<div class="bar" role="progressbar" aria-label="progress of {name}" aria-valuemin="0"'
        f' aria-valuemax="{status.steps}" aria-valuenow="{status.step}">'
        f'<i style="width:{100 * done:.1f}%"></i></div>'
        f'<p class="facts">{escape(" · ".join(run_facts(status)))}</p>'
        f"{preset_html(status)}{message}</div>"
    )


def announcement(status):
    """Return the sentence with which screen readers announce a run's new state."""
    sentence = f"{status.name} {STATES[status.state]}"
    if status.state == "failed" and status.message:
        return f"{sentence}: {status.message}"
    if status.state in ("finished", "stopped") and status.val_loss is not None:
        unsure = unsure_between(status.val_loss)
        return f"{sentence}: validation loss {status.val_loss:.4f}, {unsure}"
    return sentence


def preset_html(status):
    """Return a line about the options in which a run differs from its preset; empty if unknown."""
    if not status.preset:
        return '<p class="preset"></p>'
    changes = ", ".join(change(option, value) for option, value in status.changed)
    line = f"Unlike the preset {status.preset}: {changes}" if changes else f"Preset {status.preset}"
    return f'<p class="preset">{escape(line)}.</p>'


def change(option, value):
    """Return an option and its value as a phrase: "8 layers", "dropout 0.2"."""
    if option in COUNTED:
        return f"{value:,} {COUNTED[option]}{'s' * (value != 1)}"
    label = LABELS.get(option) or option.replace("muon_", "muon's ").replace("_", " ")
    name = label.lower().replace("muon'", "Muon'")
    if isinstance(value, bool):
        value = "on" if value else "off"
    return f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"


def run_facts(status):
    """Yield the current figures of a run, each as a phrase."""
    if status.state == "waiting":
        position = status.queue_position
        yield "next in the queue" if position == 1 else f"number {position} in the queue"
    if status.steps:  # else the run is damaged
        yield f"step {status.step:,} of {status.steps:,}"
    if status.eta_seconds is not None:
        yield f"{format_duration(status.eta_seconds)} left"
    if status.state in ("running", "paused") and status.chars_per_second:
        yield f"{status.chars_per_second:,.0f} characters a second"
        yield f"learning rate {status.learning_rate:.2g}"
    if status.val_loss is not None:
        unsure = unsure_between(status.val_loss, status.vocab_size)
        yield f"validation loss {status.val_loss:.4f}, {unsure}"


def milestones_html(history):
    """Return a list of the references that the validation loss beat, and at which step."""
    entries = (
        f'<li title="{unsure_between(history.references[name])}"><b>step {step:,}</b>'
        f" {escape(MILESTONES[name])} ({history.references[name]:.4g})</li>"
        for name, step in history.milestones()
    )
    sentences = (text_milestone(*found).partition(":") for found in history.text_milestones())
    texts = (f"<li><b>{step}</b>{escape(rest)}</li>" for step, _, rest in sentences)
    return f'<ol class="milestones">{"".join([*entries, *texts])}</ol>'


def figures_html(history):
    """Return a table of the latest MAX_ROWS evaluations, the newest first."""
    rows = "".join(
        f"<tr><td>{step:,}</td><td>{train:.4f}</td><td>{val:.4f}</td><td>{letters(val)}</td></tr>"
        for step, train, val in history.evals[: -MAX_ROWS - 1 : -1]
    )
    return (
        '<table class="figures"><thead><tr><th>step</th><th>training loss</th>'
        "<th>validation loss</th><th>as unsure as between</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>"
    )
