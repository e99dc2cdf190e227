"""Text requests of the page and the API: check them, generate text, score text."""

import asyncio
import secrets
import time
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial

from charlm.config import SampleConfig
from charlm.errors import CharlmError
from charlm.inspection.scores import score
from charlm.serving.clients import NOBODY

FIRST_UPDATE_SECONDS = 0.04  # until the first characters are shown
UPDATE_SECONDS = 0.08  # between updates: twelve a second look fluent and cost little


@dataclass(frozen=True)
class Progress:
    """The state of a text that is being generated."""

    text: str  # the prompt and the characters generated so far
    prompt_length: int  # characters of `text` that are the prompt
    dropped: str  # distinct characters of the prompt that the model does not know
    seed: int
    seconds: float  # since the first time slice began
    queue_position: int = 0  # from 1; 0 if it does not wait
    other_streams: int = 0  # of the same model that run or wait
    done: bool = False
    stopped: bool = False  # done before all characters were generated
    timed_out: bool = False  # stopped because it took longer than the page allows

    @property
    def new_chars(self):
        """The number of characters generated so far."""
        return len(self.text) - self.prompt_length


def sample_config(max_new_chars, temperature, top_k, top_p, min_p, seed):
    """Return the SampleConfig of checked parameters; a seed of -1 is random."""
    seed = random_seed() if seed == -1 else seed
    return SampleConfig(max_new_chars, temperature, top_k, top_p, min_p, seed)


async def generate(library, prompt, model, config, client=None, stop_requested=lambda: False):
    """Yield the Progress of a text that continues `prompt`; the last one is done.

    `model`: its name in the Library. `client`: the Client that it is for. The text ends early when
    stop_requested() returns true or the caller closes the generator.

    Raises CharlmError if the model is unknown or damaged, or the limits do not admit the text now.
    """
    client = client or NOBODY
    with library.counted_text(client):
        loading = library.pools.loading.run(client, library.engine, model)
        engine, tokenizer = await loading
        interval = partial(library.update_interval, client)
        updates = follow(engine, tokenizer, prompt, model, config, client, stop_requested, interval)
        async with aclosing(updates):
            async for progress in updates:
                yield progress


async def follow(engine, tokenizer, prompt, model, config, client, stop_requested, interval):
    """Yield the Progress of a text that an Engine generates: see `generate`.

    `interval()`: the seconds until the next update.
    """
    text, dropped = tokenizer.clean(prompt)
    prompt_length, ids = len(text), tokenizer.encode(text or tokenizer.start_char)
    stream, decoded = engine.submit(ids, config, client.address, client.session or None), len(ids)

    def progress(**state):
        now = time.monotonic()
        seconds = now - (stream.start_time or now)
        return Progress(text, prompt_length, dropped, config.seed, seconds, **state)

    try:
        yield progress()
        await asyncio.sleep(FIRST_UPDATE_SECONDS)
        while True:
            if stop_requested():
                stream.stopped = True
            ended, others = stream.ended, max(0, len(engine) - 1)  # before the ids are read
            new_ids = stream.ids[decoded:]
            text, decoded = text + tokenizer.decode(new_ids), decoded + len(new_ids)
            if isinstance(stream.error, CharlmError):
                raise stream.error
            if stream.error:
                raise CharlmError(f"{model} cannot continue: {stream.error}")
            if ended:
                stopped = not stream.complete
                yield progress(done=True, stopped=stopped, timed_out=stream.timed_out and stopped)
                return
            position = engine.queue_position(stream)
            yield progress(queue_position=position, other_streams=others)
            await asyncio.sleep(max(UPDATE_SECONDS, interval()))
    finally:
        stream.stopped = True


def score_text(library, text, model):
    """Return the surprise of a model at each character of `text`: see inspection.scores.score.

    Characters that the model does not know are left out. Raises CharlmError if no character is
    left, or if the model is unknown or damaged.
    """
    network, tokenizer = library.get(model)
    cleaned = tokenizer.clean(text).text
    if not cleaned:
        raise CharlmError("the text has no character that this model knows; give it some to score")
    return score(network, tokenizer, cleaned)


def random_seed():
    """Return an unpredictable seed, from 0 to 2**32 - 1."""
    return secrets.randbelow(2**32)
