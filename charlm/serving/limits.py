"""Limits on what visitors of the page may generate, train and fetch from the Hub."""

import dataclasses
import os
from dataclasses import dataclass, replace

from charlm.config import Checked, ConfigError, option, require
from charlm.data.corpus import DataError, make_corpus
from charlm.data.tokenizer import CharTokenizer
from charlm.models import checkpoint
from charlm.models.sizes import cache_bytes, parameter_count
from charlm.presets import PRESETS
from charlm.training.memory import run_megabytes

MAX_DIGITS = 100  # of a limit that the environment sets
MAX_LAYERS = 64
MAX_CONV = 64  # latest characters that a block without attention sees
MAX_ATTENTION = 2**28  # attention weights in a step, over all layers and heads
MAX_LOGITS = 2**27  # logits in a step
FEWEST_STREAMS = 128  # texts at a time for which a model of the Hub must have the memory
MAX_SNAPSHOT_BYTES = 100_000_000  # of a run
OPTIONS = (  # that visitors may change; the preset determines the others
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


def limit(variable, default, note, choices=None, most=10**12):
    """Declare a field of Limits with the environment variable that sets it."""
    metadata = option(default, note, choices, least=1, most=most).metadata
    return dataclasses.field(default=default, metadata={**metadata, "variable": variable})


@dataclass(frozen=True)
class Limits(Checked):
    """The limits of a page; an environment variable sets each."""

    training: str = limit("CHARLM_TRAINING", "on", "whether visitors may start runs", ("on", "off"))
    hub: str = limit(
        "CHARLM_HUB",
        "public",
        "Hub models that visitors may fetch; all: also private ones that the page's login can read",
        ("public", "all", "off"),
    )
    max_steps: int = limit("CHARLM_MAX_STEPS", 20_000, "steps of a run")
    max_parameters: int = limit("CHARLM_MAX_PARAMETERS", 12_000_000, "parameters of a model")
    max_step_chars: int = limit(
        "CHARLM_MAX_STEP_CHARS", 65_536, "characters in a step: batch_size times block_size"
    )
    max_block_size: int = limit("CHARLM_MAX_BLOCK_SIZE", 1024, "characters in a window")
    max_vocab: int = limit("CHARLM_MAX_VOCAB", 8_000, "distinct characters of a training text")
    max_text: int = limit("CHARLM_MAX_TEXT", 2_000_000, "bytes of a training text")
    max_minutes: int = limit("CHARLM_MAX_MINUTES", 120, "minutes of a run", most=10**6 - 1)
    max_waiting: int = limit("CHARLM_MAX_WAITING", 8, "runs that wait in the queue")
    max_waiting_per_client: int = limit(
        "CHARLM_MAX_WAITING_PER_CLIENT", 2, "runs of one browser, or API client, that wait"
    )
    max_run_memory: int = limit(
        "CHARLM_MAX_RUN_MEMORY", 4_000, "megabytes of memory of a run's process"
    )
    max_kept: int = limit(
        "CHARLM_MAX_KEPT", 20, "runs kept that a visitor named, and as many that none did"
    )
    max_new_chars: int = limit("CHARLM_MAX_NEW_CHARS", 5_000, "characters of a generated text")
    max_seconds: int = limit(
        "CHARLM_MAX_SECONDS", 300, "seconds from a text's first time slice until it is stopped"
    )
    max_streams: int = limit(
        "CHARLM_MAX_STREAMS", 256, "texts that a model generates at a time; at most 256", most=256
    )
    max_queue: int = limit("CHARLM_MAX_LINE", 200, "texts that wait in a model's queue")
    max_per_visitor: int = limit(
        "CHARLM_MAX_PER_VISITOR", 4, "texts at a time for a visitor, waiting ones included"
    )
    time_slice: int = limit(
        "CHARLM_TURN", 500, "characters after which a text lets waiting ones go first"
    )
    max_memory: int = limit("CHARLM_MAX_MEMORY", 1_000, "megabytes of loaded models")
    max_cache: int = limit(
        "CHARLM_MAX_CACHE", 2_000, "megabytes of Hub models kept on the disk, besides those in use"
    )

    @classmethod
    def from_environment(cls):
        """Return the limits that the environment sets. Raises ConfigError, naming the variable."""
        variables = {f.name: f.metadata["variable"] for f in dataclasses.fields(cls)}
        given = {}
        for f in dataclasses.fields(cls):
            if text := os.environ.get(variables[f.name], "").strip():
                # a value that is no number stays a string, which the type check reports
                number = f.type is int and text.isdecimal() and len(text) <= MAX_DIGITS
                given[f.name] = int(text) if number else text
        try:
            return cls(**given)
        except ConfigError as error:
            raise ConfigError(f"{variables[error.option]}: {error}", error.option) from None


def page_preset(name, limits):
    """Return the Preset of that name as a page offers it, its options reduced to the limits."""
    preset = PRESETS[name]
    kind, model, training = preset.kind, preset.model, preset.training
    block_size = min(model.block_size, limits.max_block_size, limits.max_step_chars)
    changed = {"steps": min(training.steps, limits.max_steps), "block_size": block_size}
    preset = preset.changed(changed)
    if kind == "gpt":
        step = 2 * model.n_head  # rotary positions turn pairs
        widths = range(model.n_embd, 0, -step)
        fitting = (n for n in widths if parameters_of(preset, n_embd=n) <= limits.max_parameters)
        preset = preset.changed({"n_embd": next(fitting, step)})
    rows = min(training.batch_size, max(1, max_rows(preset, limits)))
    while rows > 1 and megabytes_of(preset, rows) > limits.max_run_memory:
        rows = rows * 3 // 4
    return preset.changed({"batch_size": rows})


def parameters_of(preset, **changed):
    return parameter_count(preset.kind, replace(preset.model, **changed))


def snapshot_count(preset):
    """Return how many snapshots a run of a Preset keeps here, so that they fit on the disk."""
    each = 2 * parameter_count(preset.kind, preset.model)  # bytes, in bf16
    return max(1, min(preset.training.snapshots, MAX_SNAPSHOT_BYTES // each))


def megabytes_of(preset, rows):
    training = replace(preset.training, batch_size=rows)
    return run_megabytes(preset.kind, preset.model, training)


def max_rows(preset, limits):
    """Return the largest batch_size that the limits allow a Preset."""
    model = preset.model
    rows = limits.max_step_chars // model.block_size
    if preset.kind == "gpt":
        rows = min(rows, MAX_ATTENTION // (model.n_layer * model.n_head * model.block_size**2))
    return rows


def changed_options(name, preset):
    """Return those of OPTIONS whose values in `preset` are not those of the Preset `name`."""
    differences = PRESETS[name].differences(preset.model, preset.training)
    return {option: value for option, value in differences.items() if option in OPTIONS}


def allowed_preset(name, text, options, limits):
    """Return the Preset of that name with some options changed, to be trained on `text`.

    The other options have the values of page_preset.

    `text`: "" if it is not known yet. Raises ConfigError or DataError for a request that is invalid
    or exceeds the limits.
    """
    known = isinstance(name, str) and name in PRESETS
    require(known, "preset", name, f"one of {', '.join(PRESETS)}")
    for option_name in options:
        require(option_name in OPTIONS, option_name, options[option_name], "left out here")
    preset = page_preset(name, limits).changed(options)
    check_size(preset, limits)
    require(isinstance(text, str), "text", text, "a text")
    if text:
        raw = text.encode("utf-8", "replace")
        if len(raw) > limits.max_text:
            most = f"{limits.max_text:,}"
            raise DataError(f"the text has {len(raw):,} bytes; at most {most} are taken here")
        check_text(preset, make_corpus(raw, "the text"), limits)
    return preset


def check_size(preset, limits):
    """Raise ConfigError if a Preset exceeds the limits, before anything is built."""
    training = preset.training
    require_at_most(limits.max_steps, "steps", training.steps)
    check_shape(preset, limits)
    require_at_most(max_rows(preset, limits), "batch_size", training.batch_size)
    check_parameters(preset, limits)
    needed = megabytes_of(preset, training.batch_size)
    if needed > limits.max_run_memory:
        allowed = f"so small that the run needs {limits.max_run_memory:,} MB of memory at most; it"
        allowed += f" would need about {needed:,.0f}"
        require(False, "batch_size", training.batch_size, allowed)


def check_model(description, limits):
    """Raise ConfigError if the model of a checkpoint.Description exceeds the limits.

    The cost of running it counts, too: the memory of the texts that it generates at a time, and the
    attention weights of one text.
    """
    check_shape(description, limits)
    model = description.model
    require_at_most(limits.max_vocab, "vocab_size", model.vocab_size)
    if description.kind == "gpt":
        require_at_most(MAX_CONV, "conv_size", model.conv_size)
        most = MAX_ATTENTION // (model.n_layer * model.block_size**2)
        require_at_most(most, "n_head", model.n_head)
    check_parameters(description, limits)
    fewest = min(limits.max_streams, FEWEST_STREAMS)
    if streams_that_fit(description.kind, model, limits) < fewest:
        allowed = f"so small that {fewest} texts need {limits.max_memory:,} MB at most"
        require(False, "block_size", model.block_size, allowed)


def streams_that_fit(kind, config, limits):
    """Return how many texts a model may generate at a time, whose memory the limits bound."""
    each = max(1, cache_bytes(kind, config))
    return max(1, min(limits.max_streams, int(limits.max_memory * 1e6) // each))


def check_hub_model(directory, sizes, limits):
    """Raise CharlmError if a Hub model exceeds the limits, knowing only its config.json.

    `sizes`: bytes of each of its files, as the Hub states them; None if they are on the disk.
    """
    description = checkpoint.load_description(directory)
    check_model(description, limits)
    if sizes is not None:
        checkpoint.check_size(directory, description, sizes[checkpoint.WEIGHTS])


def check_shape(description, limits):
    """Raise ConfigError if a model's context or depth exceeds the limits."""
    require_at_most(limits.max_block_size, "block_size", description.model.block_size)
    if description.kind == "gpt":
        require_at_most(MAX_LAYERS, "n_layer", description.model.n_layer)


def check_parameters(description, limits):
    """Raise ConfigError if a model has more parameters than the limits allow."""
    if parameter_count(description.kind, description.model) > limits.max_parameters:
        allowed = f"small enough for {limits.max_parameters:,} weights on this page"
        name = "n_embd" if description.kind == "gpt" else "vocab_size"
        require(False, name, getattr(description.model, name), allowed)


def check_text(preset, corpus, limits):
    """Raise DataError if a text is too short for a Preset, or has too many distinct characters."""
    corpus.check_room(preset.model.block_size)
    V = CharTokenizer.fit(corpus.text).vocab_size
    step_chars = preset.training.batch_size * preset.model.block_size
    fitted = replace(preset, model=replace(preset.model, vocab_size=V))
    too_large = parameter_count(fitted.kind, fitted.model) > limits.max_parameters
    if limits.max_vocab < V or V * step_chars > MAX_LOGITS or too_large:
        raise DataError(f"the text has {V:,} distinct characters, too many for this page")


def require_at_most(most, name, given):
    """Raise ConfigError if an option exceeds a limit of the page."""
    require(given <= most, name, given, f"at most {most:,} on this page")
