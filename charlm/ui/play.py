"""The Play tab: a prompt, a choice of models, and a page of verse that is written as you watch."""

import threading
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from html import escape

import gradio as gr

from charlm.config import SampleConfig, notes_of
from charlm.errors import CharlmError
from charlm.serving import generate as writer
from charlm.ui.api import error_for_visitor
from charlm.ui.events import GENERATE_EVENT, QUIET, SLOW
from charlm.ui.link import NUMBERS, Link
from charlm.ui.text_html import text_html

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


@dataclass(frozen=True)
class PlayControls:
    """What the visitor sets; `settings` in the order that writer.sample_config takes them."""

    hub_notice: gr.HTML
    model: gr.Radio
    blurb: gr.HTML
    source: gr.Textbox | None  # of another model, from the Hub
    prompt: gr.Textbox
    chips: list
    start: gr.Button
    stop: gr.Button
    notice: gr.HTML
    settings: list


class InFlight:
    """The generation that each session has in flight, so that Stop or a newer request ends it."""

    def __init__(self):
        self._stops = {}  # session -> the threading.Event that ends its generation

    def begin(self, session):
        """End the session's generation; returns the Event that ends the one that begins now."""
        self.stop(session)
        self._stops[session] = stop = threading.Event()
        return stop

    def stop(self, session):
        if stop := self._stops.pop(session, None):
            stop.set()

    def end(self, session, stop):
        """Forget the generation that `stop` ends, which is over."""
        if self._stops.get(session) is stop:
            del self._stops[session]


def build(library, default):
    """The tab, in the Blocks being built; returns its PlayControls and its Requests."""
    with gr.Row(elem_id="play"):
        with gr.Column(scale=2, min_width=300, elem_id="controls"):
            controls = build_controls(library, default)
        with gr.Column(scale=3, min_width=320, elem_id="output"):
            verse = gr.HTML(first_text_html(library, default), elem_id="text")
            with gr.Row(elem_id="text-footer"):
                status = gr.HTML(first_status_html(library, default), elem_id="status")
                gr.Button("Copy", size="sm", elem_id="copy", elem_classes="chip")
    return controls, connect(library, controls, verse, status)


def build_controls(library, default):
    """The controls, from the first decision to the last."""
    return PlayControls(
        hub_notice=gr.HTML(elem_id="hub-notice"),
        model=gr.Radio(library.names(), value=default, label="The player", elem_id="model"),
        blurb=gr.HTML(model_summary_html(library, default), elem_id="model-summary"),
        source=None if library.limits.hub == "off" else build_source(),
        prompt=gr.Textbox(
            OPENINGS["Romeo"],
            label="The first words",
            placeholder="Leave this empty and the player opens the scene.",
            lines=3,
            max_lines=8,
            elem_id="prompt",
        ),
        chips=build_chips(),
        start=gr.Button("Generate", variant="primary", elem_id="generate"),
        stop=gr.Button("Stop", variant="stop", elem_id="stop-generating"),
        notice=gr.HTML(elem_id="notice"),
        settings=build_settings(),
    )


def build_source():
    with gr.Accordion(
        "Another player, from the Hugging Face Hub …", open=False, elem_id="hub-model"
    ):
        return gr.Textbox(
            label="Whose, and what it is called",
            info="a model that somebody trained and pushed; Enter fetches it",
            placeholder="user/repo, or user/repo@revision",
            max_length=250,
            elem_id="hub-source",
        )


def build_chips():
    with gr.Row(elem_id="examples"):
        return [gr.Button(name, size="sm", elem_classes="chip") for name in OPENINGS]


def connect(library, controls, verse, status):
    """Connect the events; returns Requests, by which other events ask for a text."""
    requests = Requests(gr.Number(0, visible="hidden", precision=0), gr.State(True), InFlight())
    connect_generation(library, controls, requests, [verse, status, controls.notice])
    gr.on([controls.start.click, controls.prompt.submit], **requests.event)
    for chip, words in zip(controls.chips, OPENINGS.values(), strict=True):
        chip.click(partial(str, words), None, controls.prompt, **QUIET).then(**requests.event)
    summary = partial(model_summary_html, library)
    controls.model.input(summary, controls.model, controls.blurb, **QUIET).then(**requests.event)

    def stop(request: gr.Request):
        requests.in_flight.stop(request.session_hash)

    controls.stop.click(stop, None, None, **QUIET)
    if controls.source:
        connect_source(library, controls, requests)
    return requests


@dataclass(frozen=True)
class Requests:
    """How events ask for a text: each request ends the one in flight and changes `count`.

    The change triggers the one event that generates. The browser starts it again only when the
    generation before has ended (`always_last`), so the last update of an ended generation can
    never be shown after a newer one began.
    """

    count: gr.Number  # not a gr.State, whose changes only queued events tell the browser
    wanted: gr.State  # False if the event before, which was to prepare the request, failed
    in_flight: InFlight

    @property
    def event(self):
        """The arguments of an event that requests a text."""
        inputs = [self.count, self.wanted]
        return {
            "fn": self._request,
            "inputs": inputs,
            "outputs": [self.count, self.wanted],
            **QUIET,
        }

    def _request(self, request: gr.Request, count, wanted):
        if wanted:
            self.in_flight.stop(request.session_hash)
        return count + wanted, True


def connect_generation(library, controls, requests, outputs):
    """Connect the event that generates, triggered by a change of `requests.count`."""
    in_flight = requests.in_flight

    async def generate(request: gr.Request, prompt, model, *settings):
        session, progress = request.session_hash, None
        stop = in_flight.begin(session)
        try:
            config = writer.sample_config(library.limits, *settings)
            numbers = dict(zip(NUMBERS, settings, strict=True)) | {"seed": config.seed}
            link = Link(prompt, model, library.revision(model), tuple(numbers.values()))
            writing = writer.write(library, prompt, model, config, session, stop.is_set)
            async with aclosing(writing):
                async for progress in writing:
                    yield shown(progress, link)
        except CharlmError as error:
            if progress:  # what was written stays
                yield shown(replace(progress, done=True, stopped=True), link)
            if not stop.is_set():
                raise error_for_visitor(error) from None
        finally:
            in_flight.end(session, stop)

    requests.count.change(
        generate,
        [controls.prompt, controls.model, *controls.settings],
        outputs,
        # plain values for few components, as they are: that is most of what an update costs
        postprocess=False,
        concurrency_limit=None,
        trigger_mode="always_last",
        show_progress="hidden",
        api_name=GENERATE_EVENT,
        api_visibility="private",
    )


def connect_source(library, controls, requests):
    """Fetch a Hub model, saying so, and let it write when it is here."""

    def fetch(source):
        skip = gr.skip()
        yield [hub_notice_html([f"Fetching {source.strip()} …"]), skip, skip, skip, False]
        try:
            name = library.add(source)
        except CharlmError as error:
            yield [hub_notice_html([str(error)]), skip, skip, skip, False]
            return
        picked = gr.update(choices=library.names(), value=name)
        notice, blurb = hub_notice_html(library.notices()), model_summary_html(library, name)
        yield [notice, picked, blurb, "", True]

    outputs = [
        controls.hub_notice,
        controls.model,
        controls.blurb,
        controls.source,
        requests.wanted,
    ]
    fetched = controls.source.submit(
        fetch, controls.source, outputs, trigger_mode="multiple", **SLOW
    )
    fetched.then(**requests.event)


def shown(progress, link):
    """What the page shows of it: the verse, the line below it, and what was left out."""
    verse = text_html(progress.text, progress.given, not progress.done)
    return [verse, status_html(progress, link), notice_html(progress)]


def build_settings():
    """The sampler's settings, folded away; in the order that writer.sample_config takes them."""
    notes, default = notes_of(SampleConfig), SampleConfig()
    sliders = {
        "max_new_chars": ("Length", 50, 2000, 50),
        "temperature": ("Temperature", 0, 2, 0.05),
        "top_k": ("Top-k", 0, 65, 1),
        "top_p": ("Top-p", 0, 1, 0.01),
        "min_p": ("Min-p", 0, 1, 0.01),
    }
    title = "WatchView directions: length, temperature, seed …"
    with gr.Accordion(title, open=False, elem_id="settings"):
        settings = [
            gr.Slider(low, high, getattr(default, name), step=step, label=label, info=notes[name])
            for name, (label, low, high, step) in sliders.items()
        ]
        seed = gr.Number(-1, precision=0, label="Seed", info=f"{notes['seed']}; -1 draws one")
    return [*settings, seed]


def model_summary_html(library, name):
    """One line on who is going to write."""
    try:
        summary = library.summary(name)
    except CharlmError as error:
        return f'<p class="model-summary">{escape(str(error))}</p>'
    facts = [f"{summary.parameters:,} weights"] if summary.parameters else []
    facts.append(BLURBS[summary.kind].format(block_size=summary.block_size))
    if summary.val_loss is not None:
        facts.append(f"validation loss {summary.val_loss:.4f}")
    if summary.revision:
        facts.append(f"revision {summary.revision[:7]}")
    return f'<p class="model-summary">{escape("; ".join(facts))}.</p>'


def first_text_html(library, name):
    """What is on the page before anybody has asked: the model's own last sample."""
    try:
        return text_html(library.summary(name).sample.strip("\n"))
    except CharlmError:
        return text_html("")


def first_status_html(library, name):
    try:
        step = library.summary(name).sample_step
    except CharlmError as error:
        return status_line(str(error))
    return status_line("" if step is None else f"{name}, as it wrote at step {step:,}")


def status_html(progress, link):
    if progress.place:
        before = f"{progress.place - 1:,} before you" if progress.place > 1 else "you are the next"
        return status_line(f"{link.model} writes for others; {before}")
    speed = progress.new_chars / max(progress.seconds, 1e-3)
    told = f"{progress.new_chars:,} characters, {speed:,.0f} a second, seed {progress.seed}"
    told = f"{link.model}: {told}{', stopped' if progress.stopped else ''}"
    if not progress.done and progress.others:
        told += f"; {progress.others:,} other{'s' if progress.others > 1 else ''} at the same time"
    if not progress.done or progress.stopped:
        return status_line(told)
    if not (query := link.query()):
        return status_line(f"{told}; too long a prompt for a link")
    return status_line(told, f' · <a id="link" href="{escape(query)}">link to this</a>')


def status_line(text, more=""):
    return f'<p class="status">{escape(text)}{more}</p>'


def hub_notice_html(notices):
    """Sentences on what did not come from the Hub, or from a link, as it should have."""
    told = "".join(f"<p>{escape(notice)}</p>" for notice in notices if notice)
    return f'<div class="notice" role="status">{told}</div>' if told else ""


def notice_html(progress):
    """Which characters of the prompt were dropped, if any, announced to screen readers."""
    if not progress.dropped:
        return ""
    shown = " ".join(c if c.isprintable() else f"U+{ord(c):04X}" for c in progress.dropped[:20])
    more = " and others" if len(progress.dropped) > 20 else ""
    told = f"This player does not know {shown}{more}; left out."
    return f'<p class="notice" role="status">{escape(told)}</p>'
