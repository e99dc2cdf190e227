"""Writing and training at once, as on the page: how much one slows the other."""

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
from charlm.runs import log as runlog
from charlm.runs import paths as home
from charlm.serving.process import start_in_background

RUN = "fast"  # the preset that trains
PLAYER = "shakespeare"  # the model that writes


def bench_beside(data, flags=(), rounds=16):
    """Measure and print how much a run started as on the page and a writing model slow each other.

    `flags`: of the run, besides; `rounds`: of 300 characters each, alone and beside the run.
    """
    torch.set_num_threads(1)  # as the page does
    model, tokenizer = charlm.load(CHECKPOINTS / PLAYER)
    alone = writing_speeds(model, tokenizer, rounds)
    directory = home.checkpoints(REPOSITORY) / f"bench-{RUN}-{os.getpid()}"
    command = [sys.executable, str(REPOSITORY / "train.py"), f"--name={directory.name}"]
    command += ["--eval-interval=100000", "--sample-chars=0", *([f"--data={data}"] if data else [])]
    with tempfile.TemporaryDirectory() as folder:
        process = start_in_background([*command, *flags], Path(folder) / "output")
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
    writes = PLAYER + " writes", median(alone), median(beside)
    rows = writes, (RUN + " trains", trains, trains_beside)
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
