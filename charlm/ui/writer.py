"""What the page and the API do when somebody asks for text: check, stream, score."""

import math
import secrets
import time
from dataclasses import dataclass

from charlm import engine
from charlm.config import CharlmError, SampleConfig, require

LONGEST_PROMPT = 10_000  # characters
MOST_NEW_CHARS = 5_000
UPDATE_SECONDS = 0.08  # between updates: twelve a second look fluent and cost little
REST = 3  # while a run trains on this machine: seconds of rest for each second of writing
CORPUS_CHARS, CORPUS_ROWS = 64_000, 64  # of a text written to learn from
SHOWN = 5  # likeliest characters that a score lists


@dataclass(frozen=True)
class Draft:
    """A text while it is being written. The first `given` characters are the cleaned prompt."""

    text: str
    given: int
    dropped: str
    seed: int
    seconds: float
    done: bool = False
    stopped: bool = False  # done before all characters were written

    @property
    def new_chars(self):
        return len(self.text) - self.given


def sample_config(max_new_chars, temperature, top_k, top_p, min_p, seed):
    """A SampleConfig within the page's bounds; a seed of -1 is drawn. Raises ConfigError."""
    config = SampleConfig(
        max_new_chars=whole(max_new_chars),
        temperature=temperature,
        top_k=whole(top_k),
        top_p=top_p,
        min_p=min_p,
        seed=secrets.randbelow(2**32) if seed == -1 else whole(seed),
    )
    allowed = f"from 1 to {MOST_NEW_CHARS}"
    require(config.max_new_chars <= MOST_NEW_CHARS, "max_new_chars", max_new_chars, allowed)
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


def write(library, prompt, model, config, going=lambda: True, sharing=lambda: False):
    """Yield Drafts of `prompt` continued by the model of that name, the last one done.

    It is over when everything is written, or at the next character once `going()` is false. While
    `sharing()`, it rests after each update, to leave a run that trains its share of the machine.
    Raises CharlmError for a prompt that is too long or an unknown or unusable model.
    """
    check_length("the prompt", prompt)
    network, tokenizer = library.get(model)
    text, dropped = tokenizer.clean(prompt)
    given, began, stopped = len(text), time.monotonic(), False

    def draft(**state):
        return Draft(text, given, dropped, config.seed, time.monotonic() - began, **state)

    yield draft()
    shown, burst = began, UPDATE_SECONDS
    for new_id in engine.decode(network, tokenizer.encode(text or tokenizer.opening), config):
        text += tokenizer.decode([new_id])
        if stopped := not going():
            break
        if (took := time.monotonic() - shown) > burst:
            yield draft()
            burst = UPDATE_SECONDS
            if sharing():
                burst /= 2
                time.sleep(REST * took)
            shown = time.monotonic()
    yield draft(done=True, stopped=stopped)


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
    config = SampleConfig(max_new_chars=CORPUS_CHARS // CORPUS_ROWS)
    seeds = [secrets.randbelow(2**32) for _ in range(CORPUS_ROWS)]
    columns = []
    opening = tokenizer.encode(tokenizer.opening)
    for column in engine.decode_rows(network, opening, config, seeds):
        columns.append(column)
        if len(columns) % 20 == 0:
            yield "", len(columns) / config.max_new_chars
    scenes = (tokenizer.decode(row).strip("\n") for row in zip(*columns, strict=True))
    yield "\n\n".join(scenes) + "\n", 1.0
