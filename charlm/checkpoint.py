"""A model directory: weights, config and tokenizer to load, and the state to resume a run from.

Every file is replaced whole. What belongs together but lies in several files is made to appear at
once by its last step: a new run by renaming its directory, a resume state by replacing the small
JSON file that names the tensors.
"""

import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.torch
import torch

from charlm.bigram import BigramLM
from charlm.config import CharlmError, TrainConfig
from charlm.convert import from_transformers
from charlm.files import sync_directory, write_atomically
from charlm.gpt import GPT
from charlm.tokenizer import CharTokenizer
from charlm.training import TrainerState

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


@dataclass(frozen=True)
class Progress:
    """How far a run got: the trainer's state, the log's size then, and where its text was."""

    state: TrainerState | None  # None at the very start
    log_size: int
    data_path: str | None


def is_model_directory(directory):
    """Whether this looks like a model directory, by its config and weights being there."""
    return (directory / CONFIG).is_file() and (directory / WEIGHTS).is_file()


def create(directory, description, model, tokenizer, data_path=None):
    """Make a new model directory that loads, and can be resumed, from the moment it exists.

    Raises FileExistsError if there is one already.
    """
    if directory.exists():
        raise FileExistsError(f"{directory} exists already")
    unfinished = directory.with_name(f".{directory.name}.{os.getpid()}.new")
    try:
        save_description(unfinished, description)
        save_tokenizer(unfinished, tokenizer)
        save_weights(unfinished, model, description.training.store)
        save_resume_note(unfinished, None, None, 0, data_path)
        unfinished.rename(directory)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    sync_directory(directory.parent)


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


def save_progress(directory, trainer, log, data_path):
    """Save the trainer's kept weights to load, and its whole state to resume from.

    Raises OSError, as on a full disk; the previous weights and state are then still whole.
    """
    state = trainer.state()
    save_weights(directory, trainer.kept_model, trainer.config.store)
    resume = directory / "resume"
    tensors = resume / f"step-{state.step:08}.safetensors"
    contiguous = {name: t.contiguous() for name, t in state.tensors.items()}
    write_atomically(tensors, safetensors.torch.save(contiguous))
    log.sync()
    save_resume_note(directory, state, tensors.name, log.size, data_path)
    for old in resume.glob("step-*.safetensors"):
        if old != tensors:
            old.unlink()


def save_resume_note(directory, state, tensors, log_size, data_path):
    """Write the small file that makes the tensors of that name the state to resume from."""
    note = {
        "step": state.step if state else 0,
        "time": state.time if state else 0.0,
        "tensors": tensors,
        "log_size": log_size,
        "data_path": data_path,
    }
    write_atomically(directory / "resume" / "state.json", json.dumps(note, indent=2).encode())


def sweep(directory):
    """Remove what a killed process was in the middle of writing; only for the run's one writer."""
    for unfinished in directory.rglob(".*.tmp"):
        unfinished.unlink()


def load_progress(directory):
    """The Progress saved last. Raises CheckpointError, also where only the model was kept."""
    path = directory / "resume" / "state.json"
    if not path.exists():
        raise CheckpointError(f"{directory} has no resume/ state, so its training cannot go on")

    def from_json(text):
        note, state = json.loads(text), None
        if note["tensors"]:
            tensors = read_tensors(path.with_name(Path(note["tensors"]).name))
            state = TrainerState(int(note["step"]), float(note["time"]), tensors)
        return Progress(state, int(note["log_size"]), note["data_path"])

    return parse(path, from_json)
