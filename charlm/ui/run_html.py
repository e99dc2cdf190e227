"""A run in words: pure functions from its status and history to HTML."""

from html import escape

from charlm.ui.text_html import text_html

ROWS = 200  # of the table of evaluations
STATES = {
    "waiting": "waits in line",
    "starting": "is about to begin",
    "running": "is learning",
    "paused": "is paused",
    "finished": "has finished",
    "stopped": "was stopped",
    "failed": "has failed",
}
BEATEN = {
    "uniform": "does better than blind chance",
    "unigram": "beats the character frequencies",
    "bigram": "beats the bigram",
    "lecture": "beats the lecture",
}


def head_html(status, history):
    """The run's name and state, how far it is, and the figures of the moment."""
    share = status.step / status.steps if status.steps else 0
    told = " · ".join(facts(status))
    data = history.start["data"]["name"] if history.start else ""
    learns = f" <small>on {escape(data)}</small>" if data else ""
    message = f'<p class="message">{escape(status.message)}</p>' if status.message else ""
    return (
        f'<div class="run {status.state}"><h2>{escape(status.name)} <em>{STATES[status.state]}</em>'
        f'{learns}</h2><div class="bar" role="progressbar" aria-label="progress of'
        f' {escape(status.name)}" aria-valuemin="0" aria-valuemax="{status.steps}"'
        f' aria-valuenow="{status.step}"><i style="width:{100 * share:.1f}%"></i></div>'
        f'<p class="facts">{escape(told)}</p>{message}</div>'
    )


def facts(status):
    if status.state == "waiting":
        yield "next in line" if status.place == 1 else f"number {status.place} in line"
    yield f"step {status.step:,} of {status.steps:,}"
    if status.eta_seconds is not None:
        yield f"{duration(status.eta_seconds)} left"
    if status.state in ("running", "paused") and status.chars_per_second:
        yield f"{status.chars_per_second:,.0f} characters a second"
        yield f"learning rate {status.learning_rate:.2g}"
    if status.val_loss is not None:
        yield f"validation loss {status.val_loss:.4f}"


def duration(seconds):
    """Seconds as somebody would say them."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02} min"


def milestones_html(history):
    """Which references the validation loss got below, and when."""
    entries = (
        f"<li><b>step {step:,}</b> {escape(BEATEN[name])} ({history.references[name]:.4g})</li>"
        for name, step in history.milestones()
    )
    return f'<ol class="milestones">{"".join(entries)}</ol>'


def figures_html(history):
    """The evaluations as a table, the latest first."""
    rows = "".join(
        f"<tr><td>{step:,}</td><td>{train:.4f}</td><td>{val:.4f}</td></tr>"
        for step, train, val in history.evals[: -ROWS - 1 : -1]
    )
    return (
        '<table class="figures"><thead><tr><th>step</th><th>training loss</th>'
        f"<th>validation loss</th></tr></thead><tbody>{rows}</tbody></table>"
    )


def sample_html(history, moment):
    """What the model wrote last before the step `moment`, or at it."""
    if not history.samples:
        return '<p class="status">What it writes will stand here.</p>'
    earlier = [sample for sample in history.samples if sample[0] <= moment]
    step, text = earlier[-1] if earlier else history.samples[0]
    title = f"What it wrote at step {step:,}" if step else "What it wrote before it had learned"
    return f'<h3 class="sample">{title}</h3>' + text_html(text.strip("\n"))


def label(status):
    """The run in the list of all runs."""
    if status.state == "waiting":
        return f"{status.name} · waits, {status.place} in line"
    if status.state in ("running", "paused") and status.steps:
        return f"{status.name} · {status.state}, {100 * status.step // status.steps} %"
    if status.state == "finished" and status.val_loss is not None:
        return f"{status.name} · {status.val_loss:.4f}"
    return f"{status.name} · {status.state}"
