"""Generation speed: one stream beside the lecture's code and transformers, and many streams."""

import resource
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median

import torch

import charlm
from charlm.bench.lecture import lecture_generate
from charlm.bench.process import CHECKPOINTS, BenchError
from charlm.config import SampleConfig
from charlm.generation.batch import MAX_ROWS_WITH_DRAFT, Batch
from charlm.generation.ngram_draft import NgramDraft
from charlm.generation.stream import Stream
from charlm.generation.warm_up import warm_up_draft
from charlm.hub.push import export_model

MODEL = CHECKPOINTS / "shakespeare"
PROMPT = "ROMEO:\n"
ROUNDS = 5


def bench_generate(chars, counts):
    """Print two tables: many streams beside one, and one stream beside other programs."""
    model, tokenizer = charlm.load(MODEL)
    ids = tokenizer.encode(PROMPT)
    draft = NgramDraft(model.config.vocab_size)
    for _ in warm_up_draft(model, draft):
        pass
    # no seed of the warm-up and no text twice: the draft would have memorised it
    runs = {n: partial(generate_streams, model, ids, chars, n, draft) for n in (1, *counts)}
    runs["no draft"] = partial(generate_streams, model, ids, chars, 1, None, max_draft_updates=0)
    seconds = interleaved(runs, first_seed=1000)
    print("| streams | characters/s in all | times one stream | times one without a draft |")
    print("|---|---|---|---|")
    for count in counts:
        cells = [f"{count * chars / seconds[count]:,.0f}"]
        cells += [f"{count * seconds[one] / seconds[count]:.1f}" for one in (1, "no draft")]
        print(f"| {count} | {' | '.join(cells)} |")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(f"\nPeak memory: {peak:,.0f} MB\n", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        runs = {
            "charlm, one stream": partial(generate_streams, model, ids, chars, 1, draft),
            "charlm, before the draft is warmed up": partial(
                generate_streams, model, ids, chars, 1, None
            ),
            "the lecture's `generate`": partial(generate_as_lecture, model, ids, chars),
            "transformers' `generate`": transformers_generator(Path(folder), ids, chars),
        }
        seconds = interleaved(runs, first_seed=2000)
    print("| one text | characters/s | charlm is faster by |\n|---|---|---|")
    for name in runs:
        ratio = seconds[name] / seconds["charlm, one stream"]
        print(f"| {name} | {chars / seconds[name]:,.0f} | {ratio:.1f} |")


def interleaved(runs, first_seed):
    """Return the median seconds of each of `runs`, functions of a seed, run in alternation."""
    seconds = {name: [] for name in runs}
    for seed in range(first_seed, first_seed + ROUNDS):
        for name, run in runs.items():
            began = time.perf_counter()
            run(seed)
            seconds[name].append(time.perf_counter() - began)
    return {name: median(times) for name, times in seconds.items()}


def generate_streams(model, ids, chars, count, draft, seed, max_draft_updates=MAX_ROWS_WITH_DRAFT):
    """Generate `count` streams that start together."""
    batch = Batch(model, count, draft, max_draft_updates)
    for i in range(count):
        batch.add(Stream(ids, SampleConfig(max_new_chars=chars, seed=seed * 1000 + i)))
    while not batch.is_empty:
        batch.step()


def generate_as_lecture(model, ids, chars, seed):
    torch.manual_seed(seed)
    lecture_generate(model, torch.tensor([ids]), chars, model.config.block_size)


def transformers_generator(folder, ids, chars):
    """Return a function of a seed: transformers' generate, with its cache, on exported weights."""
    try:
        from transformers import AutoModelForCausalLM
    except ImportError:
        raise BenchError(
            "install transformers for the comparison: pip install transformers"
        ) from None
    export_model(MODEL, folder, "charlm/bench")
    model, prompt = AutoModelForCausalLM.from_pretrained(folder), torch.tensor([ids])
    settings = {"do_sample": True, "temperature": 0.8, "min_new_tokens": chars}
    return lambda seed: model.generate(
        prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=chars, **settings
    )
