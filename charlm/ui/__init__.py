"""The page. `build` makes it, `look` dresses it; nothing here runs before they are called."""

from functools import partial

import gradio as gr
import torch

from charlm.hub.follow import HubFollowers
from charlm.serving.job_queue import Jobs
from charlm.serving.library import Library
from charlm.serving.limits import Limits
from charlm.serving.run_monitor import RunMonitor
from charlm.ui import api, play, watch, zerogpu
from charlm.ui import page_load as opening
from charlm.ui.events import QUIET
from charlm.ui.theme import look

__all__ = ["build", "look"]

SWITCH = "() => [{{__type__: 'update', active: {active}}}]"
MASTHEAD = """
<header>
  <div class="rule">❦</div>
  <h1>charlm</h1>
  <p>A company of very small players, who write Shakespeare one letter at a time</p>
</header>
"""


def build(directory, model=None, limits=None, trainer=None):
    """The page as gr.Blocks, for the model directories below `directory`.

    `model`: a model directory or Hub repository to start with; None starts with the first one
    listed. `limits`: for what visitors do; None takes those of the environment. `trainer`: the path
    of train.py; None expects it beside `directory`. Raises CharlmError if `model` is neither, or
    there is none at all.
    """
    # a character's matrices are too small to share out: beside a training run one thread wrote 1.3
    # times as fast as two that wait for each other, and with a very small network 3 times
    torch.set_num_threads(1)
    limits, followers = limits or Limits.from_environment(), HubFollowers()
    jobs = Jobs(directory, limits, trainer)
    jobs.wake()  # for the runs that went on, and the line that stood, while nothing was served
    monitor = RunMonitor(jobs, followers)
    library = Library(directory, followers, limits, model, monitor.is_training)
    default = library.default()
    with gr.Blocks(title="charlm", analytics_enabled=False, delete_cache=(600, 3600)) as page:
        gr.HTML(MASTHEAD, elem_id="masthead")
        timer = gr.Timer(watch.TICK, active=False)
        with gr.Tabs() as tabs:
            with gr.Tab("Play", id="play") as play_tab:
                controls, requests = play.build(library, default)
            with gr.Tab("Watch", id="watch") as watch_tab:
                watch.build(monitor, library, timer, watch_tab)
        api.add_endpoints(library, default, monitor)
        zerogpu.declare()
        opening.connect(page, library, default, controls, requests, tabs)
        # a model that was trained since is there for whoever comes back to the page
        play_tab.select(partial(model_names, library), None, controls.model, **QUIET)
        for tab, active in ((play_tab, "false"), (watch_tab, "true")):
            # in the browser, where the two cannot overtake each other as answers of a server could
            tab.select(None, None, timer, js=SWITCH.format(active=active), **QUIET)
    return page


def model_names(library):
    return gr.update(choices=library.names())
