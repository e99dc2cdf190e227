"""The page: `build` builds it, `launch_arguments` serve it. Importing has no side effects."""

import gradio as gr
import torch

from charlm.generation.engine_process import make_engines
from charlm.hub.follow import HubFollowers
from charlm.serving.job_queue import JobQueue
from charlm.serving.library import Library
from charlm.serving.limits import Limits
from charlm.serving.parameters import Text, endpoint_parameters, page_parameters
from charlm.serving.run_monitor import RunMonitor
from charlm.ui.api import add_endpoints
from charlm.ui.events import QUIET, TEXT_EVENTS
from charlm.ui.guess import build_guess_tab
from charlm.ui.inside import build_inside_tab
from charlm.ui.launch import launch_arguments
from charlm.ui.masthead import ANNOUNCEMENTS, masthead_html
from charlm.ui.page import Page
from charlm.ui.page_load import connect_page_load, connect_tabs_load
from charlm.ui.page_parts import FULL_PAGE
from charlm.ui.play import build_play_tab
from charlm.ui.play_html import first_text_html, model_summary_html
from charlm.ui.shown_text import MAX_JSON_CHARS
from charlm.ui.watch import build_watch_tab
from charlm.ui.watch_events import connect_write
from charlm.ui.zerogpu import declare_gpu_event

__all__ = ["build", "launch_arguments"]

TICK = 1.0  # seconds between updates of the Watch tab
SET_ACTIVE = "() => [{{__type__: 'update', active: {active}}}]"


def build(directory, model=None, limits=None, trainer=None):
    """Build the page, a gr.Blocks, for the model directories below `directory`.

    `model`: a model directory or Hub repository to start with; None starts with the first model
    listed. `limits`: the Limits on visitors; None reads the environment. `trainer`: the path of
    train.py; None expects it beside `directory`. Raises CharlmError if `model` is neither, or if
    no model is found.
    """
    # the products of one character are too small for two threads: beside a training run, one
    # thread generated 1.3 times as fast as two, and 3 times with a very small network
    torch.set_num_threads(1)
    limits, followers = limits or Limits.from_environment(), HubFollowers()
    jobs = JobQueue(directory, limits, trainer)
    monitor = RunMonitor(jobs, followers)
    library = Library(directory, followers, limits, model, make_engines(monitor.is_training))
    jobs.start_worker()  # for runs that wait or went on; after make_engines: see start_process
    default = library.default()
    parameters = event_parameters(limits, default)
    with Page(parameters, library.pools, title="charlm", analytics_enabled=False) as page:
        address_notice = build_head(page, library, default, limits)
        timer = gr.Timer(TICK, active=False)
        with gr.Tabs() as tabs:
            with gr.Tab("Play", id="play", elem_id="play-panel") as play_tab:
                controls, requests = build_play_tab(library, default, page.readers)
            with gr.Tab("Watch", id="watch", elem_id="watch-panel") as watch_tab:
                view = build_watch_tab(page, monitor, library, timer, watch_tab)
            with gr.Tab("Look inside", id="inside", elem_id="inside-panel") as inside_tab:
                inside = build_inside_tab(library, default)
            with gr.Tab("Guess the next letter", id="guess", elem_id="guess-panel") as guess_tab:
                build_guess_tab(library)
        add_endpoints(library, default, monitor, page.readers)
        declare_gpu_event()
        # Gradio's estimates, which the page does not show, cost the square of the events that wait
        page.queue(status_update_rate=60)
        connect_tabs_load(page, tabs, monitor, view.run, inside)
        connect_page_load(page, library, default, controls, requests, monitor, address_notice)
        connect_write(library, view, tabs, controls)
        connect_tabs(library, play_tab, watch_tab, inside_tab, controls, inside, timer)
        guess_tab.select(None, None, timer, js=SET_ACTIVE.format(active="false"), **QUIET)
    return page


def build_head(page, library, default, limits):
    """Build what is above the tabs; returns the gr.HTML for what is wrong with the address."""
    page.masthead = masthead_html(library, default, limits.training == "on")
    page.first_text = first_text_html(library, default)
    gr.HTML(FULL_PAGE + page.masthead + ANNOUNCEMENTS, elem_id="masthead")
    return gr.HTML(elem_id="address-notice")


def event_parameters(limits, default):
    """Return the parameters of the endpoints and of the Play tab's events, by their names."""
    parameters = endpoint_parameters(limits, default)
    of_page = parameters["generate"] | page_parameters(limits)
    del of_page["off"]
    of_page["request"] = Text("", MAX_JSON_CHARS)
    return parameters | dict.fromkeys(TEXT_EVENTS, of_page)


def connect_tabs(library, play_tab, watch_tab, inside_tab, controls, inside, timer):
    """List the models there are in two tabs; update the Watch tab only when it is open."""

    def list_models(chosen):
        if library.has(chosen):
            return gr.update(choices=library.names(chosen)), gr.skip()
        default = library.default()  # the chosen one was deleted
        update = gr.update(choices=library.names(default), value=default)
        return update, model_summary_html(library, default)

    outputs = [controls.model, controls.model_summary]
    play_tab.select(list_models, controls.model, outputs, **QUIET)
    opened = inside_tab.select(
        lambda chosen: gr.update(choices=library.names(chosen)),
        inside.model,
        inside.model,
        **QUIET,
    )
    opened.then(None, None, None, js="() => window.charlm.openInside()", **QUIET)
    for tab, active in ((play_tab, "false"), (watch_tab, "true"), (inside_tab, "false")):
        # in the browser, since answers of the server could arrive in the wrong order
        tab.select(None, None, timer, js=SET_ACTIVE.format(active=active), **QUIET)
