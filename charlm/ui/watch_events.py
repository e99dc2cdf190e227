"""The events of the Watch tab: render it, act on the run shown, start a run."""

import asyncio
import time
from functools import partial
from html import escape
from pathlib import Path

import gradio as gr

from charlm.data.corpus import DataError
from charlm.errors import CharlmError, explain_os_error, without_directories
from charlm.serving.clients import client_address, client_of
from charlm.serving.corpus_generation import generate_corpus
from charlm.serving.owners import Visitor
from charlm.ui.events import PRIVATE, QUIET, until_done, visitor_errors
from charlm.ui.figures import format_duration
from charlm.ui.play_html import model_summary_html
from charlm.ui.run_form import (
    GENERATED,
    OWN,
    TINY_SHAKESPEARE,
    field_updates,
    job_arguments,
    preset_html,
)
from charlm.ui.snapshots import connect_snapshots
from charlm.ui.watch_render import render

SHOW_RUN_JS = "(run) => window.charlm.showRun(run)"
FOCUS_KEEP_JS = "() => { document.getElementById('delete-no').focus(); }"
FOCUS_MODEL_JS = "() => { document.querySelector('#model input:checked')?.focus(); }"
OTHER_TEXTS = ". Or choose a text of your own below, or one that a model writes now"


def connect_watch_events(monitor, library, view, form, readers, triggers):
    """Connect the events of a WatchView and a RunForm, or None; `triggers` render it too."""

    def render_for(request: gr.Request, owner, *inputs):
        return render(monitor, library, visitor(request, owner), *inputs)

    inputs = [view.owner, *view.inputs]
    render_event = {"fn": render_for, "inputs": inputs, "outputs": view.outputs, **QUIET}
    choices = [view.run, view.others, view.order, view.scale]
    triggers = [*triggers, *(component.input for component in choices)]
    # one event for all triggers, so that an older answer can never arrive after a newer one
    gr.on(triggers, trigger_mode="always_last", **render_event)
    view.run.change(None, view.run, None, js=SHOW_RUN_JS, **QUIET)
    connect_snapshots(library, view.snapshots, readers)
    connect_actions(monitor, view, render_event)
    connect_delete(monitor, view, render_event)
    if form:
        connect_form(monitor, library, form, view, render_event)


def connect_actions(monitor, view, render_event):
    """Pause, resume and stop the run shown."""
    jobs = monitor.jobs
    actions = {
        "pause": jobs.pause,
        "resume": jobs.resume,
        "stop": partial(jobs.stop, wait=0),  # the next ticks show whether it has stopped
    }
    for name, action in actions.items():
        event = action_event(monitor, action, [view.owner, view.run])
        view.actions[name].click(**event).then(**render_event)


def connect_write(library, view, tabs, controls):
    """Open the Play tab with the model of the run shown; `controls`: the PlayControls."""

    def choose(name):
        with visitor_errors():
            library.path(name)  # raises an error if it was deleted meanwhile
        chosen = gr.update(choices=library.names(name), value=name)
        return gr.Tabs(selected="play"), chosen, model_summary_html(library, name)

    outputs = [tabs, controls.model, controls.model_summary]
    chosen = view.actions["write"].click(choose, view.run, outputs, **QUIET)
    chosen.then(None, None, None, js=FOCUS_MODEL_JS, **QUIET)  # the button is hidden now


def connect_delete(monitor, view, render_event):
    """Delete the run shown, after asking."""
    question = view.delete_question

    def show(name):
        text = f"<p>Delete {escape(str(name))}, its model and its history, for good?</p>"
        return gr.update(visible=True), text, name

    def hide():
        return gr.update(visible=False)

    outputs = [question.row, question.text, question.run]
    shown = view.actions["delete"].click(show, view.run, outputs, **QUIET)
    shown.then(None, None, None, js=FOCUS_KEEP_JS, **QUIET)
    gr.on(
        [question.no.click, question.yes.click, view.run.input], hide, None, question.row, **QUIET
    )
    event = action_event(monitor, monitor.jobs.delete, [view.owner, question.run])
    question.yes.click(**event).then(**render_event)


def visitor(request, secret):
    """Return the Visitor who fires an event of the page."""
    return Visitor(client_address(request), secret)


def action_event(monitor, action, inputs):
    """Return the arguments of an event that acts on a run, then refreshes the statuses of all.

    `inputs`: the components with the visitor's secret and the name of the run.
    """

    def act(request: gr.Request, owner, name):
        with visitor_errors():
            action(name, by=visitor(request, owner))
        monitor.statuses(fresh=True)

    return {"fn": act, "inputs": inputs, "outputs": None, **QUIET}


def connect_form(monitor, library, form, view, render_event):
    """Start a run when the form's button is pressed, or the one that offers a generated text."""

    async def start(request: gr.Request, owner, *inputs):
        by, client = visitor(request, owner), client_of(request)
        async for update in start_run(monitor, library, form, by, client, inputs):
            yield update

    start_event = {
        "fn": start,
        "inputs": [view.owner, *form.inputs],
        "outputs": [view.run, form.notice, form.use_generated, *form.fields.values()],
        "concurrency_limit": None,
        **PRIVATE,
    }
    form.start.click(**start_event).then(**render_event)
    chosen = form.use_generated.click(lambda: GENERATED, None, form.source, **QUIET)
    chosen.then(**start_event).then(**render_event)


async def start_run(monitor, library, form, by, client, inputs):
    """Start the run that the form describes; yields updates of the tab meanwhile."""
    source, file, run_pool = inputs[1], inputs[3], library.pools.runs
    yield form_updates(form, "One moment …", field_updates(form, source))
    try:
        arguments = job_arguments(*inputs) | {"by": by}
        # fail before a text is generated, which takes a while
        await run_pool.run(client, partial(monitor.jobs.check, **arguments))
        if source == GENERATED:
            async for arguments["text"], done, seconds in write_text(library, client):
                progress = writing_progress(done, seconds)
                yield form_updates(
                    form, progress, announcement="A text to learn from is being written"
                )
        name = await run_pool.run(client, partial(monitor.jobs.start, **arguments))
    except (CharlmError, OSError) as error:  # an OSError: such as a full disk
        missing = isinstance(error, DataError) and source == TINY_SHAKESPEARE
        fields = field_updates(form, source, error)
        message = explain_os_error(error) if isinstance(error, OSError) else str(error)
        message = without_directories(message) + OTHER_TEXTS * missing
        yield form_updates(form, message, fields, missing)
        return
    if file and source == OWN:
        Path(file).unlink(missing_ok=True)  # the run has its own copy
    fields = field_updates(form, source)
    run = gr.update(choices=list(monitor.statuses(fresh=True)), value=name)
    started = f"{name} is on its way."
    yield [run, preset_html(inputs[0], started), gr.update(visible=False), *fields]


async def write_text(library, client):
    """Yield ("", fraction, seconds) while the default model writes a training text.

    Then yield (text, 1, seconds). One text is written at a time, and the seconds count from its
    beginning.
    """
    done, began = 0.0, time.monotonic()

    def write():
        nonlocal done, began
        for text, done in generate_corpus(library):
            if not done:
                began = time.monotonic()
            if text:
                return text
        raise AssertionError("the text has no end")

    writing = asyncio.ensure_future(library.pools.writing.run(client, write))
    async for _ in until_done(writing):
        yield "", done, time.monotonic() - began
    yield writing.result(), 1.0, time.monotonic() - began


def writing_progress(done, seconds):
    """Return how much of a text is written, and how long the rest takes at the same speed."""
    left = f", about {format_duration(seconds * (1 - done) / done)} left" if done else ""
    return f"A text to learn from is being written: {done:.0%}{left}"


def form_updates(form, notice, fields=None, offer_generated=False, run=None, announcement=None):
    """Return updates of the chosen run, the notice, the offer and the fields; None skips one.

    page.js announces each new notice, or the `announcement` in its place.
    """
    announced = escape(announcement or notice)
    notice = f'<p class="notice" data-announcement="{announced}">{escape(notice)}</p>'
    fields = fields or [gr.skip()] * len(form.fields)
    return [run or gr.skip(), notice, gr.update(visible=offer_generated), *fields]
