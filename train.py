"""Train a character-level language model: `python train.py --preset fast`.

Several processes share a run: `torchrun --nproc-per-node 2 train.py --preset fast`.
"""

import argparse
import contextlib
import dataclasses
import itertools
import json
import signal
import sys
import threading
from pathlib import Path

import charlm
from charlm.config import GPTConfig, TrainConfig, pick
from charlm.errors import CharlmError
from charlm.hub.client import HubError, check_login
from charlm.hub.push import Pusher, push
from charlm.presets import PRESETS
from charlm.runs import log as runlog
from charlm.runs import paths as home
from charlm.runs import resume
from charlm.runs import status as runs
from charlm.runs.setup import choose_device, find_run, new_run, resume_run
from charlm.training import distributed
from charlm.training.events import Sample
from charlm.training.terminal import TerminalProgress

FROM_THE_TEXT = {"vocab_size"}  # the one option that nobody sets


def main():
    """Train as the command line says; returns the exit status."""
    args = parse_arguments()
    sys.stdout.reconfigure(errors="replace")  # a terminal may lack letters that a text has
    with distributed.join() as world:
        return lead(args, world) if world.rank == 0 else follow(args, world)


def lead(args, world):
    """Prepare the run and train, as the process that writes; returns the exit status."""
    try:
        if args.push is not None:
            check_login(args.push)
        checkpoints = home.checkpoints(Path(__file__).parent)
        directory = find_run(checkpoints, args) if args.resume else None
        if args.push is not None and directory and is_over(directory, args):
            print(f"pushed to {push(directory, args.push, args.private)}")
            return 0
        run = None if args.resume else new_run(checkpoints, args, world)
        with runlog.RunLog(directory or run.directory) as log:
            run = run or resume_run(args, directory, log, world)
            if args.time_limit is not None:
                limit_time(run.trainer, args.time_limit)
            status = train(run, log, args)
        if args.push is not None and status == 0:
            publish(run.directory, args)
        return status
    except CharlmError as error:
        print(f"train.py: {error}", file=sys.stderr)
        return 1 if isinstance(error, HubError) else 2
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        print(f"train.py: cannot write{where}: {error.strerror}", file=sys.stderr)
        return 1


def is_over(directory, args):
    """Whether a run has nothing left to do, being finished or kept without its resume state."""
    changed = pick(vars(args), TrainConfig) | pick(vars(args), GPTConfig)
    finished = runs.status(directory).state == "finished"
    return (finished and not changed) or not runs.can_resume(directory)


def publish(directory, args):
    """Push a run that is over, in sight; what goes wrong is told, and the model is kept."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        print(f"pushed to {push(directory, args.push, args.private)}")
    except (CharlmError, OSError, KeyboardInterrupt) as error:
        print(f"train.py: warning: {error or 'interrupted'}; not pushed", file=sys.stderr)
        print(f"push it with: python train.py --resume --name {directory.name} --push {args.push}")


def follow(args, world):
    """Train along with the process that writes; returns the exit status."""
    try:
        trainer = world.broadcast().trainer(choose_device(args.device), world)
        handle_signals(trainer)
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
    add(
        "--push",
        metavar="REPO_ID",
        nargs="?",
        const="",
        help="push the model to the Hugging Face Hub when it is over (default: user and run)",
    )
    add("--private", action="store_true", default=None, help="make that repository private")
    add(
        "--push-every",
        metavar="N",
        type=int,
        default=0,
        help="push at every Nth evaluation, too, while it goes on",
    )
    add_option_flags(parser.add_argument_group("model"), GPTConfig)
    add_option_flags(parser.add_argument_group("training"), TrainConfig)
    args = parser.parse_args()
    if args.push is None and (args.private or args.push_every):
        parser.error("--private and --push-every say how to --push; give that, too")
    if args.push_every < 0:
        parser.error("--push-every must be 0 or more")
    return args


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


def limit_time(trainer, minutes):
    """Have the run save and end after so many minutes from now."""
    why = f"the time limit of {minutes:g} minutes was reached"
    timer = threading.Timer(60 * minutes, trainer.stop, [why])
    timer.daemon = True
    timer.start()


def train(run, log, args):
    """Train to the end, keeping what the events tell; returns the exit status."""
    trainer = run.trainer
    handle_signals(trainer)
    with TerminalProgress(trainer, run.directory) as screen, contextlib.ExitStack() as stack:
        ask_to_push = pushes(stack, run.directory, args, screen) if args.push_every else None

        def tell(event):
            if not is_announced(event, run.announced):
                log.append(event)
            screen.show(event)

        try:
            trainer.world.broadcast(run.setup)
            for event in trainer.events():
                tell(event)
                if event.event == "eval" and trainer.config.sample_chars:
                    tell(write_sample(run, event.step))
                elif event.event == "save":
                    resume.save_progress(run.directory, trainer, log, run.data_path)
                    if ask_to_push:
                        ask_to_push(event.step)
        except (OSError, MemoryError, RuntimeError, CharlmError) as error:
            if not (message := explain(error)):
                raise
            event = trainer.failed(message)
            screen.show(event)
            with contextlib.suppress(OSError):  # a full disk may still have room for a line
                log.append(event)
    return 1 if event.reason == "failed" else 0


def pushes(stack, directory, args, screen):
    """A function of the step, to be called at each save: pushes in the background at every Nth."""

    def warn(message):
        screen.say(f"warning: {message}")

    pusher = stack.enter_context(Pusher(directory, args.push, args.private, warn))
    saves = itertools.count(1)

    def ask(step):
        if next(saves) % args.push_every == 0:
            pusher.ask(f"Step {step}")

    return ask


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


def handle_signals(trainer):
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: request_stop(trainer, number))


def request_stop(trainer, number):
    """Let the step finish and save; a second signal of the kind ends the process at once."""
    trainer.stop()
    signal.signal(number, signal.SIG_DFL)


def write_sample(run, step):
    """A Sample event: what the model writes from nothing, the same way at each evaluation."""
    config, model = run.trainer.config, run.trainer.kept_model
    text = charlm.generate(model, run.setup.tokenizer, "", config.sample_chars, seed=config.seed)
    return Sample(step, round(run.trainer.elapsed, 3), text)


if __name__ == "__main__":
    sys.exit(main())
