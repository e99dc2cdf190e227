"""Training cost: the lecture's code beside the presets, and `fast` without each ingredient."""

import json
import os
import shutil
import sys
import time
from dataclasses import dataclass
from statistics import median

import torch

from charlm.bench.lecture import LectureGPT, lecture_step
from charlm.bench.process import CHECKPOINTS, REPOSITORY, BenchError, measured
from charlm.config import TrainConfig
from charlm.data.baselines import LECTURE_LOSS as TARGET
from charlm.data.corpus import load_corpus
from charlm.data.tokenizer import CharTokenizer
from charlm.paths import checkpoints_directory
from charlm.presets import PRESETS
from charlm.runs.log import LOG_FILE, read_events

LECTURE_STEPS = 9000  # after which the lecture's run reaches TARGET
WHOLE = "fast"  # the preset trained to its end; of the others, some steps are timed
BUNDLED = {"gpt": "gpt", "best": "shakespeare"}  # preset -> its bundled run
ABLATIONS = {  # ingredient left out of `fast` (its replacement) -> flags
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
    "rows that learn equally fast (Muon without NorMuon)": "--muon-beta2 0",
    "no biases (biases)": "--bias",
    "decay over the whole run (last half)": "--decay-fraction 0.5",
    "small batches (twice the batch, half the steps)": "--batch-size 16 --steps 210",
    "larger batches (half the batch, twice the steps)": "--batch-size 4 --steps 840",
    "long windows (128 characters)": "--block-size 128 --batch-size 16",
    "longer windows (512 characters)": "--block-size 512 --batch-size 4",
    "eager execution (compiled, not counting the compiling)": "--compile on",
    "bf16 autocast, where the hardware has it (float32)": "--precision fp32",
}


@dataclass(frozen=True)
class Cost:
    """The cost of a recipe. `seconds` and `chars` are those to TARGET, None if not reached."""

    name: str
    step_seconds: float
    step_chars: int
    memory: int  # bytes, at its peak
    seconds: float | None
    chars: int | None


def lecture_seconds(data, steps):
    """Return the seconds of each of `steps` steps of the lecture's code, after a warm-up step."""
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
    """Print the table. The lecture's code is timed before and after, since machines vary."""
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
    """Return the Cost of a preset, from its whole run or from some steps and its bundled run."""
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
    """Train `fast` without each ingredient, on the same number of characters; print the table."""
    data = ["--data", data] if data else []
    print("| `fast` without | flags | validation loss | difference | seconds |", flush=True)
    print("|---|---|---|---|---|")
    whole = None
    for name, flags in ablations.items():
        quiet = ["--eval-interval", "100000", "--sample-chars", "0", "--snapshots", "0"]
        try:
            events, _, _ = trained(WHOLE, [*data, *quiet, *flags.split()])
        except BenchError:  # diverging is a result, too
            print(f"| {name} | `{flags}` | failed | | |", flush=True)
            continue
        loss = events[-3]["val_loss"]  # the last events: eval, save, end
        began = next(
            e["time"] for e in events if e["event"] == "save"
        )  # the end of the first evaluation
        whole = loss if whole is None else whole
        shown = f"`{flags}`" if flags else ""
        seconds = f"{events[-1]['time'] - began:.0f}"
        print(f"| {name} | {shown} | {loss:.4f} | {loss - whole:+.4f} | {seconds} |", flush=True)


def trained(preset, flags):
    """Train a preset in a separate process; return its events, seconds and peak memory."""
    directory = checkpoints_directory(REPOSITORY) / f"bench-{preset}-{os.getpid()}"
    command = [sys.executable, str(REPOSITORY / "train.py"), "--preset", preset, *flags]
    try:
        seconds, _, memory = measured([*command, "--name", directory.name])
        return read_events(directory)[0], seconds, memory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def bundled_run(name):
    """Return the events of a preset's bundled run; none if it is missing or has another config."""
    directory, preset = CHECKPOINTS / BUNDLED.get(name, name), PRESETS[name]
    events = read_events(directory)[0] if (directory / LOG_FILE).exists() else []
    configs = [e["config"] for e in events if e["event"] == "start"]
    made_by = [
        (type(preset.model)(**config["model"]), TrainConfig(**config["training"]))
        for config in configs
        if config["kind"] == preset.kind
    ]
    return events if made_by == [(preset.model, preset.training)] else []


def chars_of(preset):
    """Return the characters in a step."""
    return preset.training.batch_size * preset.model.block_size


def steps_to_target(events):
    """Return the step of the first evaluation at or below TARGET, or None."""
    reached = (e["step"] for e in events if e["event"] == "eval" and e["val_loss"] <= TARGET)
    return next(reached, None)


def table(costs):
    """Yield the lines of a Markdown table of ratios to the first cost."""
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
