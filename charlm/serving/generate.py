"""What the page and the API do when somebody asks for text: check, stream, score."""

import asyncio
import itertools
import math
import secrets
import time
from dataclasses import dataclass

from charlm.config import SampleConfig, require
from charlm.errors import CharlmError
from charlm.generation import engine
from charlm.generation.batch import Batch, Stream

LONGEST_PROMPT = 10_000  # characters
FIRST_SECONDS = 0.04  # until the first characters are shown
UPDATE_SECONDS = 0.08  # between updates: twelve a second look fluent and cost little
UPDATES = 100  # a second, of all texts together; each costs the server about 2 ms
CORPUS_CHARS, CORPUS_ROWS = 64_000, 64  # of a text written to learn from
SHOWN = 5  # likeliest characters that a score lists


@dataclass(frozen=True)
class Progress:
    """How far a text is that is being written; its first `given` characters are the prompt."""

    text: str
    given: int
    dropped: str
    seed: int
    seconds: float  # that it has been written for
    place: int = 0  # in line before that, from 1; 0 once it was its turn
    others: int = 0  # texts that the same model writes at the moment, or that wait for it
    done: bool = False
    stopped: bool = False  # done before all characters were written

    @property
    def new_chars(self):
        return len(self.text) - self.given


def sample_config(limits, max_new_chars, temperature, top_k, top_p, min_p, seed):
    """A SampleConfig within the Limits; a seed of -1 is drawn. Raises ConfigError."""
    config = SampleConfig(
        max_new_chars=whole(max_new_chars),
        temperature=temperature,
        top_k=whole(top_k),
        top_p=top_p,
        min_p=min_p,
        seed=seeds(1)[0] if seed == -1 else whole(seed),
    )
    allowed = f"from 1 to {limits.max_new_chars}"
    require(config.max_new_chars <= limits.max_new_chars, "max_new_chars", max_new_chars, allowed)
    return config


def whole(number):
    """A float without a fraction, as browsers send them, as the int it is; others as they are."""
    return int(number) if isinstance(number, float) and number.is_integer() else number


def check_length(name, text):
    if not isinstance(text, str):
        raise CharlmError(f"{name} must be a text, not {type(text).__name__}")
    if len(text) > LONGEST_PROMPT:
        raise CharlmError(
            f"{name} has {len(text):,} characters; at most {LONGEST_PROMPT:,} are taken here"
        )


async def write(library, prompt, model, config, visitor=None, stop_requested=lambda: False):
    """Yield the Progress of `prompt` continued by the model of that name, the last one done.

    It ends when everything is written, or soon after `stop_requested()` or when nobody reads on.
    Raises CharlmError for a prompt that is too long, an unknown or unusable model, or too many
    texts at a time.
    """
    check_length("the prompt", prompt)
    player, tokenizer = await asyncio.to_thread(library.engine, model)
    text, dropped = tokenizer.clean(prompt)
    ids, given = tokenizer.encode(text or tokenizer.opening), len(text)
    stream, read = player.write(ids, config, visitor), len(ids)

    def progress(**state):
        now = time.monotonic()
        seconds = now - (stream.began or now)
        return Progress(text, given, dropped, config.seed, seconds, **state)

    try:
        yield progress()
        await asyncio.sleep(FIRST_SECONDS)
        while True:
            if stop_requested():
                stream.stopped = True
            over, others = stream.over, max(0, len(player) - 1)  # before the ids are looked at
            new_ids = stream.ids[read:]
            text, read = text + tokenizer.decode(new_ids), read + len(new_ids)
            if stream.error:
                raise CharlmError(f"{model} cannot go on: {stream.error}")
            if over:
                yield progress(done=True, stopped=not stream.complete)
                return
            yield progress(place=player.place(stream), others=others)
            await asyncio.sleep(max(UPDATE_SECONDS, others / UPDATES))
    finally:
        stream.stopped = True


def score(library, text, model):
    """How surprised the model is by each character of `text`, in bits, as plain JSON values.

    Raises CharlmError for a text that is too long or has no character that the model knows.
    """
    check_length("the text", text)
    network, tokenizer = library.get(model)
    cleaned = tokenizer.clean(text).text
    if not cleaned:
        raise CharlmError("the text has no character that this model knows; give it some to score")
    ids = tokenizer.encode(tokenizer.opening + cleaned)
    chars = []
    for log_probabilities in engine.score(network, ids):  # (n, V)
        likeliest = log_probabilities.topk(min(SHOWN, tokenizer.vocab_size))
        tops = zip(likeliest.indices.tolist(), likeliest.values.exp().tolist(), strict=True)
        for row, (indices, probabilities) in zip(log_probabilities, tops, strict=True):
            at = len(chars)
            top = zip(indices, probabilities, strict=True)
            chars.append(
                {
                    "char": cleaned[at],
                    "bits": -row[ids[at + 1]].item() / math.log(2),
                    "top": [[tokenizer.decode([j]), probability] for j, probability in top],
                }
            )
    return {"bits_per_char": sum(c["bits"] for c in chars) / len(chars), "chars": chars}


def write_corpus(library):
    """Yield (text, share done) of a text for a model to learn from, by the best model there is.

    CORPUS_ROWS scenes, written side by side; the text is there when the share is 1.
    """
    network, tokenizer = library.get(library.default())
    opening = tokenizer.encode(tokenizer.opening)
    configs = (SampleConfig(CORPUS_CHARS // CORPUS_ROWS, seed=s) for s in seeds(CORPUS_ROWS))
    streams, batch = [Stream(opening, config) for config in configs], Batch(network, CORPUS_ROWS)
    for stream in streams:
        batch.add(stream)
    for step in itertools.count():
        written = sum(len(stream.ids) - len(opening) for stream in streams)
        if written == CORPUS_CHARS:
            break
        if step % 20 == 0:
            yield "", written / CORPUS_CHARS
        batch.step()
    scenes = (tokenizer.decode(stream.ids[len(opening) :]).strip("\n") for stream in streams)
    yield "\n\n".join(scenes) + "\n", 1.0


def seeds(count):
    return [secrets.randbelow(2**32) for _ in range(count)]
