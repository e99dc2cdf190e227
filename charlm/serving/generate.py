"""Text requests of the page and the API: check them, and generate text."""

import asyncio
import secrets
import time
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial

from charlm.config import SampleConfig
from charlm.errors import CharlmError
from charlm.inspection.alternatives import alternatives
from charlm.models.parts import parse_parts
from charlm.serving.clients import NOBODY

FIRST_UPDATE_SECONDS = 0.04  # until the first characters are shown
WAITING_SECONDS = 0.4  # more for the first character, until its place in the queue is shown
POLL_SECONDS = 0.004  # between checks whether a short text has ended already
UPDATE_SECONDS = 0.08  # between updates: twelve a second look fluent and cost little
FIRST_CHECKS = 10  # for the first character, in the time between two updates


@dataclass(frozen=True)
class TextRequest:
    """A request for a text."""

    prompt: str
    model: str  # its name in the Library
    config: SampleConfig
    written: str = ""  # by earlier requests after the prompt; the text goes on from its end
    off: str = ""  # parts of the model that are switched off, see models.parts
    keep_alternatives: bool = False  # whether the last Progress has those of the last character


@dataclass(frozen=True)
class Progress:
    """The state of a text that is being generated."""

    text: str  # the prompt and the characters generated so far
    prompt_length: int  # characters of `text` that are the prompt
    earlier_length: int  # characters of `text` that this request goes on from
    dropped: str  # distinct characters of the prompt that the model does not know
    seed: int
    seconds: float  # since the first time slice began
    queue_position: int = 0  # from 1; 0 if it does not wait
    other_streams: int = 0  # of the same model that run or wait
    done: bool = False
    stopped: bool = False  # done before all characters were generated
    timed_out: bool = False  # stopped because it took longer than the page allows
    alternatives: dict | None = None  # of the last character, if kept: see inspection

    @property
    def new_chars(self):
        """The number of characters generated so far, those of earlier requests included."""
        return len(self.text) - self.prompt_length

    @property
    def chars_per_second(self):
        """The speed of this request."""
        return (len(self.text) - self.earlier_length) / max(self.seconds, 1e-3)


def sample_config(max_new_chars, temperature, top_k, top_p, min_p, seed):
    """Return the SampleConfig of checked parameters; a seed of -1 is random."""
    seed = random_seed() if seed == -1 else seed
    return SampleConfig(max_new_chars, temperature, top_k, top_p, min_p, seed)


async def generate(library, request, client=None, stop_requested=lambda: False):
    """Yield the Progress of the text of a TextRequest; the last one is done.

    `client`: the Client that it is for. The text ends early when stop_requested() returns true or
    the caller closes the generator.

    Raises CharlmError if the model is unknown or damaged, or the limits do not admit the text now.
    """
    client = client or NOBODY
    with library.counted_text(client):
        loading = library.pools.loading.run(client, library.engine, request.model)
        engine, tokenizer = await loading
        interval = partial(library.update_interval, client)
        updates = follow(engine, tokenizer, request, client, stop_requested, interval)
        async with aclosing(updates):
            async for progress in updates:
                yield progress


async def follow(engine, tokenizer, request, client, stop_requested, interval):
    """Yield the Progress of a text that an Engine generates: see `generate`.

    `interval()`: the seconds until the next update.
    """
    prompt, dropped = tokenizer.clean(request.prompt)
    text = prompt + tokenizer.clean(request.written).text
    # a text without a prompt follows the start character, which is not part of it
    ids = tokenizer.encode((prompt or tokenizer.start_char) + text[len(prompt) :])
    config, session, off = request.config, client.session or None, request.off
    off = parse_parts(engine.model, off)
    keep = request.keep_alternatives
    stream = engine.submit(ids, config, client.address, session, off, keep)
    earlier_length, decoded = len(text), len(ids)

    def progress(**state):
        now = time.monotonic()
        seconds = now - (stream.start_time or now)
        lengths = len(prompt), earlier_length
        return Progress(text, *lengths, dropped, config.seed, seconds, **state)

    try:
        await true_or_after(lambda: stream.ended, FIRST_UPDATE_SECONDS, POLL_SECONDS)
        await until_begun(stream, decoded, WAITING_SECONDS)
        while True:
            if stop_requested():
                engine.stop(stream)
            ended, others = stream.ended, max(0, len(engine) - 1)  # before the ids are read
            new_ids = stream.ids[decoded:]
            text, decoded = text + tokenizer.decode(new_ids), decoded + len(new_ids)
            raise_error(stream, request.model)
            if ended:
                yield progress(**final_state(stream, tokenizer))
                return
            position = engine.queue_position(stream)
            yield progress(queue_position=position, other_streams=others)
            begun = decoded > len(ids)
            await until_next_update(stream, decoded, begun, max(UPDATE_SECONDS, interval()))
    finally:
        engine.stop(stream)


def raise_error(stream, model):
    """Raise the error that ended a stream as a CharlmError, if one did."""
    if isinstance(stream.error, CharlmError):
        raise stream.error
    if stream.error:
        raise CharlmError(f"{model} cannot continue: {stream.error}")


def final_state(stream, tokenizer):
    """Return the fields of the last Progress of a stream that has ended."""
    stopped = not stream.complete
    timed_out, last = stream.timed_out and stopped, None
    if stream.logits and stream.complete:
        chosen, position = tokenizer.decode(stream.ids[-1:]), len(stream.ids) - 1
        last = alternatives(stream.logits[-1], stream.config, tokenizer, chosen, position)
    return {"done": True, "stopped": stopped, "timed_out": timed_out, "alternatives": last}


async def until_next_update(stream, shown, begun, seconds):
    """Wait for some seconds, but not if a text begins meanwhile: in a crowd they are several.

    `shown`: how many ids of the Stream were shown; `begun`: whether any is new.
    """
    if begun:
        await asyncio.sleep(seconds)
    else:
        await until_begun(stream, shown, seconds)


async def until_begun(stream, shown, seconds):
    """Wait for some seconds, but not after a Stream has more than the `shown` ids, or ended."""
    poll = seconds / FIRST_CHECKS
    await true_or_after(lambda: stream.ended or len(stream.ids) > shown, seconds, poll)


async def true_or_after(condition, seconds, poll):
    """Wait for some seconds; check after each `poll` seconds whether to end before."""
    deadline = time.monotonic() + seconds
    while not condition() and (left := deadline - time.monotonic()) > 0:
        await asyncio.sleep(min(poll, left))


def random_seed():
    """Return an unpredictable seed, from 0 to 2**32 - 1."""
    return secrets.randbelow(2**32)
