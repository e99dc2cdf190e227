"""A run before its next step: new from a preset and a text, or resumed from its directory."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import torch

from charlm.config import GPTConfig, TrainConfig, pick
from charlm.data.corpus import Corpus, load_corpus
from charlm.data.tokenizer import CharTokenizer
from charlm.errors import CharlmError
from charlm.models.checkpoint import (
    Description,
    is_model_directory,
    load_description,
    load_tokenizer,
    save_description,
)
from charlm.presets import PRESETS
from charlm.runs.directory import create_run_directory, remove_temporary_files
from charlm.runs.log import read_events
from charlm.runs.names import check_name, free_name, names_of_preset, newest_name
from charlm.runs.resume import can_resume, load_resume_state
from charlm.runs.status import read_status
from charlm.training.distributed import local_device
from charlm.training.state import TrainerState
from charlm.training.trainer import Trainer


@dataclass(frozen=True)
class RunSetup:
    """Everything that a process of the run needs; the first process broadcasts it."""

    description: Description
    corpus: Corpus
    tokenizer: CharTokenizer
    state: TrainerState | None = None  # to resume from

    def trainer(self, device, world):
        training, model = self.description.training, self.description.build()
        return Trainer(training, model, self.corpus, self.tokenizer, self.state, device, world)


@dataclass(frozen=True)
class Run:
    """A run in the first process, which logs and saves it."""

    directory: Path
    setup: RunSetup
    trainer: Trainer
    data_path: str | None
    logged_start: dict | None = None  # the latest start event in the log of a resumed run

    def is_logged(self, event):
        """Return whether `event` is a start event that repeats the logged one."""
        if event.event != "start" or self.logged_start is None:
            return False
        fields = json.loads(json.dumps(dataclasses.asdict(event)))
        compared = fields.keys() - {"step", "time", "notes"}
        return all(fields[name] == self.logged_start.get(name) for name in compared)


def new_run(checkpoints, args, world):
    """Make a run directory in `checkpoints` and a trainer at step 0; returns the Run.

    `args`: the command line's preset, name, data and device, and the options that were given.
    Raises CharlmError if they do not fit together.
    """
    options = pick(vars(args), GPTConfig) | pick(vars(args), TrainConfig)
    preset = PRESETS[args.preset].changed(options)
    device = choose_device(args.device)
    corpus = load_corpus(args.data)
    corpus.check_room(preset.model.block_size)
    tokenizer = CharTokenizer.fit(corpus.text)
    model_config = dataclasses.replace(preset.model, vocab_size=tokenizer.vocab_size)
    data = {"name": corpus.name, "sha256": corpus.sha256}
    description = Description(preset.kind, model_config, preset.training, data)
    setup = RunSetup(description, corpus, tokenizer)
    try:
        trainer = setup.trainer(device, world)
    except RuntimeError:  # torch could not allocate the memory
        raise CharlmError(f"a model of this size does not fit in memory: {model_config}") from None
    name = args.name
    if name is None:
        name = free_name(args.preset, names_of_preset(checkpoints, args.preset))
    check_name(name)
    directory = checkpoints / name
    data_path = args.data and str(Path(args.data).resolve())  # valid in any working directory
    try:
        create_run_directory(directory, description, trainer.model, tokenizer, data_path)
    except FileExistsError:
        raise CharlmError(
            f"{directory} exists; continue it with --resume, or choose another --name"
        ) from None
    return Run(directory, setup, trainer, data_path)


def find_run(checkpoints, args):
    """Return the directory of the run to resume; raises CharlmError if it does not exist."""
    name = newest_name(checkpoints, args.preset) if args.name is None else args.name
    check_name(name)
    directory = checkpoints / name
    if not is_model_directory(directory):
        raise CharlmError(f"there is no run {directory} to resume")
    return directory


def is_over(directory, args):
    """Return whether a run has no steps left: it is finished or has no resume state."""
    changed = pick(vars(args), TrainConfig) | pick(vars(args), GPTConfig)
    finished = read_status(directory).state == "finished"
    return (finished and not changed) or not can_resume(directory)


def resume_run(args, directory, log, world):
    """Restore the Run in `directory` as it was saved last, and truncate its log to that point.

    Raises CharlmError if the arguments do not fit the run.
    """
    remove_temporary_files(directory)
    old, saved = load_description(directory), load_resume_state(directory)
    description = changed_description(directory, old, args, saved.state.step if saved.state else 0)
    data_path = args.data or saved.data_path
    corpus = load_corpus(data_path)
    if corpus.sha256 != old.data["sha256"]:
        raise CharlmError(
            f"{directory} was trained on {old.data['name']}, another text: give it by --data"
        )
    tokenizer, device = load_tokenizer(directory), choose_device(args.device)
    setup = RunSetup(description, corpus, tokenizer, saved.state)
    trainer = setup.trainer(device, world)
    log.truncate(saved.log_size)
    starts = [event for event in read_events(directory)[0] if event["event"] == "start"]
    if description != old:
        save_description(directory, description)
    return Run(directory, setup, trainer, data_path, starts[-1] if starts else None)


def changed_description(directory, description, args, step):
    """Return a saved run's Description with the training options in `args`.

    Raises CharlmError for an option that cannot change after `step` steps.
    """
    old = description.training
    training = dataclasses.replace(old, **pick(vars(args), TrainConfig))
    for fixed in ("optimizer", "ema_decay"):  # the saved tensors depend on them
        if getattr(training, fixed) != getattr(old, fixed):
            raise CharlmError(f"{fixed} cannot change when a run is resumed; train another --name")
    model_options = pick(vars(args), GPTConfig)
    if any(getattr(description.model, n, None) != value for n, value in model_options.items()):
        raise CharlmError(f"the model in {directory} cannot change its shape; train another --name")
    if training.steps < step:
        raise CharlmError(f"{directory} is at step {step}; --steps must be {step} or more")
    return dataclasses.replace(description, training=training)


def choose_device(name):
    """Return the torch.device called `name`, or the best available one for "auto".

    Raises CharlmError if the machine has no such device.
    """
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        name = local_device(next(kind for kind, usable in available.items() if usable))
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or not available.get(device.type):
        usable = ", ".join(kind for kind, usable in available.items() if usable)
        raise CharlmError(f"there is no device {name!r} on this machine; there is {usable}")
    return device
