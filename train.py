"""Train a character-level language model: `python train.py --preset fast`.

Several processes can train one run: `torchrun --nproc-per-node 2 train.py --preset fast`.
"""

import argparse
import contextlib
import os
import signal
import sys
from pathlib import Path

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until training starts, Ctrl-C ends it quietly

import charlm
from charlm.config import DistillConfig, GPTConfig, TrainConfig, pick
from charlm.console import protect_output, warn_once
from charlm.data.text_features import TextFeatures
from charlm.errors import CharlmError, explain_os_error
from charlm.hub.background_push import BackgroundPusher
from charlm.hub.client import HubError, check_login
from charlm.hub.publish import publish
from charlm.hub.source import find_model
from charlm.paths import checkpoints_directory
from charlm.presets import DEFAULT_PRESET, PRESETS
from charlm.runs.directory import keep_snapshot, save_run
from charlm.runs.failure import explain_failure
from charlm.runs.flags import add_option_flags, minutes, not_empty
from charlm.runs.log import RunLog
from charlm.runs.setup import find_run, is_over, new_run, resume_run
from charlm.runs.teachers import sources_of
from charlm.runs.worker import run_worker
from charlm.runs.written_text import prepare_teachers
from charlm.training.distributed import ProcessLost, join
from charlm.training.events import Sample
from charlm.training.signals import stop_after, stop_on_signals
from charlm.training.terminal import TerminalProgress


def main():
    """Train as the command line requests; returns the exit status."""
    protect_output()
    args = parse_arguments()
    try:
        with join() as (world, note):
            if note:
                warn_once(note)
            if world.rank > 0:
                return run_worker(world, args.device)
            return run_first_process(args, world)
    except ProcessLost as error:
        print(f"train.py: {error}", file=sys.stderr)
        return 1
    except CharlmError as error:
        print(f"train.py: {error}", file=sys.stderr)
        return 1 if isinstance(error, HubError) else 2
    except OSError as error:
        print(f"train.py: {explain_os_error(error)}", file=sys.stderr)
        return 1
    except (MemoryError, RuntimeError) as error:
        if not (message := explain_failure(error)):
            raise
        print(f"train.py: {message}", file=sys.stderr)
        return 1


def run_first_process(args, world):
    """Make or resume a run, train it and push it; returns the exit status."""
    if args.push is not None:
        check_login(args.push)
    checkpoints = checkpoints_directory(Path(__file__).parent)
    directory = find_run(checkpoints, args) if args.resume else None
    status = 0
    if args.push is None or directory is None or not is_over(directory, args):
        run = None if args.resume else new_run(checkpoints, args, world, find_model)
        directory = directory or run.directory
        with RunLog(directory) as log:
            run = run or resume_run(args, directory, log, world, find_model)
            if args.time_limit is not None:
                stop_after(run.trainer, args.time_limit)
            status = train(run, log, args)
    if args.push is not None and status == 0:
        status = 0 if publish(directory, args.push, args.private, args.push_snapshots) else 1
    return status


def train(run, log, args):
    """Train to the end, logging, showing and saving the run; returns the exit status."""
    trainer = run.trainer
    stop_on_signals(trainer)
    terminal = TerminalProgress(trainer, run.directory)
    repo = args.push, args.private, args.push_snapshots, args.push_every
    with terminal, BackgroundPusher(run.directory, *repo, terminal.print_line) as pusher:
        try:
            for event in prepare_teachers(run):
                terminal.show(event)
            trainer.world.broadcast(run.setup)
            for event in events_and_samples(run):
                if event.event == "snapshot":
                    event = keep_snapshot(run.directory, trainer.eval_model, event)
                    if event.message:  # training goes on without them
                        trainer.snapshot_steps.clear()
                if event.event != "evaluating" and not run.is_logged(event):
                    log.append(event)
                terminal.show(event)
                if event.event == "save":
                    save_run(run.directory, trainer, log, run.data_path, run.teachers)
                    pusher.after_save(event.step)
        except (OSError, MemoryError, RuntimeError, CharlmError) as error:
            if not (message := explain_failure(error)):
                raise
            message = message.replace(f"{run.directory}{os.sep}", "")  # logs may be published
            event = trainer.failure_event(message)
            terminal.show(event)
            with contextlib.suppress(OSError):  # a full disk may still have room for a line
                log.append(event)
    return 1 if event.reason == "failed" else 0


def events_and_samples(run):
    """Yield the trainer's events, with a Sample after each evaluation and snapshot.

    Every sample continues the empty prompt with the run's seed, so that samples can be compared.
    """
    trainer, config, features = run.trainer, run.trainer.config, None
    for event in trainer.events():
        yield event
        due = event.event == "eval" or (event.event == "snapshot" and not trainer.evaluated)
        if due and config.sample_chars:
            features = features or TextFeatures(run.setup.corpus.training_part)
            model, tokenizer = trainer.eval_model, run.setup.tokenizer
            text = charlm.generate(model, tokenizer, "", config.sample_chars, seed=config.seed)
            yield Sample(event.step, round(trainer.elapsed, 3), text, **features.compare(text))


def parse_arguments():
    presets = "\n".join(f"  {name:8} {preset.note}" for name, preset in PRESETS.items())
    parser = argparse.ArgumentParser(
        description=f"{__doc__}\n\npresets:\n{presets}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    preset_help = f"model and training (default: {DEFAULT_PRESET})"
    add("--preset", choices=PRESETS, help=preset_help)
    name_help = "directory in checkpoints/ (default: the preset's name, numbered if taken)"
    add("--name", type=not_empty, help=name_help)
    data_help = "UTF-8 text to train on (default: $CHARLM_DATA, else Tiny Shakespeare)"
    add("--data", metavar="FILE", type=not_empty, help=data_help)
    resume_help = "continue the run --name, or the preset's newest"
    add("--resume", action="store_true", help=resume_help)
    teacher_help = "models to learn from: directories or names on the Hub, separated by commas"
    add("--teacher", metavar="DIR[,DIR...]", type=sources_of, help=teacher_help)
    add("--device", default="auto", help="cpu, cuda, mps or auto, the best one (default: auto)")
    limit_help = "save and end after this time, as Ctrl-C would (default: none)"
    add("--time-limit", metavar="MINUTES", type=minutes, help=limit_help)
    push_help = "push the model to the Hugging Face Hub at the end (default: user and run)"
    add("--push", metavar="REPO_ID", nargs="?", const=(), type=not_empty, help=push_help)
    add("--private", action="store_true", default=None, help="make that repository private")
    every_help = "push at every Nth evaluation, too, while training"
    snapshots_help = "push the run's snapshots, too; without it, the repository has none"
    add("--push-snapshots", action="store_true", help=snapshots_help)
    add("--push-every", metavar="N", type=int, default=0, help=every_help)
    add_option_flags(parser.add_argument_group("model"), GPTConfig)
    add_option_flags(parser.add_argument_group("training"), TrainConfig)
    add_option_flags(parser.add_argument_group("teachers"), DistillConfig)
    args = parser.parse_args()
    args.push = args.push or ("" if args.push == () else None)  # "": the user's name and the run's
    if message := contradiction(args):
        parser.error(message)
    return args


def contradiction(args):
    """Return why arguments do not belong together; "" if they do."""
    if args.push is None and (args.private or args.push_every or args.push_snapshots):
        return "--private, --push-every and --push-snapshots say how to --push; give that, too"
    if args.push_every < 0:
        return "--push-every must be 0 or more"
    if (given := pick(vars(args), DistillConfig)) and not (args.teacher or args.resume):
        return f"--{min(given).replace('_', '-')} says how a --teacher teaches; give that, too"
    return ""


if __name__ == "__main__":
    sys.exit(main())
