"""The page. `build` makes it, `look` dresses it; nothing here runs before they are called."""

from functools import partial

import gradio as gr
import torch

from charlm.jobs import Jobs
from charlm.limits import Limits
from charlm.ui import api, play, watch
from charlm.ui.board import Board
from charlm.ui.events import QUIET
from charlm.ui.library import Library
from charlm.ui.look import look

__all__ = ["build", "look"]

SWITCH = "() => [{{__type__: 'update', active: {active}}}]"
MASTHEAD = """
<header>
  <div class="rule">❦</div>
  <h1>charlm</h1>
  <p>A company of very small players, who write Shakespeare one letter at a time</p>
</header>
"""


def build(directory, model=None, limits=None):
    """The page as gr.Blocks, for the model directories below `directory`.

    `model`: a model directory to start with; None starts with the first one listed. `limits`: for
    runs started on the page; None takes those of the environment. Raises CharlmError if `model` is
    not a model directory or there is none at all.
    """
    # a character's matrices are too small to share out: beside a training run one thread wrote 1.3
    # times as fast as two that wait for each other, and with a very small network 3 times
    torch.set_num_threads(1)
    library = Library(directory, model)
    jobs = Jobs(directory, limits or Limits.from_environment())
    jobs.wake()  # for the runs that went on, and the line that stood, while nothing was served
    board = Board(jobs)
    default = library.default()
    with gr.Blocks(title="charlm", analytics_enabled=False, delete_cache=(600, 3600)) as page:
        gr.HTML(MASTHEAD, elem_id="masthead")
        timer = gr.Timer(watch.TICK, active=False)
        with gr.Tabs() as tabs:
            with gr.Tab("Play", id="play") as play_tab:
                picker = play.build(library, default, board.is_training)
            with gr.Tab("Watch", id="watch") as watch_tab:
                watch.build(board, library, timer, watch_tab)
        api.add_endpoints(library, default, board)
        page.load(open_tab, None, tabs, **QUIET)
        # a model that was trained since is there for whoever opens the page, or comes back to it
        gr.on([page.load, play_tab.select], partial(model_names, library), None, picker, **QUIET)
        for tab, active in ((play_tab, "false"), (watch_tab, "true")):
            # in the browser, where the two cannot overtake each other as answers of a server could
            tab.select(None, None, timer, js=SWITCH.format(active=active), **QUIET)
    return page


def open_tab(request: gr.Request):
    """The tab that the address names, as after a reload."""
    return gr.Tabs(selected="watch") if request.query_params.get("tab") == "watch" else gr.skip()


def model_names(library):
    return gr.update(choices=library.names())
