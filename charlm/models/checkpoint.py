"""A model directory: weights, config and tokenizer to load, and the state to resume a run from.

Every file is replaced whole. What belongs together but lies in several files is made to appear at
once by its last step: a new run by renaming its directory, a resume state by replacing the small
JSON file that names the tensors.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.torch
import torch

from charlm.config import TrainConfig
from charlm.data.tokenizer import CharTokenizer
from charlm.errors import CharlmError
from charlm.files import write_atomically
from charlm.models.bigram import BigramLM
from charlm.models.gpt import GPT
from charlm.models.transformers_format import from_transformers

WEIGHTS, CONFIG, TOKENIZER = "model.safetensors", "config.json", "tokenizer.json"
MODELS = {model.kind: model for model in (BigramLM, GPT)}
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
SLUG = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class CheckpointError(CharlmError):
    """A model directory that cannot be used; the message names the file and what is wrong."""


@dataclass(frozen=True)
class Description:
    """config.json: all that is known of a model besides its weights and its characters."""

    kind: str  # "bigram" or "gpt"
    model: object  # the config of that kind
    training: TrainConfig
    data: dict  # name, sha256 of the text
    model_type: str = ""  # transformers' name of the network, if the weights have its names

    def build(self):
        """A new model of this description, its weights a function of the training seed."""
        torch.manual_seed(self.training.seed)
        return MODELS[self.kind](self.model)

    def to_json(self):
        parts = {
            "kind": self.kind,
            "model": vars(self.model),
            "training": vars(self.training),
            "data": self.data,
        }
        return json.dumps(parts, indent=2) + "\n"

    @classmethod
    def from_json(cls, text):
        """The inverse of to_json. Raises ValueError, TypeError or KeyError for anything else."""
        parts = json.loads(text)
        model = MODELS[parts["kind"]].config_class(**parts["model"])
        data = {name: str(parts["data"][name]) for name in ("name", "sha256")}
        training = TrainConfig(**parts["training"])
        return cls(parts["kind"], model, training, data, str(parts.get("model_type", "")))


def is_model_directory(directory):
    """Whether this looks like a model directory, by its config and weights being there."""
    return (directory / CONFIG).is_file() and (directory / WEIGHTS).is_file()


def save_description(directory, description):
    write_atomically(directory / CONFIG, description.to_json().encode())


def save_tokenizer(directory, tokenizer):
    """tokenizer.json for the `tokenizers` library, and what tells transformers how to wrap it."""
    wrapper = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,  # it would delete the space before a "?"
    }
    write_atomically(directory / TOKENIZER, tokenizer.to_json().encode())
    write_atomically(directory / "tokenizer_config.json", json.dumps(wrapper, indent=2).encode())


def save_weights(directory, model, store="fp32"):
    """Write model.safetensors with the weights as "fp32" or "bf16"."""
    tensors = {name: t.to(DTYPES[store]).contiguous() for name, t in model.state_dict().items()}
    write_atomically(directory / WEIGHTS, safetensors.torch.save(tensors, {"format": "pt"}))


def load(directory):
    """The model (fp32, on the CPU, in evaluation mode) and the tokenizer of a model directory.

    Raises CheckpointError if a file is missing, damaged, or does not fit the others.
    """
    directory = Path(directory)
    description, tokenizer = load_description(directory), load_tokenizer(directory)
    if tokenizer.vocab_size != description.model.vocab_size:
        raise CheckpointError(
            f"{directory / TOKENIZER} has {tokenizer.vocab_size} characters, but"
            f" {CONFIG} says vocab_size is {description.model.vocab_size}"
        )
    try:
        with torch.random.fork_rng(devices=[]):
            model = description.build()
    except (RuntimeError, MemoryError):  # what torch raises when memory is refused
        raise CheckpointError(f"{directory} describes a model too large for this memory") from None
    path = directory / WEIGHTS
    tensors = {name: t.float() for name, t in read_tensors(path).items()}
    try:
        if description.model_type:
            tensors = from_transformers(description.model, tensors)
        model.load_state_dict(tensors, strict=True)
    except (RuntimeError, KeyError) as error:
        misfit = " ".join(str(error).split(":", 1)[-1].split())[:200]
        raise CheckpointError(f"{path} does not fit {CONFIG}: {misfit}") from None
    if not all(t.isfinite().all() for t in tensors.values()):
        raise CheckpointError(f"{path} has weights that are not finite numbers")
    return model.eval(), tokenizer


def load_description(directory):
    """The Description in a model directory; raises CheckpointError."""
    return parse(directory / CONFIG, Description.from_json)


def load_tokenizer(directory):
    """The CharTokenizer in a model directory; raises CheckpointError."""
    return parse(directory / TOKENIZER, CharTokenizer.from_json)


def parse(path, from_json):
    """What `from_json` makes of a file's text; CheckpointError, naming the file, if it fails."""
    try:
        return from_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path} is damaged or not charlm's: {error}") from None


def read_tensors(path):
    """The tensors in a safetensors file, by name; raises CheckpointError."""
    try:
        return safetensors.torch.load(path.read_bytes())
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from None
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path} is damaged or not safetensors: {error}") from None
