"""The events of the Watch tab: render it, act on the run shown, start a run."""

from functools import partial
from html import escape

import gradio as gr

from charlm.data.corpus import DataError
from charlm.errors import CharlmError
from charlm.serving.corpus_generation import generate_corpus
from charlm.ui.events import QUIET, visitor_errors
from charlm.ui.run_form import GENERATED, TINY_SHAKESPEARE, field_updates, job_arguments
from charlm.ui.watch_render import render

OTHER_TEXTS = ". Or choose a text of your own below, or one that a model writes now"


def connect_watch_events(monitor, library, view, form, triggers):
    """Connect the events of a WatchView and a RunForm, or None; `triggers` render it too."""
    render_event = {
        "fn": partial(render, monitor),
        "inputs": view.inputs,
        "outputs": view.outputs,
        # a chosen run may have been deleted: `render` handles that, Gradio would raise an error
        "preprocess": False,
        **QUIET,
    }
    choices = [view.run, view.others, view.scale, view.sample_position]
    triggers = [*triggers, *(component.input for component in choices)]
    # one event for all triggers, so that an older answer can never arrive after a newer one
    gr.on(triggers, trigger_mode="always_last", **render_event)
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
        apply = partial(apply_action, monitor, action)
        view.actions[name].click(apply, view.run, None, **QUIET).then(**render_event)


def connect_delete(monitor, view, render_event):
    """Delete the run shown, after asking."""
    question = view.delete_question

    def show(name):
        text = f"<p>Delete {escape(str(name))}, its model and its history, for good?</p>"
        return gr.update(visible=True), text, name

    def hide():
        return gr.update(visible=False)

    outputs = [question.row, question.text, question.run]
    view.actions["delete"].click(show, view.run, outputs, **QUIET)
    gr.on(
        [question.no.click, question.yes.click, view.run.input], hide, None, question.row, **QUIET
    )
    delete = partial(apply_action, monitor, monitor.jobs.delete)
    question.yes.click(delete, question.run, None, **QUIET).then(**render_event)


def apply_action(monitor, action, name):
    """Call an action with the name of a run, then refresh the statuses of the runs."""
    with visitor_errors():
        action(name)
    monitor.statuses(fresh=True)


def connect_form(monitor, library, form, view, render_event):
    """Start a run when the form's button is pressed, or the one that offers a generated text."""
    start_event = {
        "fn": partial(start_run, monitor, library, form),
        "inputs": form.inputs,
        "outputs": [view.run, form.notice, form.use_generated, *form.fields.values()],
        "show_progress": "hidden",
        "api_visibility": "private",
        "concurrency_limit": 2,
    }
    form.start.click(**start_event).then(**render_event)
    chosen = form.use_generated.click(lambda: GENERATED, None, form.source, **QUIET)
    chosen.then(**start_event).then(**render_event)


def start_run(monitor, library, form, *inputs):
    """Start the run that the form describes; yields updates of the tab meanwhile."""
    source = inputs[1]
    yield form_updates(form, "One moment …", field_updates(form, source))
    try:
        arguments = job_arguments(*inputs)
        monitor.jobs.check(**arguments)  # fail before a text is generated, which takes a while
        if source == GENERATED:
            for arguments["text"], done in generate_corpus(library):
                yield form_updates(form, f"A text to learn from is being written: {done:.0%}")
        name = monitor.jobs.start(**arguments)
    except CharlmError as error:
        missing = isinstance(error, DataError) and source == TINY_SHAKESPEARE
        fields = field_updates(form, source, error)
        yield form_updates(form, f"{error}{OTHER_TEXTS * missing}", fields, missing)
        return
    run = gr.update(choices=list(monitor.statuses(fresh=True)), value=name)
    yield form_updates(form, f"{name} is on its way.", run=run)


def form_updates(form, notice, fields=None, offer_generated=False, run=None):
    """Return updates of the chosen run, the notice, the offer and the fields; None skips one."""
    notice = f'<p class="notice" role="status">{escape(notice)}</p>'
    fields = fields or [gr.skip()] * len(form.fields)
    return [run or gr.skip(), notice, gr.update(visible=offer_generated), *fields]
