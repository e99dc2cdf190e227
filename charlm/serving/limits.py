"""What a page that anybody can open lets its visitors train, and fetch."""

import dataclasses
import os
from dataclasses import dataclass, replace

from charlm.config import Checked, ConfigError, option, require
from charlm.data.corpus import DataError, make_corpus
from charlm.data.tokenizer import CharTokenizer
from charlm.presets import PRESETS

MAX_LAYERS = 64
MAX_ATTENTION = 2**28  # weights of attention in a step, of all layers and heads
MAX_LOGITS = 2**27  # logits in a step
OPTIONS = (  # what may be set besides the preset; the rest is the preset's
    "steps",
    "batch_size",
    "block_size",
    "n_layer",
    "n_head",
    "n_embd",
    "dropout",
    "learning_rate",
    "muon_learning_rate",
    "seed",
)


@dataclass(frozen=True)
class Limits(Checked):
    """Bounds of what visitors do, each adjustable as CHARLM_ and its name in capitals."""

    training: str = option("on", "whether visitors may start runs", ("on", "off"))
    hub: str = option(
        "public",
        "which models of the Hub visitors may fetch; all: also the private ones of who serves this",
        ("public", "all", "off"),
    )
    max_steps: int = option(20_000, "steps of a run")
    max_parameters: int = option(12_000_000, "weights of a model")
    max_step_chars: int = option(65_536, "characters in a step: batch_size times block_size")
    max_block_size: int = option(1024, "characters in a window")
    max_vocab: int = option(8_000, "distinct characters of a text")
    max_text: int = option(2_000_000, "bytes of a text")
    max_minutes: int = option(120, "minutes that a run may take")
    max_waiting: int = option(8, "runs in line")
    max_kept: int = option(20, "runs kept without a name of their own, and as many with one")
    max_new_chars: int = option(5_000, "characters of a text that is written")
    max_seconds: int = option(300, "seconds that a text may take, once it is begun")
    max_streams: int = option(128, "texts that a model writes at a time; at most 128")
    max_queue: int = option(200, "texts in line for a model")
    max_per_visitor: int = option(4, "texts that a model writes at a time for the same visitor")
    turn: int = option(500, "characters after which a text lets those go first who wait in line")
    max_memory: int = option(1_000, "megabytes of models kept loaded")

    @classmethod
    def from_environment(cls):
        """The limits as the environment sets them; raises ConfigError."""
        given = {}
        for f in dataclasses.fields(cls):
            if text := os.environ.get(f"CHARLM_{f.name.upper()}", "").strip():
                # what is no number is refused by its type, and named
                given[f.name] = int(text) if f.type is int and text.isdecimal() else text
        try:
            return cls(**given)
        except ConfigError as error:
            raise ConfigError(f"CHARLM_{error.option.upper()}: {error}", error.option) from None

    def check(self):
        self.at_least(1, *(f.name for f in dataclasses.fields(self) if f.type is int))
        require(self.max_streams <= 128, "max_streams", self.max_streams, "at most 128")
        require(self.max_minutes < 1e6, "max_minutes", self.max_minutes, "less than a million")


def allowed_plan(preset, text, options, limits):
    """The Preset of that name with options changed, if the limits allow it and `text` fits it.

    `text`: "" for one that is not here yet. Raises ConfigError or DataError.
    """
    known = isinstance(preset, str) and preset in PRESETS
    require(known, "preset", preset, f"one of {', '.join(PRESETS)}")
    for name in options:
        require(name in OPTIONS, name, options[name], "left out here")
    plan = PRESETS[preset].changed(options)
    check_size(plan, limits)
    require(isinstance(text, str), "text", text, "a text")
    if text:
        raw = text.encode("utf-8", "replace")
        if len(raw) > limits.max_text:
            most = f"{limits.max_text:,}"
            raise DataError(f"the text has {len(raw):,} bytes; at most {most} are taken here")
        check_text(plan, make_corpus(raw, "the text"), limits)
    return plan


def check_size(plan, limits):
    """Raise ConfigError if a Preset is larger than the limits allow, before anything is built."""
    training, model = plan.training, plan.model
    at_most(limits.max_steps, "steps", training.steps)
    check_shape(plan, limits)
    rows = limits.max_step_chars // model.block_size
    if plan.kind == "gpt":
        per_row = model.n_layer * model.n_head * model.block_size**2
        rows = min(rows, MAX_ATTENTION // per_row)
    at_most(rows, "batch_size", training.batch_size)
    check_weights(plan, limits)


def check_model(plan, limits):
    """Raise ConfigError if the model of a Preset or checkpoint.Description is too large for us."""
    check_shape(plan, limits)
    check_weights(plan, limits)


def check_shape(plan, limits):
    at_most(limits.max_block_size, "block_size", plan.model.block_size)
    if plan.kind == "gpt":
        at_most(MAX_LAYERS, "n_layer", plan.model.n_layer)


def check_weights(plan, limits):
    if weights(plan) > limits.max_parameters:
        most = f"small enough for {limits.max_parameters:,} weights on this page"
        name = "n_embd" if plan.kind == "gpt" else "vocab_size"
        require(False, name, getattr(plan.model, name), most)


def check_text(plan, corpus, limits):
    """Raise DataError if a text is too short for a Preset, or has too many distinct characters."""
    corpus.check_room(plan.model.block_size)
    V = CharTokenizer.fit(corpus.text).vocab_size
    step_chars = plan.training.batch_size * plan.model.block_size
    model = replace(plan.model, vocab_size=V)
    fits = weights(replace(plan, model=model)) <= limits.max_parameters
    if limits.max_vocab < V or V * step_chars > MAX_LOGITS or not fits:
        raise DataError(f"the text has {V:,} distinct characters, too many for this page")


def weights(plan):
    """How many numbers a model's matrices hold, which is nearly all, without building any."""
    V, C = plan.model.vocab_size, getattr(plan.model, "n_embd", 0)
    return plan.model.n_layer * 12 * C * C + 2 * V * C if plan.kind == "gpt" else V * V


def at_most(most, name, given):
    require(given <= most, name, given, f"at most {most:,} on this page")
