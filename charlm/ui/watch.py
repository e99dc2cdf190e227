"""The Watch tab: every run there is, as it learns or as it learned, and a form to start one."""

from dataclasses import dataclass
from functools import partial
from html import escape

import gradio as gr

from charlm.data.corpus import DataError
from charlm.errors import CharlmError
from charlm.serving import generate as writer
from charlm.ui import run_form as forms
from charlm.ui import run_html as report
from charlm.ui.api import clear_errors
from charlm.ui.events import QUIET
from charlm.ui.loss_chart import Curve, loss_chart_html

TICK = 1.0  # seconds between looks
ACTIONS = {"pause": "Pause", "resume": "Resume", "stop": "Stop", "delete": "Delete …"}
LINEAR, LOG = "linear steps", "log steps"
RESCUE = ". Or choose a text of your own below, or one that a model writes now"
NOTHING = "<p>Nothing has been trained here yet.</p>"
MOST_OTHERS = 4  # runs laid over another


@dataclass(frozen=True)
class WatchView:
    """What the tab shows; `outputs` in the order that View.render gives them."""

    run: gr.Radio
    others: gr.Dropdown
    head: gr.HTML
    curve: gr.HTML
    milestones: gr.HTML
    figures: gr.HTML
    sample: gr.HTML
    actions: dict  # name -> gr.Button
    seen: gr.State

    @property
    def outputs(self):
        shown = [self.run, self.others, self.head, self.curve, self.milestones, self.figures]
        return [*shown, self.sample, *self.actions.values(), self.seen]


@dataclass(frozen=True)
class Rendered:
    """What a visitor's page shows already."""

    everything: tuple = ()  # equal if nothing has changed at all
    parts: tuple = ()  # hashes of the page's parts as they were last sent to it


def build(monitor, library, timer, tab):
    """The tab, in the Blocks being built, brought up to date when it is opened and at each tick."""
    names = list(monitor.statuses())
    with gr.Row(elem_id="watch"):
        with gr.Column(scale=3, min_width=320, elem_id="run-panel"):
            head = gr.HTML(NOTHING, elem_id="run-head")
            actions = build_actions()
            curve = gr.HTML(elem_id="curve")
            scale = gr.Radio([LINEAR, LOG], value=LINEAR, show_label=False, elem_id="scale")
            milestones = gr.HTML(elem_id="milestones")
            told = "Its samples, from the first to the latest"
            moment = gr.Slider(0, 100, 100, step=1, label=told, elem_id="sample-position")
            sample = gr.HTML(elem_id="sample")
            with gr.Accordion("The figures", open=False, elem_id="figures"):
                figures = gr.HTML()
        with gr.Column(scale=2, min_width=300, elem_id="runs-panel"):
            form = (
                forms.build(monitor.jobs.limits) if monitor.jobs.limits.training == "on" else None
            )
            run = gr.Radio(names, label="The runs", elem_id="runs")
            others = gr.Dropdown(
                names,
                multiselect=True,
                label="Laid over it",
                max_choices=MOST_OTHERS,
                elem_id="others",
            )
    seen = gr.State(Rendered())
    stage = WatchView(run, others, head, curve, milestones, figures, sample, actions, seen)
    look = {
        "fn": partial(render, monitor),
        "inputs": [run, others, scale, moment, seen],
        "outputs": stage.outputs,
        # what was chosen may be gone by now: that is for `render` to see, not an error
        "preprocess": False,
        **QUIET,
    }
    choices = [run.input, others.input, scale.input, moment.input]
    # one event, so that a page never has two answers on their way that could overtake each other
    gr.on([tab.select, timer.tick, *choices], trigger_mode="always_last", **look)
    connect_actions(monitor, stage, look)
    if form:
        connect_form(monitor, library, form, stage, look)


def build_actions():
    """Buttons for what can be done to the run that is shown."""
    with gr.Row(elem_id="actions"):
        return {
            action: gr.Button(label, size="sm", visible=False, elem_id=action, elem_classes="chip")
            for action, label in ACTIONS.items()
        }


def connect_actions(monitor, stage, look):
    """Pause, resume and stop at once; delete after asking."""
    jobs = monitor.jobs
    with gr.Row(visible=False, elem_id="ask-delete") as ask:
        question, asked = gr.HTML(), gr.State()
        yes = gr.Button("Delete it", variant="stop", size="sm", elem_id="delete-yes")
        no = gr.Button("Keep it", size="sm", elem_id="delete-no")

    def do(action, name):
        with clear_errors():
            action(name)
        monitor.statuses(fresh=True)

    def ask_first(name):
        told = f"<p>Delete {escape(str(name))}, its model and its history, for good?</p>"
        return gr.update(visible=True), told, name

    for name, action in (
        ("pause", jobs.pause),
        ("resume", jobs.resume),
        ("stop", partial(jobs.stop, wait=0)),  # the next ticks tell how it went
    ):
        stage.actions[name].click(partial(do, action), stage.run, None, **QUIET).then(**look)
    stage.actions["delete"].click(ask_first, stage.run, [ask, question, asked], **QUIET)
    hide = {"fn": lambda: gr.update(visible=False), "inputs": None, "outputs": ask, **QUIET}
    gr.on([no.click, yes.click, stage.run.input], **hide)
    yes.click(partial(do, jobs.delete), asked, None, **QUIET).then(**look)


def connect_form(monitor, library, form, stage, look):
    def start(*inputs):
        told, source = partial(notice, name=gr.skip()), inputs[1]
        yield told("One moment …", marks=forms.marks(form, source))
        try:
            arguments = forms.read(*inputs)
            monitor.jobs.check(**arguments)  # before a text is written for nothing
            if source == forms.WRITTEN:
                for arguments["text"], share in writer.write_corpus(library):
                    yield told(f"A text to learn from is being written: {share:.0%}")
            name = monitor.jobs.start(**arguments)
        except CharlmError as error:
            missing = isinstance(error, DataError) and source == forms.TINY
            marks = forms.marks(form, source, error)
            yield told(f"{error}{RESCUE * missing}", rescue=missing, marks=marks)
            return
        there = list(monitor.statuses(fresh=True))
        yield notice(f"{name} is on its way.", gr.update(choices=there, value=name))

    def notice(text, name, rescue=False, marks=()):
        shown = f'<p class="notice" role="status">{escape(text)}</p>'
        return [name, shown, gr.update(visible=rescue), *(marks or [gr.skip()] * len(form.fields))]

    begin = {
        "inputs": form.inputs,
        "outputs": [stage.run, form.notice, form.rescue, *form.fields.values()],
        "show_progress": "hidden",
        "api_visibility": "private",
        "concurrency_limit": 2,
    }
    form.start.click(start, **begin).then(**look)
    rescued = form.rescue.click(lambda: forms.WRITTEN, None, form.source, **QUIET)
    rescued.then(start, **begin).then(**look)


def render(monitor, name, others, scale, percent, seen):
    """What of the page has changed since `seen`, as updates; nothing at all if nothing has."""
    statuses = monitor.statuses()
    chosen = name if name in statuses else first_choice(statuses)
    asked, others = others or [], dict.fromkeys(others or [])
    others = [n for n in others if n in statuses and n != chosen][:MOST_OTHERS]
    shown = [chosen, *others] if chosen else []
    histories = [monitor.history(n) for n in shown]
    cursors = tuple((n, h.cursor) for n, h in zip(shown, histories, strict=True))
    able = monitor.allowed_actions(statuses[chosen]) if chosen else set()
    everything = name, cursors, scale, percent, tuple(statuses.values()), frozenset(able)
    if everything == seen.everything:
        return gr.skip()
    labels = [(report.label(status), status.name) for status in statuses.values()]
    # a choice only where it has to change: by the time this arrives the visitor's may be another
    choices = [
        gr.update(choices=labels, **({} if chosen == name else {"value": chosen})),
        gr.update(
            choices=[n for n in statuses if n != chosen],
            **({} if others == asked else {"value": others}),
        ),
    ]
    if chosen:
        parts = show(monitor, statuses[chosen], able, histories, scale, percent, cursors)
    else:
        parts = [NOTHING, *[""] * 4, *[gr.update(visible=False)] * len(ACTIONS)]
    parts = [*choices, *parts]
    hashes = tuple(hash(repr(part)) for part in parts)
    before = seen.parts or [None] * len(parts)
    changed = [
        gr.skip() if new == old else part
        for part, new, old in zip(parts, hashes, before, strict=True)
    ]
    return [*changed, Rendered(everything, hashes)]


def show(monitor, status, able, histories, scale, percent, cursors):
    """The parts of the page that show a run and what is `able` to be done, others laid over it."""
    history = histories[0]

    def draw():
        curves = [curve_of(h) for h in histories]
        return loss_chart_html(curves, history.references, status.steps, scale == LOG)

    return [
        report.head_html(status, history),
        monitor.drawing((cursors, status.steps, scale), draw),
        report.milestones_html(history),
        report.figures_html(history),
        report.sample_html(history, percent / 100 * status.steps),
        *(gr.update(visible=action in able) for action in ACTIONS),
    ]


def first_choice(statuses):
    """The run that a page opens with: the one that is going on, else the bundled one."""
    going = [n for n, s in statuses.items() if s.state in ("running", "starting", "paused")]
    bundled = [name for name in ("shakespeare",) if name in statuses]
    return next(iter([*going, *bundled, *statuses]), None)


def curve_of(history):
    val = tuple((step, val) for step, _, val in history.evals)
    return Curve(history.directory.name, tuple(history.losses), val)
