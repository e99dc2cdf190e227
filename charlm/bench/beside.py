"""Generation and training at once, as on the page: how much each slows the other."""

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import torch

import charlm
from charlm.bench.process import CHECKPOINTS, REPOSITORY, BenchError
from charlm.paths import checkpoints_directory
from charlm.runs.log import LOG_FILE, read_events
from charlm.serving.process import start_in_background

RUN = "fast"  # the preset that trains
MODEL = "shakespeare"  # the model that generates


def bench_beside(data, flags=(), rounds=16):
    """Print the speeds of a run started as on the page and of generation, alone and together.

    `flags`: further flags of the run. `rounds`: how often 300 characters are generated.
    """
    torch.set_num_threads(1)  # as the page does
    model, tokenizer = charlm.load(CHECKPOINTS / MODEL)
    alone = generation_speeds(model, tokenizer, rounds)
    directory = checkpoints_directory(REPOSITORY) / f"bench-{RUN}-{os.getpid()}"
    command = [sys.executable, str(REPOSITORY / "train.py"), f"--name={directory.name}"]
    command += ["--eval-interval=100000", "--sample-chars=0", *([f"--data={data}"] if data else [])]
    with tempfile.TemporaryDirectory() as folder:
        process = start_in_background([*command, *flags], Path(folder) / "output")
        try:
            trains, cursor = training_speed(process, directory, 0)
            trains, cursor = training_speed(
                process, directory, cursor
            )  # the first part was the warm-up
            beside = generation_speeds(model, tokenizer, rounds)
            trains_beside, _ = training_speed(process, directory, cursor, least=1)
        finally:
            process.kill()
            process.wait()
            shutil.rmtree(directory, ignore_errors=True)
    alone += generation_speeds(model, tokenizer, rounds)  # before and after, since machines vary
    print("| characters/s | alone | beside the other | ratio |\n|---|---|---|---|")
    generates = MODEL + " generates", median(alone), median(beside)
    rows = generates, (RUN + " trains", trains, trains_beside)
    for name, before, after in rows:
        print(f"| {name} | {before:,.0f} | {after:,.0f} | {after / before:.2f} |")


def generation_speeds(model, tokenizer, rounds):
    """Return the characters per second of each round."""
    speeds = []
    for seed in range(rounds):
        began = time.perf_counter()
        charlm.generate(model, tokenizer, "ROMEO:\n", 300, seed=seed)
        speeds.append(300 / (time.perf_counter() - began))
    return speeds


def training_speed(process, directory, cursor, least=8):
    """Return the median characters per second since a cursor, and the new cursor.

    Waits until the log has `least` speeds. Raises BenchError if the process ends before.
    """
    while True:
        alive = process.poll() is None
        log = directory / LOG_FILE
        events, end = read_events(directory, cursor) if log.exists() else ([], cursor)
        speeds = [event["chars_per_second"] for event in events if event["event"] == "step"]
        if len(speeds) >= least:
            return median(speeds), end
        if not alive:
            raise BenchError(f"the run ended too soon, with status {process.returncode}")
        time.sleep(0.2)
