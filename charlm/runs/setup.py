"""A run before its next step: new from a preset and a text, or resumed from its directory."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import torch

from charlm.config import DistillConfig, GPTConfig, TrainConfig, pick
from charlm.console import warn_once
from charlm.data.corpus import Corpus, find_corpus, load_corpus, read_corpus
from charlm.data.tokenizer import CharTokenizer
from charlm.errors import CharlmError
from charlm.models.checkpoint import (
    Description,
    is_model_directory,
    load_description,
    load_tokenizer,
    save_description,
)
from charlm.models.snapshots import remove_snapshots
from charlm.paths import expand, resolve
from charlm.presets import DEFAULT_PRESET, PRESETS
from charlm.runs.directory import create_run_directory, remove_temporary_files
from charlm.runs.log import read_events
from charlm.runs.names import check_name, free_name, names_of_preset, newest_name
from charlm.runs.resume import can_resume, load_resume_state
from charlm.runs.status import read_status
from charlm.runs.teachers import check_same, lasting_name, load_teachers
from charlm.training.distillation import Teachers
from charlm.training.distributed import local_device
from charlm.training.memory import available_megabytes, run_megabytes
from charlm.training.optim import lr_scale
from charlm.training.state import TrainerState
from charlm.training.trainer import Trainer

UNCERTAINTY = 1.5  # factor by which the estimate of a run's memory may be wrong


@dataclass(frozen=True)
class RunSetup:
    """Everything that a process of the run needs; the first process broadcasts it."""

    description: Description
    corpus: Corpus
    tokenizer: CharTokenizer
    state: TrainerState | None = None  # to resume from
    teachers: Teachers | None = None

    def trainer(self, device, world):
        training, model = self.description.training, self.description.build()
        parts = training, model, self.corpus, self.tokenizer, self.state, device, world
        return Trainer(*parts, self.teachers)


@dataclass(frozen=True)
class Run:
    """A run in the first process, which logs and saves it."""

    directory: Path
    setup: RunSetup
    trainer: Trainer
    data_path: str | None
    teachers: tuple = ()  # names with which they are found again
    logged_start: dict | None = None  # the latest start event in the log of a resumed run

    def is_logged(self, event):
        """Return whether `event` is a start event that repeats the logged one."""
        if event.event != "start" or self.logged_start is None:
            return False
        fields = json.loads(json.dumps(dataclasses.asdict(event)))
        compared = fields.keys() - {"step", "time", "started", "notes"}
        return all(fields[name] == self.logged_start.get(name) for name in compared)


def new_run(checkpoints, args, world, find):
    """Make a run directory in `checkpoints` and a trainer at step 0; returns the Run.

    `args`: the command line's preset, name, data, device and teachers, and the options that were
    given. `find`: see load_teachers. Raises CharlmError if they do not fit together.
    """
    options = pick(vars(args), GPTConfig) | pick(vars(args), TrainConfig)
    preset_name = args.preset or DEFAULT_PRESET
    preset = PRESETS[preset_name].changed(options)
    device = choose_device(args.device)
    corpus = load_corpus(args.data)
    corpus.check_room(preset.model.block_size)
    tokenizer = CharTokenizer.fit(corpus.text)
    model_config = dataclasses.replace(preset.model, vocab_size=tokenizer.vocab_size)
    data = {"name": corpus.name, "sha256": corpus.sha256}
    teachers = None
    if args.teacher:
        config = DistillConfig(**pick(vars(args), DistillConfig))
        teachers = load_teachers(args.teacher, find, config, model_config, tokenizer)
    parts = preset.kind, model_config, preset.training, data
    distillation = teachers and teachers.distillation
    description = Description(*parts, preset=preset_name, distillation=distillation)
    setup = RunSetup(description, corpus, tokenizer, teachers=teachers)
    if device.type == "cpu":
        check_memory(description)
    trainer = setup.trainer(device, world)
    data_path = args.data and str(resolve(args.data))  # valid in any working directory
    names = tuple(map(lasting_name, args.teacher or ()))
    contents = description, trainer.model, tokenizer, data_path, names
    directory = make_directory(checkpoints, args.name, preset_name, contents)
    return Run(directory, setup, trainer, data_path, names)


def check_memory(description):
    """Warn if a run may need more memory than there is; raise CharlmError if it does certainly."""
    needed = run_megabytes(description.kind, description.model, description.training)
    available = available_megabytes()
    if needed > available:
        message = f"the run needs about {needed:,.0f} MB of memory, of which {available:,.0f} are"
        message += " available; choose a smaller batch_size or model"
        if needed > UNCERTAINTY * available:
            raise CharlmError(message)
        warn_once(message)


def make_directory(checkpoints, name, preset, contents):
    """Create a run directory and return it; without a name, under the next free one of the preset.

    `contents`: the other arguments of create_run_directory. Raises CharlmError if the name is taken
    or not allowed.
    """
    if name is not None:
        check_name(name)
    while True:
        free = name or free_name(preset, names_of_preset(checkpoints, preset))
        directory = checkpoints / free
        try:
            create_run_directory(directory, *contents)
            return directory
        except FileExistsError:  # for a free name: another process has taken it since
            if name:
                raise CharlmError(
                    f"{directory} exists; continue it with --resume, or choose another --name"
                ) from None


def find_run(checkpoints, args):
    """Return the directory of the run to resume; raises CharlmError if it does not exist."""
    name = args.name
    if name is None:
        name = newest_name(checkpoints, args.preset or DEFAULT_PRESET)
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


def resume_run(args, directory, log, world, find):
    """Restore the Run in `directory` as it was saved last, and truncate its log to that point.

    `find`: see load_teachers. Raises CharlmError if the arguments do not fit the run.
    """
    remove_temporary_files(directory)
    old, saved = load_description(directory), load_resume_state(directory)
    step = saved.state.step if saved.state else 0
    description = changed_description(directory, old, args, step)
    corpus, data_path = text_of_run(directory, old, args.data, saved.data_path)
    tokenizer, device = load_tokenizer(directory), choose_device(args.device)
    teachers = teachers_of_run(description, saved.teachers, find, tokenizer)
    setup = RunSetup(description, corpus, tokenizer, saved.state, teachers)
    trainer = setup.trainer(device, world)
    log.truncate(saved.log_size)
    starts = [event for event in read_events(directory)[0] if event["event"] == "start"]
    if description != old:
        remove_snapshots(directory, after=step)  # of steps that are now taken differently
        save_description(directory, description)
        trainer.notes += learning_rate_notes(old.training, description.training, step)
    logged_start = starts[-1] if starts else None
    return Run(directory, setup, trainer, data_path, saved.teachers, logged_start)


def text_of_run(directory, description, given, saved):
    """Return the Corpus of a run and its path, None for the default one.

    `given`: the path on the command line; `saved`: the one in the resume state. Raises DataError if
    the text is not found, and CharlmError if the given one is another.
    """
    name, sha256 = description.data["name"], description.data["sha256"]
    if not given:
        corpus, path = find_corpus(name, sha256, [saved])
    else:
        path = expand(given)
        corpus = read_corpus(path)
        if not corpus.has_sha256(sha256):
            raise CharlmError(
                f"{path} is another text than {name}, on which {directory} was trained; give that"
                " one with --data, or train another --name"
            )
    # the start event repeats what the run recorded
    return dataclasses.replace(corpus, name=name, sha256=sha256), path and str(resolve(path))


def teachers_of_run(description, sources, find, tokenizer):
    """Return the Teachers of a run that is resumed, or None. Raises CharlmError."""
    if not (recorded := description.distillation):
        return None
    place = sources, find, recorded.config, description.model, tokenizer
    teachers = load_teachers(*place)
    check_same(teachers.distillation, recorded)
    return teachers


def learning_rate_notes(old, new, step):
    """Return a note, in a list, if a changed TrainConfig raises the learning rate at `step`."""
    before = old.learning_rate * lr_scale(min(step, old.steps - 1), old)
    after = new.learning_rate * lr_scale(min(step, new.steps - 1), new)
    if step == 0 or after <= before:
        return []
    return [
        f"the learning rate rises from {before:.2g} to {after:.2g}, with the changed options: the"
        " loss may rise, too, before it falls"
    ]


def changed_description(directory, description, args, step):
    """Return a saved run's Description with the training options in `args`.

    Raises CharlmError for an option that cannot change after `step` steps.
    """
    if args.preset and not is_of_preset(description, args.preset):
        raise CharlmError(
            f"{directory} is no run of {args.preset}, and keeps its model when resumed; leave"
            " --preset out, or train another --name"
        )
    given = pick(vars(args), DistillConfig)
    taught = vars(description.distillation.config) if description.distillation else {}
    if args.teacher or any(taught.get(name) != value for name, value in given.items()):
        raise CharlmError(f"the teachers of {directory} cannot change; train another --name")
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


def is_of_preset(description, preset):
    """Return whether a run may be one of a preset; older runs recorded none."""
    if description.preset:
        return description.preset == preset
    return description.kind == PRESETS[preset].kind


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
