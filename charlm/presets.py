"""The presets: a model and its training, under a name."""

import dataclasses
from dataclasses import dataclass

from charlm.config import BigramConfig, GPTConfig, TrainConfig, names_of, pick, require


@dataclass(frozen=True)
class Preset:
    """A model and its training, under a name. `kind`: "bigram" or "gpt"."""

    note: str
    kind: str
    model: BigramConfig
    training: TrainConfig

    def changed(self, options):
        """Return this preset with some options changed. Raises ConfigError."""
        for name in options:
            known = names_of(type(self.model)) | names_of(TrainConfig)
            require(
                name in known, name, options[name], f"left out: a {self.kind} has no such option"
            )
        parts = {
            part: dataclasses.replace(config, **pick(options, type(config)))
            for part, config in (("model", self.model), ("training", self.training))
        }
        return dataclasses.replace(self, **parts)

    def differences(self, model, training):
        """Return option -> value where a model and its training are not as in this preset.

        The size of the vocabulary does not count: it follows from the text.
        """
        pairs = (model, self.model), (training, self.training)
        return {
            name: value
            for config, own in pairs
            for name, value in vars(config).items()
            if name != "vocab_size" and value != getattr(own, name)
        }


DEFAULT_PRESET = "fast"
PRESETS = {
    "bigram": Preset(
        "the lecture's first model: each character guessed from the one before it, in seconds",
        "bigram",
        BigramConfig(block_size=8),
        TrainConfig(
            steps=3000,
            batch_size=256,
            optimizer="adamw",
            learning_rate=1e-2,
            grad_clip=0.0,
            compile="off",
            eval_interval=500,
            log_interval=50,
        ),
    ),
    "gpt": Preset(
        "the lecture's GPT with its hyperparameters: 1.6 million parameters, 10,000 steps",
        "gpt",
        GPTConfig(
            block_size=32,
            n_layer=8,
            n_head=8,
            n_embd=128,
            dropout=0.1,
            position="learned",
            norm="layernorm",
            qk_norm=False,
            activation="relu",
            bias=True,
            embd_norm=False,
            zero_init=False,
        ),
        TrainConfig(
            steps=10000,
            batch_size=256,
            optimizer="adamw",
            learning_rate=3e-4,
            weight_decay=0.01,
            beta2=0.999,
            decay="constant",
            grad_clip=0.0,
            eval_interval=1000,
            log_interval=50,
        ),
    ),
    "fast": Preset(
        "today's network: Shakespearean after about two minutes on two CPU cores",
        "gpt",
        GPTConfig(block_size=256, n_layer=4, n_head=2, n_embd=128, attention_every=4),
        TrainConfig(
            steps=420,
            batch_size=8,
            order="epochs",
            learning_rate=6e-3,
            muon_learning_rate=0.05,
            muon_momentum=0.85,
            muon_beta2=0.95,
            decay_fraction=1.0,
            compile="off",  # compiling takes longer than it saves in so short a run
            eval_interval=420,  # an evaluation takes as long as 15 steps
            eval_iters=5,
            sample_chars=300,
        ),
    ),
    "best": Preset(
        "the same network, larger, for about an hour on two CPU cores",
        "gpt",
        GPTConfig(block_size=256, n_layer=6, n_head=3, n_embd=192, dropout=0.2, attention_every=3),
        TrainConfig(
            steps=4400,
            batch_size=16,
            order="epochs",
            muon_learning_rate=0.025,
            weight_decay=0.1,
            decay_fraction=0.7,
            eval_interval=400,
            eval_iters=10,
            store="bf16",
        ),
    ),
}
