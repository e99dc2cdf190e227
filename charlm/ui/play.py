"""The Play tab: a prompt, a choice of models, and a page of verse that is written as you watch."""

from html import escape

import gradio as gr

from charlm.config import CharlmError, SampleConfig
from charlm.ui import writer
from charlm.ui.api import clear_errors
from charlm.ui.verse import play_html

OPENINGS = {
    "Romeo": "ROMEO:\n",
    "Juliet": "JULIET:\nO ",
    "A king": "KING RICHARD III:\nNow ",
    "The crowd": "First Citizen:\n",
    "To be …": "To be, or not to be: ",
    "Nothing at all": "",
}
BLURBS = {
    "gpt": "reads {block_size} characters back and attends to all of them",
    "bigram": "sees one character back and attends to nothing",
}


def build(library, default):
    """The tab's components and events, in the Blocks being built."""
    with gr.Row(elem_id="play"):
        with gr.Column(scale=2, min_width=300, elem_id="desk"):
            model = gr.Radio(library.names(), value=default, label="The player", elem_id="model")
            blurb = gr.HTML(portrait_html(library, default), elem_id="blurb")
            prompt = gr.Textbox(
                OPENINGS["Romeo"],
                label="The first words",
                placeholder="Leave this empty and the player opens the scene.",
                lines=3,
                max_lines=8,
                elem_id="prompt",
            )
            with gr.Row(elem_id="openings"):
                chips = [gr.Button(name, size="sm", elem_classes="chip") for name in OPENINGS]
            with gr.Row(elem_id="cues"):
                start = gr.Button("Generate", variant="primary", elem_id="write")
                stop = gr.Button("Stop", variant="stop", elem_id="stop", visible=False)
            notice = gr.HTML(elem_id="notice")
            settings = stage_directions()
        with gr.Column(scale=3, min_width=320, elem_id="stage"):
            verse = gr.HTML(opening_html(library, default), elem_id="verse")
            with gr.Row(elem_id="foot"):
                status = gr.HTML(opening_status(default), elem_id="status")
                gr.Button("Copy", size="sm", elem_id="copy", elem_classes="chip")

    def perform(prompt, model, *settings):
        with clear_errors():
            config = writer.sample_config(*settings)
            for draft in writer.write(library, prompt, model, config):
                html = play_html(draft.text, draft.given, writing=not draft.done)
                yield html, status_html(draft, model), notice_html(draft)

    page = [verse, status, notice]
    quick = {"show_progress": "hidden", "api_visibility": "private"}
    performances = []

    def performs(trigger):
        """Whatever `trigger` is chained from, write; the Stop button shows for as long."""
        shown = trigger(
            lambda: (gr.update(visible=False), gr.update(visible=True)),
            None,
            [start, stop],
            queue=False,
            **quick,
        )
        running = shown.then(
            perform, [prompt, model, *settings], page, concurrency_limit=None, **quick
        )
        running.then(rest, None, [start, stop], queue=False, **quick)
        performances.append(running)

    def rest():
        return gr.update(visible=True), gr.update(visible=False)

    performs(start.click)
    performs(prompt.submit)
    for chip, words in zip(chips, OPENINGS.values(), strict=True):
        performs(chip.click(lambda words=words: words, None, prompt, queue=False, **quick).then)
    described = model.input(
        lambda name: portrait_html(library, name), model, blurb, queue=False, **quick
    )
    performs(described.then)
    stop.click(rest, None, [start, stop], cancels=performances, queue=False, **quick)
    return model


def stage_directions():
    """The sampler's settings, folded away; in the order that writer.sample_config takes them."""
    notes = {name: f.metadata["note"] for name, f in SampleConfig.__dataclass_fields__.items()}
    with gr.Accordion(
        "Stage directions: length, temperature, seed …", open=False, elem_id="settings"
    ):
        return [
            gr.Slider(50, 2000, 600, step=50, label="Length", info=notes["max_new_chars"]),
            gr.Slider(0, 2, 0.8, step=0.05, label="Temperature", info=notes["temperature"]),
            gr.Slider(0, 65, 0, step=1, label="Top-k", info=notes["top_k"]),
            gr.Slider(0, 1, 0, step=0.01, label="Top-p", info=notes["top_p"]),
            gr.Slider(0, 1, 0, step=0.01, label="Min-p", info=notes["min_p"]),
            gr.Number(-1, precision=0, label="Seed", info=f"{notes['seed']}; -1 draws one"),
        ]


def portrait_html(library, name):
    """One line on who is going to write."""
    try:
        portrait = library.portrait(name)
    except CharlmError as error:
        return f'<p class="portrait">{escape(str(error))}</p>'
    facts = [f"{portrait.parameters:,} weights"] if portrait.parameters else []
    facts.append(BLURBS[portrait.kind].format(block_size=portrait.block_size))
    if portrait.val_loss is not None:
        facts.append(f"validation loss {portrait.val_loss:.4f}")
    return f'<p class="portrait">{escape("; ".join(facts))}.</p>'


def opening_html(library, name):
    """What is on the page before anybody has asked: the model's own last sample."""
    try:
        return play_html(library.portrait(name).sample.strip("\n"))
    except CharlmError:
        return play_html("")


def opening_status(name):
    return status_line(f"written by {name} at the end of its training")


def status_html(draft, model):
    speed = draft.new_chars / max(draft.seconds, 1e-3)
    told = f"{draft.new_chars:,} characters, {speed:,.0f} a second"
    return status_line(f"{model} — {told} — seed {draft.seed}")


def status_line(text):
    return f'<p class="status">{escape(text)}</p>'


def notice_html(draft):
    """Which characters of the prompt were dropped, if any, announced to screen readers."""
    if not draft.dropped:
        return ""
    shown = " ".join(c if c.isprintable() else f"U+{ord(c):04X}" for c in draft.dropped[:20])
    more = " and others" if len(draft.dropped) > 20 else ""
    told = f"This player does not know {shown}{more}; left out."
    return f'<p class="notice" role="status">{escape(told)}</p>'
