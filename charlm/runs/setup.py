"""A run before its first step: made from a preset and a text, or found where it was saved."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import torch

from charlm.config import GPTConfig, TrainConfig, pick
from charlm.data.corpus import Corpus, load_corpus
from charlm.data.tokenizer import CharTokenizer
from charlm.errors import CharlmError
from charlm.models import checkpoint
from charlm.presets import PRESETS
from charlm.runs import log as runlog
from charlm.runs import resume
from charlm.runs import status as runs
from charlm.training import distributed
from charlm.training.state import TrainerState
from charlm.training.trainer import Trainer


@dataclass(frozen=True)
class RunSetup:
    """What every process of a run has to know, wherever it is."""

    description: checkpoint.Description
    corpus: Corpus
    tokenizer: CharTokenizer
    state: TrainerState | None = None  # to go on from

    def trainer(self, device, world):
        training, model = self.description.training, self.description.build()
        return Trainer(training, model, self.corpus, self.tokenizer, self.state, device, world)


@dataclass(frozen=True)
class Run:
    """What the one process that writes has to know besides."""

    directory: Path
    setup: RunSetup
    trainer: Trainer
    data_path: str | None
    announced: dict | None = None  # the start event that the log ends with, of a resumed run


def new_run(checkpoints, args, world):
    """A fresh model directory below `checkpoints` and a trainer at step 0, as a Run.

    `args`: the command line's preset, name, data and device, and whichever options were given.
    Raises CharlmError for what does not fit.
    """
    preset = PRESETS[args.preset].changed(
        pick(vars(args), GPTConfig) | pick(vars(args), TrainConfig)
    )
    device = choose_device(args.device)
    corpus = load_corpus(args.data)
    corpus.check_room(preset.model.block_size)
    tokenizer = CharTokenizer.fit(corpus.text)
    model_config = dataclasses.replace(preset.model, vocab_size=tokenizer.vocab_size)
    data = {"name": corpus.name, "sha256": corpus.sha256}
    description = checkpoint.Description(preset.kind, model_config, preset.training, data)
    setup = RunSetup(description, corpus, tokenizer)
    try:
        trainer = setup.trainer(device, world)
    except RuntimeError:  # what torch raises when memory is refused
        raise CharlmError(f"a model of this size does not fit in memory: {model_config}") from None
    directory = checkpoints / name_of(checkpoints, args, free_name)
    data_path = args.data and str(Path(args.data).resolve())  # to be found from anywhere
    try:
        resume.create(directory, description, trainer.model, tokenizer, data_path)
    except FileExistsError:
        raise CharlmError(
            f"{directory} exists; go on with it by --resume, or choose another --name"
        ) from None
    return Run(directory, setup, trainer, data_path)


def find_run(checkpoints, args):
    """The directory of the run to resume; raises CharlmError if there is none."""
    directory = checkpoints / name_of(checkpoints, args, newest_name)
    if not checkpoint.is_model_directory(directory):
        raise CharlmError(f"there is no run {directory} to resume")
    return directory


def resume_run(args, directory, log, world):
    """The Run where the one in `directory` was saved last; cuts its log back to there.

    Raises CharlmError for what does not fit it.
    """
    resume.sweep(directory)
    old, progress = checkpoint.load_description(directory), resume.load_progress(directory)
    training = dataclasses.replace(old.training, **pick(vars(args), TrainConfig))
    description = dataclasses.replace(old, training=training)
    saved = progress.state.step if progress.state else 0
    for fixed in ("optimizer", "ema_decay"):  # what the saved state was shaped by
        if getattr(training, fixed) != getattr(old.training, fixed):
            raise CharlmError(f"{fixed} of a run cannot change half-way; train another --name")
    if any(getattr(old.model, n, None) != v for n, v in pick(vars(args), GPTConfig).items()):
        raise CharlmError(f"the model in {directory} has its shape already; train another --name")
    if training.steps < saved:
        raise CharlmError(f"{directory} is at step {saved}; --steps must be as many or more")
    data_path = args.data or progress.data_path
    corpus = load_corpus(data_path)
    if corpus.sha256 != old.data["sha256"]:
        raise CharlmError(
            f"{directory} was trained on {old.data['name']}, another text: give it by --data"
        )
    tokenizer, device = checkpoint.load_tokenizer(directory), choose_device(args.device)
    setup = RunSetup(description, corpus, tokenizer, progress.state)
    trainer = setup.trainer(device, world)
    log.cut_back(progress.log_size)
    starts = [event for event in runlog.read(directory)[0] if event["event"] == "start"]
    if training != old.training:
        checkpoint.save_description(directory, description)
    return Run(directory, setup, trainer, data_path, starts[-1] if starts else None)


def choose_device(name):
    """The torch.device called `name`, or the best one there is for "auto"."""
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        name = distributed.own_device(next(kind for kind, there in available.items() if there))
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or not available.get(device.type):
        here = ", ".join(kind for kind, there in available.items() if there)
        raise CharlmError(f"there is no device {name!r} on this machine; there is {here}")
    return device


def name_of(checkpoints, args, default):
    """The run's name, given or by `default(checkpoints, preset)`."""
    name = default(checkpoints, args.preset) if args.name is None else args.name
    runs.check_name(name)
    return name


def free_name(checkpoints, preset):
    return runs.free_name(preset, runs.named_after(checkpoints, preset))


def newest_name(checkpoints, preset):
    names = [n for n in runs.list_runs(checkpoints) if n in runs.named_after(checkpoints, preset)]
    if not names:
        raise CharlmError(f"there is no run of {preset} to resume; give its --name")
    return names[0]
