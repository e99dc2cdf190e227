"""Every option, declared once, with its default, its bounds and its description.

`train.py --help`, the model card, the API documentation and the notes on the page are generated
from these descriptions.
"""

import contextlib
import dataclasses
import math
import numbers
from dataclasses import dataclass, field

from charlm.errors import CharlmError, quote

MAX_SEED = 2**63 - 1
MOST = {int: 10**9, float: 1e30}  # the bounds of an option that declares none of its own


class ConfigError(CharlmError, ValueError):
    """An option has a value outside its bounds; `option` is its name."""

    def __init__(self, message, option=None):
        super().__init__(message)
        self.option = option


def option(default, note, choices=None, least=0, most=None):
    """Declare a dataclass field with its description and its allowed values or bounds."""
    most = MOST.get(type(default)) if most is None else most
    metadata = {"note": note, "choices": choices, "least": least, "most": most}
    return field(default=default, metadata=metadata)


def names_of(config_class):
    """Return the names of a config's options."""
    return {f.name for f in dataclasses.fields(config_class)}


def notes_of(config_class):
    """Return the description of each option of a config, by name."""
    return {f.name: f.metadata["note"] for f in dataclasses.fields(config_class)}


def pick(options, config_class):
    """Return the entries of `options`, a dict, that are options of a config."""
    return {name: value for name, value in options.items() if name in names_of(config_class)}


def require(holds, field_name, given, allowed):
    """Unless `holds`, raise a ConfigError with the given and the allowed values."""
    if not holds:
        raise ConfigError(f"{field_name} is {quote(given)}; it must be {allowed}", field_name)


def convert(value, wanted):
    """Return a number as `wanted`, int or float, if it is exactly that; others unchanged.

    Scalars of numpy and torch are numbers, too. Booleans are not.
    """
    with contextlib.suppress(Exception):  # foreign objects raise anything
        value = value.item() if hasattr(value, "item") else value
        number = isinstance(value, numbers.Real) and not isinstance(value, bool)
        if number and wanted in MOST and wanted(value) == value:
            return wanted(value)
    return value


class Checked:
    """A dataclass that checks its values against the types and bounds that `option` declares."""

    def __post_init__(self):
        for f in dataclasses.fields(self):
            value = convert(getattr(self, f.name), f.type)
            object.__setattr__(self, f.name, value)
            require(type(value) is f.type, f.name, value, f"of type {f.type.__name__}")
            if f.type is float:
                require(math.isfinite(value), f.name, value, "a finite number")
            if f.type in MOST:
                least, most = f.metadata["least"], f.metadata["most"]
                require(value >= least, f.name, value, f"{least} or more")
                require(value <= most, f.name, value, f"at most {most:,}")
            if choices := f.metadata["choices"]:
                require(value in choices, f.name, value, "one of " + ", ".join(choices))
        self.check()

    def check(self):
        """Check what types and bounds cannot express. Raises ConfigError."""

    def fraction(self, *names):
        for name in names:
            value = getattr(self, name)
            require(0 <= value < 1, name, value, "at least 0 and less than 1")


@dataclass(frozen=True)
class BigramConfig(Checked):
    """The model without attention: a table whose size is that of the vocabulary."""

    vocab_size: int = option(
        65, "number of distinct characters; taken from the text", least=1, most=0x110000
    )
    block_size: int = option(
        8, "characters in a training window, and the context of a GPT", least=1, most=2**16
    )


@dataclass(frozen=True)
class GPTConfig(BigramConfig):
    """A GPT. The defaults are today's network; the preset `gpt` is the lecture's."""

    n_layer: int = option(4, "transformer blocks, one after the other", least=1, most=2**10)
    n_head: int = option(4, "attention heads in each block that attends", least=1)
    n_embd: int = option(
        128, "width of the residual stream; divisible by n_head", least=1, most=2**16
    )
    dropout: float = option(0.0, "fraction of activations zeroed at random while training")
    position: str = option(
        "rotary", "how the network knows the order of characters", ("learned", "rotary")
    )
    norm: str = option("rmsnorm", "what keeps activations in range", ("layernorm", "rmsnorm"))
    qk_norm: bool = option(True, "normalise queries and keys, which bounds the attention logits")
    activation: str = option(
        "relu2", "nonlinearity of the feed-forward layer; relu2 is ReLU squared", ("relu", "relu2")
    )
    bias: bool = option(False, "biases in the linear layers where the lecture has them")
    attention_every: int = option(
        1,
        "one block in this many attends, the others convolve; more than n_layer: none attends",
        least=1,
    )
    conv_size: int = option(
        4, "latest characters that a block without attention sees", least=1, most=2**16
    )
    embd_norm: bool = option(True, "normalise each character's embedding before the first block")
    out_norm: bool = option(True, "normalise the residual stream before the output layer")
    zero_init: bool = option(
        True, "start each block as the identity, with its output layers at zero"
    )

    def attends(self, layer):
        """Whether the block of this number, from 0, attends; the others convolve."""
        return (layer + 1) % self.attention_every == 0

    def check(self):
        self.fraction("dropout")
        require(
            self.n_embd % self.n_head == 0,
            "n_embd",
            self.n_embd,
            f"divisible by n_head={self.n_head}",
        )
        if self.position == "rotary":
            head_size = self.n_embd // self.n_head
            require(
                head_size % 2 == 0, "n_embd / n_head", head_size, "even, since rotary turns pairs"
            )


@dataclass(frozen=True)
class TrainConfig(Checked):
    """The settings of a run. Together with the model's config and the text, they determine it."""

    steps: int = option(600, "optimizer steps", least=1)
    batch_size: int = option(32, "windows of block_size characters in a step", least=1)
    seed: int = option(1337, "all randomness of a run follows from it", most=MAX_SEED)
    order: str = option(
        "random",
        "draw windows at random, or in epochs: each once, in a new order, before any comes again",
        ("random", "epochs"),
    )
    optimizer: str = option(
        "muon",
        "muon orthogonalises the updates of matrices; adamw takes the rest",
        ("adamw", "muon"),
    )
    learning_rate: float = option(3e-3, "AdamW's peak learning rate")
    muon_learning_rate: float = option(0.02, "Muon's peak learning rate")
    weight_decay: float = option(0.0, "decoupled weight decay of matrices", most=1e6)
    beta1: float = option(0.9, "AdamW's decay of the gradient's mean")
    beta2: float = option(0.99, "AdamW's decay of the gradient's square")
    muon_momentum: float = option(0.95, "Muon's momentum (Nesterov)")
    muon_beta2: float = option(
        0.0, "decay of the mean squares that equalise the rows of Muon's updates; 0 is off"
    )
    warmup_steps: int = option(0, "steps of linear rise to the peak learning rate")
    decay: str = option(
        "linear", "how the learning rate falls to zero at the end", ("constant", "linear", "cosine")
    )
    decay_fraction: float = option(0.5, "fraction of the steps over which the learning rate falls")
    grad_clip: float = option(1.0, "largest norm of the gradient; 0 does not clip")
    ema_decay: float = option(0.0, "evaluate and keep a moving average of the weights; 0 is off")
    precision: str = option(
        "auto",
        "precision of matrix products; auto is bf16 where that is faster",
        ("auto", "fp32", "bf16"),
    )
    compile: str = option(
        "auto",
        "torch.compile the blocks; auto compiles in runs of 100 steps or more",
        ("auto", "on", "off"),
    )
    eval_interval: int = option(
        200, "steps between evaluations, each with a sample and a save", least=1
    )
    eval_iters: int = option(20, "random batches that estimate a loss", least=1)
    log_interval: int = option(10, "steps between lines of the run's log", least=1)
    store: str = option(
        "fp32", "precision of the saved weights, which are those evaluated", ("fp32", "bf16")
    )
    sample_chars: int = option(
        500, "characters generated at each evaluation and snapshot; 0 generates none"
    )
    snapshots: int = option(
        12, "steps at which the weights are kept, from 0 to the last one; 0 keeps none", most=1000
    )

    def check(self):
        self.fraction("beta1", "beta2", "muon_momentum", "muon_beta2", "ema_decay")
        given = self.decay_fraction
        require(0 < given <= 1, "decay_fraction", given, "more than 0 and at most 1")


@dataclass(frozen=True)
class DistillConfig(Checked):
    """How a student learns from its teachers, besides TrainConfig."""

    written_chars: int = option(
        2_000_000, "characters that the teachers write for their student", least=1000
    )
    written_seed: int = option(0, "the text that the teachers write follows from it", most=MAX_SEED)
    written_temperature: float = option(
        1.0, "temperature at which the teachers write", least=0.1, most=10.0
    )
    written_share: float = option(
        0.5, "share of each batch that is text of the teachers; the rest is training text", most=1.0
    )
    teacher_weight: float = option(
        0.5,
        "share of the teachers' probabilities in what is learned on the training text; the"
        " character that came next has the rest",
        most=1.0,
    )


@dataclass(frozen=True)
class SampleConfig(Checked):
    """The settings of a generation: its length, its seed and the sampler's settings."""

    max_new_chars: int = option(500, "how many characters to write", least=1)
    temperature: float = option(
        0.8, "0 always takes the likeliest character; 1 samples as trained; more is wilder"
    )
    top_k: int = option(0, "choose among the k likeliest characters only; 0 is off")
    top_p: float = option(
        0.0, "choose among the likeliest that add up to this probability; 0 is off"
    )
    min_p: float = option(
        0.0, "leave out what is less likely than this share of the likeliest; 0 is off"
    )
    seed: int = option(
        0, "the same seed, model, prompt and settings give the same text", most=MAX_SEED
    )

    def check(self):
        for name in ("top_p", "min_p"):
            value = getattr(self, name)
            require(0 <= value <= 1, name, value, "from 0 to 1")
