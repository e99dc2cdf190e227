"""Every option, declared once, with its default, its bounds and its description.

`train.py --help`, the model card, the API documentation and the notes on the page are generated
from these descriptions.
"""

import dataclasses
import math
from dataclasses import dataclass, field

from charlm.errors import CharlmError, quote


class ConfigError(CharlmError, ValueError):
    """An option has a value outside its bounds; `option` is its name."""

    def __init__(self, message, option=None):
        super().__init__(message)
        self.option = option


def option(default, note, choices=None):
    """Declare a dataclass field with its description and, optionally, its allowed values."""
    return field(default=default, metadata={"note": note, "choices": choices})


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


class Checked:
    """A dataclass that checks its values against types and choices; subclasses add bounds."""

    def __post_init__(self):
        for f in dataclasses.fields(self):
            value = getattr(self, f.name)
            if f.type is float and type(value) is int and abs(value) < 2**53:
                object.__setattr__(self, f.name, value := float(value))
            require(type(value) is f.type, f.name, value, f"of type {f.type.__name__}")
            if f.type is float:
                require(math.isfinite(value), f.name, value, "a finite number")
            if choices := f.metadata.get("choices"):
                require(value in choices, f.name, value, "one of " + ", ".join(choices))
        self.check()

    def check(self):
        """Check the bounds that types and choices cannot express. Raises ConfigError."""

    def at_least(self, smallest, *names):
        for name in names:
            require(
                getattr(self, name) >= smallest, name, getattr(self, name), f"{smallest} or more"
            )

    def fraction(self, *names):
        for name in names:
            value = getattr(self, name)
            require(0 <= value < 1, name, value, "at least 0 and less than 1")


@dataclass(frozen=True)
class BigramConfig(Checked):
    """The model without attention: a table whose size is that of the vocabulary."""

    vocab_size: int = option(65, "number of distinct characters; taken from the text")
    block_size: int = option(8, "characters in a training window, and the context of a GPT")

    def check(self):
        self.at_least(1, "vocab_size", "block_size")


@dataclass(frozen=True)
class GPTConfig(BigramConfig):
    """A GPT. The defaults are today's network; the preset `gpt` is the lecture's."""

    n_layer: int = option(4, "transformer blocks, one after the other")
    n_head: int = option(4, "attention heads in each block that attends")
    n_embd: int = option(128, "width of the residual stream; divisible by n_head")
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
        1, "one block in this many attends, the others convolve; more than n_layer: none attends"
    )
    conv_size: int = option(4, "latest characters that a block without attention sees")
    embd_norm: bool = option(True, "normalise each character's embedding before the first block")
    out_norm: bool = option(True, "normalise the residual stream before the output layer")
    zero_init: bool = option(
        True, "start each block as the identity, with its output layers at zero"
    )

    def attends(self, layer):
        """Whether the block of this number, from 0, attends; the others convolve."""
        return (layer + 1) % self.attention_every == 0

    def check(self):
        super().check()
        self.at_least(1, "n_layer", "n_head", "n_embd", "attention_every", "conv_size")
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

    steps: int = option(600, "optimizer steps")
    batch_size: int = option(32, "windows of block_size characters in a step")
    seed: int = option(1337, "all randomness of a run follows from it")
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
    weight_decay: float = option(0.0, "decoupled weight decay of matrices")
    beta1: float = option(0.9, "AdamW's decay of the gradient's mean")
    beta2: float = option(0.99, "AdamW's decay of the gradient's square")
    muon_momentum: float = option(0.95, "Muon's momentum (Nesterov)")
    warmup_steps: int = option(0, "steps of linear rise to the peak learning rate")
    decay: str = option(
        "linear", "how the learning rate falls to zero at the end", ("constant", "linear", "cosine")
    )
    decay_fraction: float = option(0.5, "fraction of the steps over which the learning rate falls")
    grad_clip: float = option(1.0, "largest norm of the gradient; 0 does not clip")
    ema_decay: float = option(0.0, "evaluate and keep a moving average of the weights; 0 is off")
    precision: str = option(
        "auto",
        "precision of matrix products; auto is bf16 on hardware made for it",
        ("auto", "fp32", "bf16"),
    )
    compile: str = option(
        "auto",
        "torch.compile the blocks; auto compiles in runs of 100 steps or more",
        ("auto", "on", "off"),
    )
    eval_interval: int = option(200, "steps between evaluations, each with a sample and a save")
    eval_iters: int = option(20, "random batches that estimate a loss")
    log_interval: int = option(10, "steps between lines of the run's log")
    store: str = option(
        "fp32", "precision of the saved weights, which are those evaluated", ("fp32", "bf16")
    )
    sample_chars: int = option(500, "characters generated at each evaluation; 0 generates none")

    def check(self):
        self.at_least(1, "steps", "batch_size", "eval_interval", "eval_iters", "log_interval")
        self.at_least(0, "seed", "learning_rate", "muon_learning_rate", "weight_decay")
        self.at_least(0, "warmup_steps", "grad_clip", "sample_chars")
        require(self.seed < 2**63, "seed", self.seed, "less than 2**63")
        self.fraction("beta1", "beta2", "muon_momentum", "ema_decay")
        given = self.decay_fraction
        require(0 < given <= 1, "decay_fraction", given, "more than 0 and at most 1")


@dataclass(frozen=True)
class SampleConfig(Checked):
    """The settings of a generation: its length, its seed and the sampler's settings."""

    max_new_chars: int = option(500, "how many characters to write")
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
    seed: int = option(0, "the same seed, model, prompt and settings give the same text")

    def check(self):
        self.at_least(1, "max_new_chars")
        self.at_least(0, "temperature", "top_k", "seed")
        for name in ("top_p", "min_p"):
            value = getattr(self, name)
            require(0 <= value <= 1, name, value, "from 0 to 1")
