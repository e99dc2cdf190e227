"""Render the Watch tab: update the parts that changed since a visitor's last update."""

import time
from dataclasses import dataclass

import gradio as gr

from charlm.errors import CharlmError
from charlm.ui.loss_chart import Curve, fit_axes, loss_chart_html
from charlm.ui.run_html import (
    ACTIONS,
    NO_RUNS_HTML,
    figures_html,
    milestones_html,
    run_head_html,
)
from charlm.ui.run_list import in_order, run_label
from charlm.ui.snapshot_html import steps_html

LINEAR, LOG = "linear steps", "log steps"
MAX_OTHERS = 4  # runs drawn beside the one shown


@dataclass(frozen=True)
class Rendered:
    """The state of the page that a visitor sees."""

    state: tuple = ()  # everything that the page depends on
    hashes: tuple = ()  # of the parts as they were last sent


def render(monitor, library, by, name, others, order, scale, zone, rendered):
    """Return updates of WatchView.outputs; gr.skip() for parts that have not changed.

    `by`: the Visitor. `name`, `others`: the chosen runs, which may no longer exist. `zone`: the
    visitor's time zone. `rendered`: the visitor's Rendered.
    """
    statuses = monitor.statuses()
    run = name if name in statuses else default_run(statuses)
    overlaid = [other for other in dict.fromkeys(others or []) if other in statuses]
    overlaid = [other for other in overlaid if other != run][:MAX_OTHERS]
    shown = [run, *overlaid] if run else []
    histories = [monitor.history(n) for n in shown]
    cursors = tuple((n, h.cursor) for n, h in zip(shown, histories, strict=True))
    actions = allowed_actions(monitor, library, statuses[run], by) if run else set()
    snapshots = library.snapshots(run) if "write" in actions else ()
    chosen = name, order, scale, zone
    state = chosen, cursors, tuple(statuses.values()), frozenset(actions), snapshots
    if state == rendered.state:
        return gr.skip()
    labels = [(run_label(s, zone, time.time()), s.name) for s in in_order(statuses.values(), order)]
    parts = choice_updates(labels, name, run, others or [], overlaid)
    if run:
        key = cursors, statuses[run].steps, scale, snapshots
        chart, steps = monitor.chart(
            key, lambda: draw_chart(statuses[run].steps, histories, scale, snapshots)
        )
        parts += run_parts(statuses[run], histories[0], chart, steps)
    else:
        parts += [NO_RUNS_HTML, *[""] * 4]
    parts += [gr.update(visible=action in actions) for action in ACTIONS]
    hashes = tuple(hash(repr(part)) for part in parts)
    return [*skip_unchanged(parts, hashes, rendered.hashes), Rendered(state, hashes)]


def allowed_actions(monitor, library, status, by):
    """Return those of ACTIONS that a Visitor may take with a run."""
    actions = monitor.allowed_actions(status, by)
    return actions | {"write"} if has_model(monitor, library, status.name) else actions


def has_model(monitor, library, run):
    """Return whether the Play tab lists the model that a run saved."""
    try:
        return library.path(run).resolve() == monitor.directory(run).resolve()
    except CharlmError:  # none is saved yet, or the run is no longer followed
        return False


def choice_updates(labels, name, run, others, overlaid):
    """Return updates of the list of runs and of the choice of runs to draw beside one.

    A value is set only where it has to change: by the time the update arrives, the visitor may
    have chosen another.
    """
    candidates = [n for _, n in labels if n != run]
    return [
        gr.update(choices=labels, **({} if run == name else {"value": run})),
        gr.update(choices=candidates, **({} if overlaid == others else {"value": overlaid})),
    ]


def run_parts(status, history, chart, steps):
    """Return the HTML parts that show one run."""
    return [
        run_head_html(status, history),
        chart,
        milestones_html(history),
        figures_html(history),
        steps,
    ]


def draw_chart(last_step, histories, scale, snapshots):
    """Return the loss chart of the first history and the others, and the texts of the first."""
    curves, references = [curve_of(history) for history in histories], histories[0].references
    axes = fit_axes(curves, references, last_step, scale == LOG)
    return loss_chart_html(curves, references, axes), steps_html(histories[0], snapshots, axes)


def skip_unchanged(parts, hashes, old_hashes):
    """Return the parts, with gr.skip() for those whose hash is the old one."""
    old_hashes = old_hashes or [None] * len(parts)
    return [
        gr.skip() if new == old else part
        for part, new, old in zip(parts, hashes, old_hashes, strict=True)
    ]


def default_run(statuses):
    """Return the run that a page opens with: an active one, else a bundled one, else any."""
    active = [n for n, s in statuses.items() if s.state in ("running", "starting", "paused")]
    bundled = [name for name in ("two-minutes", "shakespeare") if name in statuses]
    return next(iter([*active, *bundled, *statuses]), None)


def curve_of(history):
    val = tuple((step, val) for step, _, val in history.evals)
    return Curve(history.name, tuple(history.losses), val, tuple(history.snapshots))
