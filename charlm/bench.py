"""`python -m charlm.bench`: side-by-side measurements, printed as the README's tables."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch

import charlm
from charlm import home, runlog
from charlm.baselines import LECTURE_LOSS as TARGET
from charlm.config import PRESETS, CharlmError
from charlm.data import load_corpus
from charlm.lecture import LectureGPT, lecture_step
from charlm.process import start_aside
from charlm.tokenizer import CharTokenizer

REPOSITORY = Path(__file__).parent.parent
CHECKPOINTS = REPOSITORY / "checkpoints"
LECTURE_STEPS = 9000  # that lead the lecture to its loss, the target here
WHOLE = "fast"  # the preset that is trained to its end; others take some steps
BUNDLED = {"gpt": "gpt", "best": "shakespeare"}  # where the whole run of a preset is kept
ABLATIONS = {  # of the preset `fast`: what is taken away, and the flags that do it
    "nothing": "",
    "nothing, another seed": "--seed 1",
    "short convolutions (all blocks attend)": "--attention-every 1",
    "attention (all blocks convolve)": "--attention-every 9",
    "windows in epochs (drawn at random)": "--order random",
    "rotary positions (learned)": "--position learned",
    "RMSNorm (LayerNorm)": "--norm layernorm",
    "norm after the embedding": "--no-embd-norm",
    "normalised queries and keys": "--no-qk-norm",
    "ReLU squared (ReLU)": "--activation relu",
    "zero init of output layers": "--no-zero-init",
    "Muon (AdamW alone)": "--optimizer adamw",
    "no biases (biases)": "--bias",
    "decay over the whole run (last half)": "--decay-fraction 0.5",
    "small batches (twice the batch, half the steps)": "--batch-size 16 --steps 270",
    "larger batches (half the batch, twice the steps)": "--batch-size 4 --steps 1080",
    "long windows (128 characters)": "--block-size 128 --batch-size 16",
    "longer windows (512 characters)": "--block-size 512 --batch-size 4",
    "eager execution (compiled, not counting the compiling)": "--compile on",
    "bf16 autocast, where the hardware has it (float32)": "--precision fp32",
}


class BenchError(CharlmError):
    """A measurement that did not come about."""


@dataclass(frozen=True)
class Cost:
    """What training in one way takes. `seconds` and `chars`: to TARGET, None if not reached."""

    name: str
    step_seconds: float
    step_chars: int
    memory: int  # bytes, at its peak
    seconds: float | None
    chars: int | None


def main():
    parser = argparse.ArgumentParser(prog="python -m charlm.bench", description=__doc__)
    what = parser.add_subparsers(dest="what", required=True)
    train = what.add_parser("train", help="training: the lecture's recipe and the presets")
    lecture = what.add_parser("lecture", help="seconds of each of some steps of the lecture's")
    for command in (train, lecture):
        command.add_argument("--data", metavar="FILE", help="the text (default: as for train.py)")
        command.add_argument("--steps", type=int, default=20, help="steps to time (default: 20)")
    train.add_argument("--presets", nargs="+", choices=PRESETS, default=list(PRESETS))
    ablation = what.add_parser("ablation", help="what each ingredient of `fast` buys")
    ablation.add_argument("--data", metavar="FILE", help="the text (default: as for train.py)")
    beside = what.add_parser("beside", help="writing and training at once, as on the page")
    beside.add_argument("--data", metavar="FILE", help="the text (default: as for train.py)")
    args = parser.parse_args()
    try:
        if args.what == "lecture":
            print(json.dumps(lecture_seconds(args.data, args.steps)))
        elif args.what == "ablation":
            bench_ablation(args.data, ABLATIONS)
        elif args.what == "beside":
            bench_beside(args.data)
        else:
            bench_train(args.data, args.steps, args.presets)
    except CharlmError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    return 0


def lecture_seconds(data, steps):
    """Seconds of each of `steps` steps of the lecture's recipe, after one to warm up."""
    preset, corpus = PRESETS["gpt"], load_corpus(data)
    ids, _ = corpus.split(CharTokenizer.fit(corpus.text))
    model = LectureGPT(preset.model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=preset.training.learning_rate)
    seconds = []
    for _ in range(steps + 1):
        began = time.perf_counter()
        lecture_step(model, optimizer, ids, preset.training, preset.model.block_size)
        seconds.append(time.perf_counter() - began)
    return seconds[1:]


def bench_train(data, steps, presets):
    """Measure and print. The lecture's recipe is timed before and after, as machines vary."""
    half, flags = (steps + 1) // 2, ["--data", data] if data else []
    lecture = [sys.executable, "-m", "charlm.bench", "lecture", *flags, "--steps", str(half)]
    before, memory = measured(lecture)[1:]
    costs = [preset_cost(preset, flags, steps) for preset in presets]
    after = measured(lecture)[1]
    step_seconds = median(json.loads(before) + json.loads(after))
    chars = chars_of(PRESETS["gpt"])
    total = LECTURE_STEPS * step_seconds, LECTURE_STEPS * chars
    base = Cost("the lecture's code", step_seconds, chars, memory, *total)
    for line in table([base, *costs]):
        print(line)


def preset_cost(name, flags, steps):
    """The Cost of a preset: of its whole run, or of some steps and its bundled run's log."""
    if name != WHOLE:
        flags = [*flags, "--steps", str(steps), "--eval-interval", str(steps), "--compile", "on"]
        flags += ["--log-interval", "1", "--eval-iters", "1", "--sample-chars", "0"]
    events, seconds, memory = trained(name, flags)
    chars = chars_of(PRESETS[name])
    speeds = [e["chars_per_second"] for e in events if e["event"] == "step"]
    step_seconds, needed = chars / median(speeds), steps_to_target(events)
    if name != WHOLE:
        needed = steps_to_target(bundled_run(name))
        seconds = needed and needed * step_seconds
    seconds = seconds if needed else None
    return Cost(name, step_seconds, chars, memory, seconds, needed and needed * chars)


def bench_ablation(data, ablations):
    """Train `fast` without one ingredient after the other, on as many characters; print a table."""
    data = ["--data", data] if data else []
    print("| `fast` without | flags | validation loss | difference | seconds |", flush=True)
    print("|---|---|---|---|---|")
    whole = None
    for name, flags in ablations.items():
        quiet = ["--eval-interval", "100000", "--sample-chars", "0"]
        try:
            events, _, _ = trained(WHOLE, [*data, *quiet, *flags.split()])
        except BenchError:  # it diverged: that, too, is a result
            print(f"| {name} | `{flags}` | failed | | |", flush=True)
            continue
        loss = events[-3]["val_loss"]  # then come save and end
        began = next(e["time"] for e in events if e["event"] == "save")  # first losses known
        whole = loss if whole is None else whole
        shown = f"`{flags}`" if flags else ""
        seconds = f"{events[-1]['time'] - began:.0f}"
        print(f"| {name} | {shown} | {loss:.4f} | {loss - whole:+.4f} | {seconds} |", flush=True)


def bench_beside(data, flags=(), rounds=16):
    """Measure and print how much a run started as on the page and a writing model slow each other.

    `flags`: of the run, besides; `rounds`: of 300 characters each, alone and beside the run.
    """
    torch.set_num_threads(1)  # as the page does
    model, tokenizer = charlm.load(CHECKPOINTS / BUNDLED["best"])
    alone = writing_speeds(model, tokenizer, rounds)
    directory = home.checkpoints(REPOSITORY) / f"bench-{WHOLE}-{os.getpid()}"
    command = [sys.executable, str(REPOSITORY / "train.py"), f"--name={directory.name}"]
    command += ["--eval-interval=100000", "--sample-chars=0", *([f"--data={data}"] if data else [])]
    with tempfile.TemporaryDirectory() as folder:
        process = start_aside([*command, *flags], Path(folder) / "output")
        try:
            trains, cursor = training_speed(process, directory, 0)
            trains, cursor = training_speed(process, directory, cursor)  # the first warmed it up
            beside = writing_speeds(model, tokenizer, rounds)
            trains_beside, _ = training_speed(process, directory, cursor, least=1)
        finally:
            process.kill()
            process.wait()
            shutil.rmtree(directory, ignore_errors=True)
    alone += writing_speeds(model, tokenizer, rounds)  # after it, too, as machines vary
    print("| characters a second | alone | beside the other | ratio |\n|---|---|---|---|")
    writes = BUNDLED["best"] + " writes", median(alone), median(beside)
    rows = writes, (WHOLE + " trains", trains, trains_beside)
    for name, before, after in rows:
        print(f"| {name} | {before:,.0f} | {after:,.0f} | {after / before:.2f} |")


def writing_speeds(model, tokenizer, rounds):
    """Characters a second in each of some rounds."""
    speeds = []
    for seed in range(rounds):
        began = time.perf_counter()
        charlm.generate(model, tokenizer, "ROMEO:\n", 300, seed=seed)
        speeds.append(300 / (time.perf_counter() - began))
    return speeds


def training_speed(process, directory, cursor, least=8):
    """Characters a second since a cursor, once the log tells of `least` times; and the new cursor.

    Raises BenchError if the process ends before.
    """
    while True:
        alive = process.poll() is None
        log = directory / runlog.FILE
        events, end = runlog.read(directory, cursor) if log.exists() else ([], cursor)
        speeds = [event["chars_per_second"] for event in events if event["event"] == "step"]
        if len(speeds) >= least:
            return median(speeds), end
        if not alive:
            raise BenchError(f"the run ended too soon, with status {process.returncode}")
        time.sleep(0.2)


def trained(preset, flags):
    """Train a preset in a process of its own; its events, seconds and peak memory."""
    directory = home.checkpoints(REPOSITORY) / f"bench-{preset}-{os.getpid()}"
    command = [sys.executable, str(REPOSITORY / "train.py"), "--preset", preset, *flags]
    try:
        seconds, _, memory = measured([*command, "--name", directory.name])
        return runlog.read(directory)[0], seconds, memory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def bundled_run(name):
    """The events of the whole run of a preset as it is now; none where that is not kept."""
    directory, preset = CHECKPOINTS / BUNDLED.get(name, name), PRESETS[name]
    events = runlog.read(directory)[0] if (directory / runlog.FILE).exists() else []
    made_by = [
        {"kind": preset.kind, "model": vars(preset.model), "training": vars(preset.training)}
    ]
    return events if [e["config"] for e in events if e["event"] == "start"] == made_by else []


def chars_of(preset):
    """Characters in a step."""
    return preset.training.batch_size * preset.model.block_size


def steps_to_target(events):
    """The step of the first evaluation at or below TARGET; None if there is none."""
    reached = (e["step"] for e in events if e["event"] == "eval" and e["val_loss"] <= TARGET)
    return next(reached, None)


def measured(command):
    """Run a command with nothing compiled before; its seconds, output and peak memory in bytes.

    Linux counts what the starting process held, so a peak is never below this process's own.
    """
    with tempfile.TemporaryDirectory() as cache, tempfile.TemporaryFile("w+") as told:
        began = time.perf_counter()
        # torch keeps what it compiled, and the headers it needs for that, below both
        environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": cache, "TMPDIR": cache}
        process = subprocess.Popen(command, stdout=told, env=environment, cwd=REPOSITORY)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise BenchError(f"{' '.join(command)} ended with status {process.returncode}")
        told.seek(0)
        return seconds, told.read(), usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def table(costs):
    """Lines of Markdown; the first cost is what the others are compared with."""
    yield f"| recipe | s/step | characters/s | to {TARGET} | characters | ratio | peak memory |"
    yield "|---|---|---|---|---|---|---|"
    for cost in costs:
        speed = cost.step_chars / cost.step_seconds
        reached = ["not reached", "", ""]
        if cost.seconds is not None:
            ratio = costs[0].seconds / cost.seconds
            reached = [f"{cost.seconds:,.0f} s", f"{cost.chars / 1e6:.2f} M", f"{ratio:.1f}"]
        cells = [cost.name, f"{cost.step_seconds:.3f}", f"{speed:,.0f}", *reached]
        yield "| " + " | ".join([*cells, f"{cost.memory / 1e6:,.0f} MB"]) + " |"


if __name__ == "__main__":
    sys.exit(main())
