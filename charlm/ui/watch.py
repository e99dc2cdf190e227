"""The layout of the Watch tab: one run on the left, the form and the list of runs on the right."""

from dataclasses import dataclass

import gradio as gr

from charlm.ui.run_form import build_run_form
from charlm.ui.run_html import ACTIONS
from charlm.ui.run_list import LOWEST, NEWEST
from charlm.ui.snapshots import SnapshotsView, build_snapshots
from charlm.ui.watch_events import connect_watch_events
from charlm.ui.watch_render import LINEAR, LOG, MAX_OTHERS, Rendered

MAX_SECRET = 64  # characters
# see page.js
BROWSER_JS = "() => [window.charlm.owner(), Intl.DateTimeFormat().resolvedOptions().timeZone || '']"
MAX_ZONE = 64  # characters


@dataclass(frozen=True)
class DeleteQuestion:
    """The row that asks before a run is deleted."""

    row: gr.Row
    text: gr.HTML
    run: gr.State  # the name of the run that it asks about
    yes: gr.Button
    no: gr.Button


@dataclass(frozen=True)
class WatchView:
    """The components of the tab, apart from the form."""

    run: gr.Radio
    others: gr.Dropdown
    order: gr.Radio  # of the choices of `run`
    head: gr.HTML
    chart: gr.HTML
    scale: gr.Radio
    milestones: gr.HTML
    figures: gr.HTML
    snapshots: SnapshotsView
    actions: dict  # name -> gr.Button
    delete_question: DeleteQuestion
    rendered: gr.State
    owner: gr.Textbox  # the browser's secret
    zone: gr.Textbox  # the browser's time zone

    @property
    def inputs(self):
        """The components whose values `render` takes, in its order, after the owner."""
        choices = [self.run, self.others, self.order, self.scale]
        return [*choices, self.zone, self.rendered]

    @property
    def outputs(self):
        """The components that `render` updates, in its order."""
        parts = [self.run, self.others, self.head, self.chart, self.milestones, self.figures]
        return [*parts, self.snapshots.steps, *self.actions.values(), self.rendered]


def build_watch_tab(page, monitor, library, timer, tab):
    """Build the tab in the Blocks being built; it updates when `tab` opens and `timer` ticks.

    Returns its WatchView.
    """
    limits = monitor.jobs.limits
    gr.HTML("<h2>Watch a model learn</h2>", elem_classes="screen-reader-only")
    with gr.Row(elem_id="watch"):  # on a phone, the columns follow each other in this order
        with gr.Column(min_width=0, elem_id="run-panel"):
            run_panel = build_run_panel()
        with gr.Column(min_width=0, elem_id="runs-panel"):
            form = build_run_form(limits) if limits.training == "on" else None
            choices = build_run_choices(list(monitor.statuses()))
        with (
            gr.Column(min_width=0, elem_id="losses-panel"),
            gr.Accordion("All losses", open=False, elem_id="figures"),
        ):
            figures = gr.HTML()
    rendered = gr.State(Rendered())
    browser = {
        "owner": gr.Textbox(visible="hidden", max_length=MAX_SECRET, elem_id="owner"),
        "zone": gr.Textbox(visible="hidden", max_length=MAX_ZONE, elem_id="zone"),
    }
    view = WatchView(
        **run_panel,
        **choices,
        figures=figures,
        **browser,
        rendered=rendered,
    )
    page.load(None, None, [view.owner, view.zone], js=BROWSER_JS, api_visibility="private")
    connect_watch_events(monitor, library, view, form, page.readers, [tab.select, timer.tick])
    return view


def build_run_panel():
    """Build the components that show one run; returns them by their names in WatchView."""
    return {
        "head": gr.HTML(elem_id="run-head"),
        "actions": build_actions(),
        "delete_question": build_delete_question(),
        "scale": gr.Radio(
            [LINEAR, LOG],
            value=LINEAR,
            label="Scale of the steps",
            show_label=False,
            elem_id="scale",
        ),
        "chart": gr.HTML(elem_id="curve"),
        "snapshots": build_snapshots(),
        "milestones": gr.HTML(elem_id="milestones"),
    }


def build_actions():
    with gr.Row(elem_id="actions"):
        return {
            action: gr.Button(label, size="sm", visible=False, elem_id=action, elem_classes="pill")
            for action, label in ACTIONS.items()
        }


def build_run_choices(names):
    """Build the choice of the run shown and of the runs drawn beside it, as `build_run_panel`."""
    return {
        "order": gr.Radio(
            [NEWEST, LOWEST],
            value=NEWEST,
            label="Order of the training runs",
            show_label=False,
            elem_id="order",
        ),
        "run": gr.Radio(names, label="Training runs", elem_id="runs"),
        "others": gr.Dropdown(
            names,
            multiselect=True,
            label="Compare with",
            max_choices=MAX_OTHERS,
            elem_id="others",
        ),
    }


def build_delete_question():
    with gr.Row(visible=False, elem_id="ask-delete") as row:
        return DeleteQuestion(
            row,
            gr.HTML(),
            gr.State(),
            gr.Button("Delete it", variant="stop", size="sm", elem_id="delete-yes"),
            gr.Button("Keep it", size="sm", elem_id="delete-no"),
        )
