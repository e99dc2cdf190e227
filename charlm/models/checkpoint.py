"""A model directory: the weights, config and tokenizer that loading a model needs.

Files are written atomically, so readers never see a partial one, even after a crash. charlm.runs
adds the log, the model card and the resume state of a run.
"""

import contextlib
import json
import math
from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.torch
import torch

from charlm.config import DistillConfig, TrainConfig, names_of, pick
from charlm.data.tokenizer import CharTokenizer
from charlm.errors import CharlmError, quote
from charlm.files import PointerError, parse_json, read_bounded, refuse_pointer, write_atomically
from charlm.models.bigram import BigramLM
from charlm.models.gpt import GPT
from charlm.models.sizes import MisfitError, check_shapes, fits_size, read_shapes, tensor_shapes
from charlm.models.transformers_format import from_transformers

WEIGHTS, CONFIG, TOKENIZER = "model.safetensors", "config.json", "tokenizer.json"
TOKENIZER_CONFIG = "tokenizer_config.json"  # only transformers reads it
MODELS = {model.kind: model for model in (BigramLM, GPT)}
MAX_BYTES = {CONFIG: 2**17, TOKENIZER: 2**26}  # Unicode has 1.1 million characters
MAX_OTHER = 2**24  # bytes of any other JSON file
MAX_NAME = 200  # characters of a text's name
MAX_TEACHERS = 16
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


class CheckpointError(CharlmError):
    """A model directory that cannot be used; the message names the file and what is wrong."""


@dataclass(frozen=True)
class Distillation:
    """How a model was taught by others."""

    config: DistillConfig
    teachers: tuple  # of {"name": ..., "sha256": of the file of its weights}

    def to_json(self):
        return {"options": vars(self.config), "teachers": list(self.teachers)}

    @classmethod
    def from_json(cls, parts):
        """Invert to_json. Raises ValueError, TypeError or KeyError for anything else."""
        teachers = tuple(read_data(teacher) for teacher in parts["teachers"][:MAX_TEACHERS])
        return cls(DistillConfig(**pick(parts["options"], DistillConfig)), teachers)


@dataclass(frozen=True)
class Description:
    """config.json: a model's kind and options, how it was trained, and on which text."""

    kind: str  # "bigram" or "gpt"
    model: object  # BigramConfig or GPTConfig
    training: TrainConfig
    data: dict  # name and sha256 of the text
    model_type: str = ""  # of transformers, if the weights have the names that it expects
    preset: str = ""  # that it was trained with; "" if unknown
    distillation: Distillation | None = None  # if it had teachers

    def build(self):
        """Return a new model; its weights are a function of the training seed."""
        torch.manual_seed(self.training.seed)
        return MODELS[self.kind](self.model)

    def to_json(self):
        parts = {
            "kind": self.kind,
            "model": vars(self.model),
            "training": vars(self.training),
            "data": self.data,
            "preset": self.preset,
        }
        if self.distillation:
            parts["distillation"] = self.distillation.to_json()
        return json.dumps(parts, indent=2) + "\n"

    @classmethod
    def from_json(cls, text):
        """Invert to_json. Raises ValueError, TypeError or KeyError for any other text."""
        parts = parse_json(text)
        kind, options = parts["kind"], parts["model"]
        if not isinstance(kind, str) or kind not in MODELS:
            raise ValueError(f"its kind is {quote(kind)}; it must be one of {', '.join(MODELS)}")
        config_class = MODELS[kind].config_class
        if unknown := options.keys() - names_of(config_class):
            raise ValueError(f"it has an unknown option {quote(min(unknown))}")
        model = config_class(**options)
        training = TrainConfig(**pick(parts["training"], TrainConfig))
        strings = (read_string(parts, name) for name in ("model_type", "preset"))
        taught = Distillation.from_json(found) if (found := parts.get("distillation")) else None
        return cls(kind, model, training, read_data(parts["data"]), *strings, taught)


def read_data(data):
    """Return the name and the SHA-256 of a text or teacher, cut; raises KeyError or ValueError."""
    found = {name: data[name] for name in ("name", "sha256")}
    if not all(isinstance(value, str) for value in found.values()):
        raise ValueError("a name or sha256 in it is no text")
    return {name: cut(value) for name, value in found.items()}


def read_string(parts, name):
    """Return a string of config.json, cut; "" without one. Raises ValueError."""
    value = parts.get(name, "")
    if not isinstance(value, str):
        raise ValueError(f"its {name} is {quote(value)}")
    return cut(value)


def cut(value):
    """Return the first MAX_NAME characters of a string, without lone surrogates.

    A page with one of those could not be sent to a browser.
    """
    return value[:MAX_NAME].encode("utf-8", "replace").decode()


def is_model_directory(directory):
    """Return whether a directory has a config and weights."""
    return (directory / CONFIG).is_file() and (directory / WEIGHTS).is_file()


def save_description(directory, description):
    """Write config.json."""
    write_atomically(directory / CONFIG, description.to_json().encode())


def save_tokenizer(directory, tokenizer):
    """Write tokenizer.json, and tokenizer_config.json for transformers."""
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,  # it would delete the space before a "?"
    }
    write_atomically(directory / TOKENIZER, tokenizer.to_json().encode())
    write_atomically(directory / TOKENIZER_CONFIG, json.dumps(config, indent=2).encode())


def save_weights(directory, model, store="fp32"):
    """Write model.safetensors, with the weights in the precision `store`: "fp32" or "bf16"."""
    tensors = {name: t.to(DTYPES[store]) for name, t in model.state_dict().items()}
    write_atomically(directory / WEIGHTS, serialize(tensors))


def serialize(tensors):
    """Return the bytes of a safetensors file. Raises MemoryError."""
    # the library, written in Rust, ends the process if it cannot allocate its three copies
    del bytearray(3 * sum(t.nbytes for t in tensors.values()))[:]
    contiguous = {name: t.contiguous() for name, t in tensors.items()}
    return safetensors.torch.save(contiguous, {"format": "pt"})


def load(directory, weights=WEIGHTS):
    """Return the model (fp32, on the CPU, in evaluation mode) and tokenizer of a model directory.

    `weights`: the file of its weights. Raises CheckpointError if a file is missing, damaged, or
    does not fit the others.
    """
    directory = Path(directory)
    description, tokenizer = load_description(directory), load_tokenizer(directory)
    if tokenizer.vocab_size != description.model.vocab_size:
        raise CheckpointError(
            f"{directory / TOKENIZER} has {tokenizer.vocab_size} characters, but"
            f" {CONFIG} says vocab_size is {description.model.vocab_size}"
        )
    path = directory / weights
    check_weights(path, description)
    try:
        with torch.random.fork_rng(devices=[]):
            model = description.build()
    except (RuntimeError, MemoryError):  # torch could not allocate the memory
        raise CheckpointError(f"{directory} describes a model too large for this memory") from None
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


def check_weights(path, description):
    """Raise CheckpointError unless the header of a weights file fits a Description.

    Only the header is read, and nothing is allocated.
    """
    model_class = MODELS[description.kind]
    try:
        shapes = tensor_shapes(model_class, description.model, bool(description.model_type))
    except ValueError as error:
        raise CheckpointError(f"{path} does not fit {CONFIG}: {error}") from None
    try:
        check_shapes(read_shapes(path), shapes)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from None
    except PointerError as error:
        raise CheckpointError(f"{path} {error}") from None
    except MisfitError as error:
        raise CheckpointError(f"{path} does not fit {CONFIG}: {error}") from None
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        reason = error if isinstance(error, ValueError) else "its header cannot be read"
        raise CheckpointError(f"{path} is damaged or not safetensors: {reason}") from None


def check_size(directory, description, size):
    """Raise CheckpointError unless weights for a Description can have this size in bytes."""
    model_class = MODELS[description.kind]
    path = directory / WEIGHTS
    try:
        shapes = tensor_shapes(model_class, description.model, bool(description.model_type))
    except ValueError as error:
        raise CheckpointError(f"{path} does not fit {CONFIG}: {error}") from None
    if not fits_size(shapes, size):
        raise CheckpointError(
            f"{path} is damaged or does not fit {CONFIG}: {size:,} bytes for"
            f" {sum(map(math.prod, shapes.values())):,} weights"
        )


def load_description(directory):
    """Return the Description of a model directory; raises CheckpointError."""
    return parse_file(directory / CONFIG, Description.from_json)


def load_tokenizer(directory):
    """Return the CharTokenizer of a model directory; raises CheckpointError."""
    return parse_file(directory / TOKENIZER, CharTokenizer.from_json)


def count_parameters(directory):
    """Return the number of weights in a model directory; raises CheckpointError.

    Only the header of the weights file is read.
    """
    path = directory / WEIGHTS
    with raise_checkpoint_error(path):
        return sum(math.prod(shape) for shape in read_shapes(path).values())


def parse_file(path, from_json):
    """Return `from_json` of a file's text; raises CheckpointError, naming the file."""
    try:
        return from_json(read_bounded(path, MAX_BYTES.get(path.name, MAX_OTHER)).decode())
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from None
    except PointerError as error:
        raise CheckpointError(f"{path} {error}") from None
    except UnicodeDecodeError:
        raise CheckpointError(f"{path} is damaged or not charlm's: it is not UTF-8") from None
    except KeyError as error:
        missing = f"it has no {error.args[0]}"
        raise CheckpointError(f"{path} is damaged or not charlm's: {missing}") from None
    except ValueError as error:  # our own sentences, and the JSON reader's, which quote little
        raise CheckpointError(f"{path} is damaged or not charlm's: {error}") from None
    except (TypeError, AttributeError, RecursionError):
        reason = "its structure is not that of a model directory"
        raise CheckpointError(f"{path} is damaged or not charlm's: {reason}") from None


def read_tensors(path):
    """Return the tensors of a safetensors file by name; raises CheckpointError."""
    with raise_checkpoint_error(path):
        raw = path.read_bytes()
        refuse_pointer(raw)
        return safetensors.torch.load(raw)


@contextlib.contextmanager
def raise_checkpoint_error(path):
    """Raise the errors of reading a safetensors file as CheckpointError, naming the file."""
    try:
        yield
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from None
    except PointerError as error:
        raise CheckpointError(f"{path} {error}") from None
    except (safetensors.SafetensorError, ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"{path} is damaged or not safetensors: {error}") from None
