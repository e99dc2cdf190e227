"""Train a character-level language model: `python train.py --preset fast`.

Several processes share a run: `torchrun --nproc-per-node 2 train.py --preset fast`.
"""

import argparse
import contextlib
import dataclasses
import json
import signal
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import torch

import charlm
from charlm import checkpoint, distributed, runlog, runs
from charlm.config import PRESETS, CharlmError, GPTConfig, TrainConfig, pick
from charlm.data import Corpus, load_corpus
from charlm.events import Sample
from charlm.screen import Screen
from charlm.tokenizer import CharTokenizer
from charlm.training import Trainer, TrainerState

CHECKPOINTS = Path(__file__).parent / "checkpoints"
FROM_THE_TEXT = {"vocab_size"}  # the one option that nobody sets


@dataclass(frozen=True)
class Plan:
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
    plan: Plan
    trainer: Trainer
    data_path: str | None
    announced: dict | None = None  # the start event that the log ends with, of a resumed run


def main():
    """Train as the command line says; returns the exit status."""
    args = parse_arguments()
    sys.stdout.reconfigure(errors="replace")  # a terminal may lack letters that a text has
    with distributed.join() as world:
        return lead(args, world) if world.rank == 0 else follow(args, world)


def lead(args, world):
    """Prepare the run and train, as the process that writes; returns the exit status."""
    try:
        run = None if args.resume else new_run(args, world)
        directory = find_run(args) if args.resume else run.directory
        with runlog.RunLog(directory) as log:
            run = run or resume_run(args, directory, log, world)
            if args.time_limit is not None:
                limit_time(run.trainer, args.time_limit)
            return train(run, log)
    except CharlmError as error:
        print(f"train.py: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        print(f"train.py: cannot write{where}: {error.strerror}", file=sys.stderr)
        return 1


def follow(args, world):
    """Train along with the process that writes; returns the exit status."""
    try:
        trainer = world.share().trainer(choose_device(args.device), world)
        heed_signals(trainer)
        *_, last = trainer.events()
    except (CharlmError, MemoryError, RuntimeError) as error:
        if not (message := explain(error)):
            raise
        print(f"train.py, process {world.rank}: {message}", file=sys.stderr)
        return 1
    return 1 if last.reason == "failed" else 0


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
    add(
        "--time-limit",
        metavar="MINUTES",
        type=minutes,
        help="save and end after so long, as Ctrl-C would (default: none)",
    )
    add_option_flags(parser.add_argument_group("model"), GPTConfig)
    add_option_flags(parser.add_argument_group("training"), TrainConfig)
    return parser.parse_args()


def minutes(text):
    """A length of time, as argparse wants it."""
    if not 0 < float(text) < 1e6:
        raise ValueError
    return float(text)


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


def new_run(args, world):
    """A fresh model directory and a trainer at step 0; what `train` takes."""
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
    plan = Plan(description, corpus, tokenizer)
    try:
        trainer = plan.trainer(device, world)
    except RuntimeError:  # what torch raises when memory is refused
        raise CharlmError(f"a model of this size does not fit in memory: {model_config}") from None
    directory = CHECKPOINTS / name_of(args, free_name)
    data_path = args.data and str(Path(args.data).resolve())  # to be found from anywhere
    try:
        checkpoint.create(directory, description, trainer.model, tokenizer, data_path)
    except FileExistsError:
        raise CharlmError(
            f"{directory} exists; go on with it by --resume, or choose another --name"
        ) from None
    return Run(directory, plan, trainer, data_path)


def find_run(args):
    """The directory of the run to resume."""
    directory = CHECKPOINTS / name_of(args, newest_name)
    if not checkpoint.is_model_directory(directory):
        raise CharlmError(f"there is no run {directory} to resume")
    return directory


def resume_run(args, directory, log, world):
    """A trainer where the run in `directory` was saved last; cuts its log back to there."""
    checkpoint.sweep(directory)
    old, progress = checkpoint.load_description(directory), checkpoint.load_progress(directory)
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
    plan = Plan(description, corpus, tokenizer, progress.state)
    trainer = plan.trainer(device, world)
    log.cut_back(progress.log_size)
    starts = [event for event in runlog.read(directory)[0] if event["event"] == "start"]
    if training != old.training:
        checkpoint.save_description(directory, description)
    return Run(directory, plan, trainer, data_path, starts[-1] if starts else None)


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


def name_of(args, default):
    """The run's name, given or by `default(preset)`."""
    name = default(args.preset) if args.name is None else args.name
    runs.check_name(name)
    return name


def free_name(preset):
    return runs.free_name(preset, runs.named_after(CHECKPOINTS, preset))


def newest_name(preset):
    names = [n for n in runs.list_runs(CHECKPOINTS) if n in runs.named_after(CHECKPOINTS, preset)]
    if not names:
        raise CharlmError(f"there is no run of {preset} to resume; give its --name")
    return names[0]


def limit_time(trainer, minutes):
    """Have the run save and end after so many minutes from now."""
    why = f"the time limit of {minutes:g} minutes was reached"
    timer = threading.Timer(60 * minutes, trainer.stop, [why])
    timer.daemon = True
    timer.start()


def train(run, log):
    """Train to the end, keeping what the events tell; returns the exit status."""
    trainer = run.trainer
    heed_signals(trainer)
    with Screen(trainer, run.directory) as screen:

        def tell(event):
            if not is_announced(event, run.announced):
                log.append(event)
            screen.show(event)

        try:
            trainer.world.share(run.plan)
            for event in trainer.events():
                tell(event)
                if event.event == "eval" and trainer.config.sample_chars:
                    tell(write_sample(run, event.step))
                elif event.event == "save":
                    checkpoint.save_progress(run.directory, trainer, log, run.data_path)
        except (OSError, MemoryError, RuntimeError, CharlmError) as error:
            if not (message := explain(error)):
                raise
            event = trainer.failed(message)
            screen.show(event)
            with contextlib.suppress(OSError):  # a full disk may still have room for a line
                log.append(event)
    return 1 if event.reason == "failed" else 0


def is_announced(event, start):
    """Whether `event` is the start that a resumed run's log holds already."""
    if event.event != "start" or start is None:
        return False
    told = json.loads(json.dumps(dataclasses.asdict(event)))
    return all(told[name] == start.get(name) for name in told.keys() - {"step", "time", "notes"})


def explain(error):
    """What stopped a run, if it is the machine's doing; None for what is a fault of ours."""
    if isinstance(error, OSError):
        return f"cannot write: {error.strerror}; what was saved before is whole"
    if isinstance(error, distributed.ProcessLost):
        return f"{error}; go on from what was saved with --resume"
    if isinstance(error, CharlmError):
        return str(error)
    if isinstance(error, MemoryError) or "memory" in str(error):
        return "out of memory; try a smaller batch_size or model"
    return None


def heed_signals(trainer):
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: stop_gently(trainer, number))


def stop_gently(trainer, number):
    """Let the step finish and save; a second signal of the kind ends the process at once."""
    trainer.stop()
    signal.signal(number, signal.SIG_DFL)


def write_sample(run, step):
    """A Sample event: what the model writes from nothing, the same way at each evaluation."""
    config, model = run.trainer.config, run.trainer.kept_model
    text = charlm.generate(model, run.plan.tokenizer, "", config.sample_chars, seed=config.seed)
    return Sample(step, round(run.trainer.elapsed, 3), text)


if __name__ == "__main__":
    sys.exit(main())
