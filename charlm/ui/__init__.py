"""The page. `build` makes it, `look` dresses it; nothing here runs before they are called."""

import gradio as gr
import torch

from charlm.ui import api, play
from charlm.ui.library import Library
from charlm.ui.look import look

__all__ = ["build", "look"]

MASTHEAD = """
<header>
  <div class="rule">❦</div>
  <h1>charlm</h1>
  <p>A company of very small players, who write Shakespeare one letter at a time</p>
</header>
"""


def build(directory, model=None):
    """The page as gr.Blocks, for the model directories below `directory`.

    `model`: a model directory to start with; None starts with the first one listed. Raises
    CharlmError if it is not a model directory or there is none at all.
    """
    # a character's matrices are too small to share out: beside a training run one thread wrote 1.3
    # times as fast as two that wait for each other, and with a very small network 3 times
    torch.set_num_threads(1)
    library = Library(directory, model)
    default = library.default()
    with gr.Blocks(title="charlm", analytics_enabled=False) as page:
        gr.HTML(MASTHEAD, elem_id="masthead")
        with gr.Tab("Play", id="play"):
            picker = play.build(library, default)
        api.add_endpoints(library, default)
        # a model that was trained since the page was built is there for whoever opens it now
        page.load(
            lambda: gr.update(choices=library.names()),
            None,
            picker,
            queue=False,
            show_progress="hidden",
            api_visibility="private",
        )
    return page
