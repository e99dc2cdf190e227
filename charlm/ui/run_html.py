"""The Watch tab's HTML: pure functions from a run's status and history to strings."""

from html import escape

from charlm.ui.figures import unsure_between
from charlm.ui.text_html import text_html

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
ACTIONS = {"pause": "Pause", "resume": "Resume", "stop": "Stop", "delete": "Delete …"}
MILESTONES = {
    "uniform": "does better than blind chance",
    "unigram": "beats the character frequencies",
    "bigram": "beats the bigram",
    "lecture": "beats the lecture",
}


def run_head_html(status, history):
    """Return the run's name, state, progress bar and current figures."""
    done = min(1, status.step / status.steps) if status.steps else 0
    data = history.start["data"]["name"] if history.start else ""
    on_data = f" <small>on {escape(data)}</small>" if data else ""
    message = f'<p class="message">{escape(status.message)}</p>' if status.message else ""
    return (
        f'<div class="run {status.state}"><h2>{escape(status.name)} <em>{STATES[status.state]}</em>'
        f'{on_data}</h2><div class="bar" role="progressbar" aria-label="progress of'
        f' {escape(status.name)}" aria-valuemin="0" aria-valuemax="{status.steps}"'
        f' aria-valuenow="{status.step}"><i style="width:{100 * done:.1f}%"></i></div>'
        f'<p class="facts">{escape(" · ".join(run_facts(status)))}</p>{message}</div>'
    )


def run_facts(status):
    """Yield the current figures of a run, each as a phrase."""
    if status.state == "waiting":
        position = status.queue_position
        yield "next in the queue" if position == 1 else f"number {position} in the queue"
    yield f"step {status.step:,} of {status.steps:,}"
    if status.eta_seconds is not None:
        yield f"{format_duration(status.eta_seconds)} left"
    if status.state in ("running", "paused") and status.chars_per_second:
        yield f"{status.chars_per_second:,.0f} characters a second"
        yield f"learning rate {status.learning_rate:.2g}"
    if status.val_loss is not None:
        yield f"validation loss {status.val_loss:.4f}, {unsure_between(status.val_loss)}"


def format_duration(seconds):
    """Return seconds in the largest two units: "12 s", "1 min 05 s", "2 h 30 min"."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02} min"


def milestones_html(history):
    """Return a list of the references that the validation loss beat, and at which step."""
    entries = (
        f"<li><b>step {step:,}</b> {escape(MILESTONES[name])} ({history.references[name]:.4g})</li>"
        for name, step in history.milestones()
    )
    return f'<ol class="milestones">{"".join(entries)}</ol>'


def figures_html(history):
    """Return a table of the latest MAX_ROWS evaluations, the newest first."""
    rows = "".join(
        f"<tr><td>{step:,}</td><td>{train:.4f}</td><td>{val:.4f}</td></tr>"
        for step, train, val in history.evals[: -MAX_ROWS - 1 : -1]
    )
    return (
        '<table class="figures"><thead><tr><th>step</th><th>training loss</th>'
        f"<th>validation loss</th></tr></thead><tbody>{rows}</tbody></table>"
    )


def sample_html(history, step):
    """Return the last sample taken at or before a step; the first one if all came later."""
    if not history.samples:
        return '<p class="status">Its samples will appear here.</p>'
    earlier = [sample for sample in history.samples if sample[0] <= step]
    sample_step, text = earlier[-1] if earlier else history.samples[0]
    title = (
        f"What it wrote at step {sample_step:,}"
        if sample_step
        else "What it wrote before it had learned"
    )
    return f'<h3 class="sample">{title}</h3>' + text_html(text.strip("\n"))


def run_label(status):
    """Return the run's entry in the list of all runs: its name, and its state or final loss."""
    if status.state == "waiting":
        return f"{status.name} · waits, number {status.queue_position}"
    if status.state in ("running", "paused") and status.steps:
        return f"{status.name} · {status.state}, {100 * status.step // status.steps} %"
    if status.state == "finished" and status.val_loss is not None:
        return f"{status.name} · {status.val_loss:.4f}"
    return f"{status.name} · {status.state}"
