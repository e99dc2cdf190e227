"""Train a character-level language model: `python train.py --preset fast`."""

import argparse
import contextlib
import dataclasses
import itertools
import re
import signal
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import tqdm

import charlm
from charlm import checkpoint, runlog
from charlm.config import PRESETS, CharlmError, GPTConfig, TrainConfig
from charlm.data import load_corpus
from charlm.tokenizer import CharTokenizer
from charlm.training import Sample, Trainer

CHECKPOINTS = Path(__file__).parent / "checkpoints"
FROM_THE_TEXT = {"vocab_size"}  # the one option that nobody sets
PLAIN_LINES = 20  # progress lines in a run where there is no terminal to draw a bar on


@dataclass(frozen=True)
class Run:
    """What training needs besides the trainer: where things go and what is there already."""

    directory: Path
    trainer: Trainer
    tokenizer: CharTokenizer
    data_path: str | None
    log_size: int = 0  # bytes of the log to keep
    announced: bool = False  # whether the log has this run's start already


def main():
    """Train as the command line says; returns the exit status."""
    try:
        args = parse_arguments()
        run = resume_run(args) if args.resume else new_run(args)
        return train(run)
    except CharlmError as error:
        print(f"train.py: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(
            f"train.py: cannot write {error.filename or 'the run'}: {error.strerror}; what was"
            " saved before is whole, --resume goes on from it",
            file=sys.stderr,
        )
        return 1


def parse_arguments():
    presets = "\n".join(f"  {name:8} {preset.note}" for name, preset in PRESETS.items())
    parser = argparse.ArgumentParser(
        description=f"{__doc__}\n\npresets:\n{presets}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--preset", choices=PRESETS, default="fast", help="what to start from (default: fast)")
    add(
        "--name",
        help="directory below checkpoints/ (default: the preset's name, numbered if taken)",
    )
    add(
        "--data",
        metavar="FILE",
        help="UTF-8 text to learn (default: $CHARLM_DATA, else Tiny Shakespeare)",
    )
    add("--resume", action="store_true", help="go on with the run --name, or the preset's newest")
    add(
        "--device", default="auto", help="cpu, cuda, mps or auto, the best there is (default: auto)"
    )
    add_option_flags(parser.add_argument_group("model"), GPTConfig)
    add_option_flags(parser.add_argument_group("training"), TrainConfig)
    return parser.parse_args()


def add_option_flags(group, config_class):
    """A flag for every option of a config; one that is not given leaves no trace."""
    for f in dataclasses.fields(config_class):
        if f.name in FROM_THE_TEXT:
            continue
        names = [f"--{f.name}"]
        if "_" in f.name:
            names.insert(0, "--" + f.name.replace("_", "-"))
        if f.type is bool:
            kind = {"action": argparse.BooleanOptionalAction}
        elif choices := f.metadata["choices"]:
            kind = {"choices": choices}
        else:
            kind = {"type": f.type, "metavar": f.type.__name__.upper()}
        group.add_argument(*names, default=argparse.SUPPRESS, help=f.metadata["note"], **kind)


def given(args, config_class):
    """The options of a config that were given on the command line."""
    names = {f.name for f in dataclasses.fields(config_class)}
    return {name: value for name, value in vars(args).items() if name in names}


def change(config, args, family):
    """`config` with the options given in `args`; `family` is the largest config they may be of."""
    changes = given(args, family)
    known = {f.name for f in dataclasses.fields(config)}
    if unknown := changes.keys() - known:
        raise CharlmError(f"this model has no option {', '.join(sorted(unknown))}")
    return dataclasses.replace(config, **changes)


def new_run(args):
    """A fresh model directory and a trainer at step 0; what `train` takes."""
    preset = PRESETS[args.preset]
    training = change(preset.training, args, TrainConfig)
    model_config = change(preset.model, args, GPTConfig)
    device = choose_device(args.device)
    corpus = load_corpus(args.data)
    corpus.check_room(model_config.block_size)
    tokenizer = CharTokenizer.fit(corpus.text)
    model_config = dataclasses.replace(model_config, vocab_size=tokenizer.vocab_size)
    data = {"name": corpus.name, "sha256": corpus.sha256}
    description = checkpoint.Description(preset.kind, model_config, training, data)
    try:
        model = description.build()
    except RuntimeError:  # what torch raises when memory is refused
        raise CharlmError(f"a model of this size does not fit in memory: {model_config}") from None
    trainer = Trainer(training, model, corpus, tokenizer, device=device)
    directory = CHECKPOINTS / (name_of(args, free_name))
    try:
        checkpoint.create(directory, description, model, tokenizer)
    except FileExistsError:
        raise CharlmError(
            f"{directory} exists; go on with it by --resume, or choose another --name"
        ) from None
    return Run(directory, trainer, tokenizer, args.data)


def resume_run(args):
    """An existing model directory and a trainer where it was saved last; what `train` takes."""
    directory = CHECKPOINTS / (name_of(args, newest_name))
    if not checkpoint.is_model_directory(directory):
        raise CharlmError(f"there is no run {directory} to resume")
    old = checkpoint.load_description(directory)
    training = change(old.training, args, TrainConfig)
    for fixed in ("optimizer", "ema_decay"):  # what the saved state was shaped by
        if getattr(training, fixed) != getattr(old.training, fixed):
            raise CharlmError(f"{fixed} of a run cannot change half-way; train another --name")
    if change(old.model, args, GPTConfig) != old.model:
        raise CharlmError(f"the model in {directory} has its shape already; train another --name")
    progress = checkpoint.load_progress(directory)
    data_path = args.data or (progress and progress.data_path)
    corpus = load_corpus(data_path)
    if corpus.sha256 != old.data["sha256"]:
        raise CharlmError(
            f"{directory} was trained on {old.data['name']}, another text: give it by --data"
        )
    tokenizer = checkpoint.load_tokenizer(directory)
    if training != old.training:
        checkpoint.save_description(directory, dataclasses.replace(old, training=training))
    device = choose_device(args.device)
    if progress is None:  # killed before its first save: as good as new
        return Run(
            directory,
            Trainer(training, old.build(), corpus, tokenizer, device=device),
            tokenizer,
            data_path,
        )
    trainer = Trainer(training, old.build(), corpus, tokenizer, progress.state, device)
    unchanged = training == old.training
    return Run(directory, trainer, tokenizer, data_path, progress.log_size, unchanged)


def choose_device(name):
    """The torch.device called `name`, or the best one there is for "auto"."""
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        name = next(kind for kind, there in available.items() if there)
    if not available.get(name.partition(":")[0]):
        here = ", ".join(kind for kind, there in available.items() if there)
        raise CharlmError(f"there is no device {name!r} on this machine; there is {here}")
    return torch.device(name)


def name_of(args, default):
    """The run's name, given or by `default(preset)`; nothing that is typed becomes a path."""
    name = default(args.preset) if args.name is None else args.name
    if not checkpoint.SLUG.fullmatch(name):
        raise CharlmError(
            f"{name!r} cannot be a run's name; use up to 64 of a-z, 0-9, '-', '_' and '.',"
            " a letter or digit first"
        )
    return name


def runs_of(preset):
    """The run directories named after a preset: `fast`, `fast-2`, ..."""
    return [p for p in CHECKPOINTS.glob(f"{preset}*") if re.fullmatch(preset + r"(-\d+)?", p.name)]


def free_name(preset):
    taken = {path.name for path in runs_of(preset)}
    names = itertools.chain([preset], (f"{preset}-{n}" for n in itertools.count(2)))
    return next(name for name in names if name not in taken)


def newest_name(preset):
    logs = [path / runlog.FILE for path in runs_of(preset) if (path / runlog.FILE).is_file()]
    if not logs:
        raise CharlmError(f"there is no run of {preset} to resume; give its --name")
    return max(logs, key=lambda log: log.stat().st_mtime).parent.name


def train(run):
    """Train to the end, keeping what the events tell; returns the exit status."""
    trainer = run.trainer
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: stop_gently(trainer, number))
    with runlog.RunLog(run.directory, run.log_size) as log, Screen(run) as screen:

        def tell(event):
            if not (event.event == "start" and run.announced):
                log.append(event)
            screen.show(event)

        try:
            for event in trainer.events():
                tell(event)
                if event.event == "eval" and trainer.config.sample_chars:
                    tell(write_sample(run, event.step))
                elif event.event == "save":
                    checkpoint.save_progress(run.directory, trainer, log, run.data_path)
        except OSError as error:
            with contextlib.suppress(OSError):  # a full disk may still have room for a line
                log.append(trainer.failed(f"cannot write: {error.strerror}"))
            raise
    return 1 if event.reason == "failed" else 0


def stop_gently(trainer, number):
    """Let the step finish and save; a second signal of the kind ends the process at once."""
    trainer.stop()
    signal.signal(number, signal.SIG_DFL)


def write_sample(run, step):
    """A Sample event: what the model writes from nothing, the same way at each evaluation."""
    config, model = run.trainer.config, run.trainer.kept_model
    text = charlm.generate(model, run.tokenizer, "", config.sample_chars, seed=config.seed)
    return Sample(step, round(run.trainer.elapsed, 3), text)


class Screen:
    """Shows events: a progress bar on a terminal, plain lines elsewhere."""

    def __init__(self, run):
        self.run, self.steps = run, run.trainer.config.steps

    def __enter__(self):
        print(f"training {self.run.directory}; Ctrl-C saves and ends", flush=True)
        self.bar = tqdm(
            total=self.steps,
            initial=self.run.trainer.step,
            desc="preparing",
            unit="step",
            disable=not sys.stderr.isatty(),
        )
        self.first = self.run.trainer.step, self.run.trainer.elapsed
        return self

    def __exit__(self, *_):
        self.bar.close()

    def show(self, event):
        getattr(self, f"show_{event.event}")(event)

    def show_start(self, event):
        self.first = event.step, event.time
        self.bar.set_description("training")
        self.say(
            f"{event.parameters:,} parameters, {event.data['name']}, {self.steps} steps on"
            f" {event.device} in {event.precision}{', compiled' if event.compiled else ''}"
        )
        for note in event.notes:
            self.say(note)

    def show_step(self, event):
        self.bar.set_postfix(loss=f"{event.loss:.3f}", refresh=False)
        self.bar.update(event.step - self.bar.n)
        interval = self.run.trainer.config.log_interval
        if self.bar.disable and event.step % max(interval, self.steps // PLAIN_LINES) < interval:
            step, elapsed = self.first
            left = (event.time - elapsed) / (event.step - step) * (self.steps - event.step)
            self.say(
                f"step {event.step}/{self.steps}: loss {event.loss:.4f},"
                f" {event.chars_per_second:,.0f} characters/s, {tqdm.format_interval(left)} left"
            )

    def show_eval(self, event):
        self.say(
            f"step {event.step}: train loss {event.train_loss:.4f}, val loss {event.val_loss:.4f}"
        )

    def show_sample(self, event):
        self.say("\n" + textwrap.indent(event.text.strip("\n"), "    ") + "\n")

    def show_save(self, event):
        self.bar.update(event.step - self.bar.n)

    def show_end(self, event):
        self.bar.close()
        seconds = tqdm.format_interval(event.time)
        line = f"{event.reason} at step {event.step} after {seconds}"
        line += f": {event.message}" if event.message else f"; the model is in {self.run.directory}"
        self.say(line)
        if event.reason != "finished":
            self.say(f"go on with: python train.py --resume --name {self.run.directory.name}")

    def say(self, line):
        self.bar.write(line)
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
