"""The layout of the Guess tab: Shannon's game, which guess.js runs."""

import gradio as gr

from charlm.ui.guess_events import connect_guess_events
from charlm.ui.guess_request import MAX_TYPED_CHARS
from charlm.ui.static_files import SCRIPT_ROUTE, address_of

RULES = """<h2>Guess the next letter</h2>
<p>In 1951 Claude Shannon measured English by letting people guess a text letter by letter. Can you
do it better than the models? Guess letters and spaces until you are right; everything else is
filled in, and case does not matter. The models guess the same letters. It takes about two
minutes.</p>"""
# a fixed container: guess.js fills it, and Gradio never renders it again
GAME = """<section id="guess-game" data-state="waiting" aria-label="The game">
<p class="origin"></p>
<div class="result"></div>
<div class="passage"></div>
<div id="guess-feedback"></div>
<div class="keys" role="group" aria-label="Letters to guess"></div>
<div class="actions"><span class="progress"></span>
<button type="button" class="pill" data-action="show">Show me</button>
<button type="button" class="pill" data-action="stop">Stop here</button></div>
<p class="how">Your bits are Shannon’s lower and upper bound, from how many guesses you needed;
those of the models come from the odds that they gave to each letter. Fewer are better. So few
letters measure roughly: play another passage.</p>
<div class="after"><a class="pill" href="?tab=guess">Link to this passage</a>
<button type="button" class="pill" data-action="another">Another passage</button></div>
</section>"""
SCRIPT = '<script src="{}"></script>'  # loaded when the tab is opened first: most visitors do not


def build_guess_tab(library):
    """Build the tab in the Blocks being built."""
    with gr.Row(elem_id="guess"):
        with gr.Column(scale=2, min_width=0, elem_id="guess-left"):
            gr.HTML(RULES, elem_id="guess-rules")
            gr.Textbox(
                label="Or play with a text of your own",
                placeholder="Paste a text that you do not know by heart, or one for a friend.",
                lines=2,
                max_lines=6,
                max_length=MAX_TYPED_CHARS,
                interactive=True,
                elem_id="guess-typed",
            )
            gr.Button("Play with this text", size="sm", elem_id="guess-own", elem_classes="pill")
        with gr.Column(scale=3, min_width=0, elem_id="guess-right"):
            notice = gr.HTML(elem_id="guess-notice")
            gr.HTML(GAME, head=SCRIPT.format(address_of(SCRIPT_ROUTE)))
    connect_guess_events(library, notice)
