"""How fast a text is written: alone against the lecture's way and transformers', and in a crowd."""

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
from charlm.generation.batch import MAX_DRAFT_ROWS, Batch, Stream, warm_up_draft
from charlm.generation.ngram_draft import Draft
from charlm.hub.push import stage

PLAYER = CHECKPOINTS / "shakespeare"
OPENING = "ROMEO:\n"
ROUNDS = 5


def bench_generate(chars, counts):
    """Measure and print both tables: many streams beside one, then one beside other programs."""
    model, tokenizer = charlm.load(PLAYER)
    ids = tokenizer.encode(OPENING)
    draft = Draft(model.config.vocab_size)
    for _ in warm_up_draft(model, draft):
        pass
    # seeds that were not practised, and no text twice, as the draft would know it by heart
    ways = {n: partial(crowd, model, ids, chars, n, draft) for n in (1, *counts)}
    ways["unaided"] = partial(crowd, model, ids, chars, 1, None, learned=0)
    seconds = interleaved(ways, first=1000)
    print("| streams | characters a second in all | times one stream | times one without guesses |")
    print("|---|---|---|---|")
    for count in counts:
        cells = [f"{count * chars / seconds[count]:,.0f}"]
        cells += [f"{count * seconds[one] / seconds[count]:.1f}" for one in (1, "unaided")]
        print(f"| {count} | {' | '.join(cells)} |")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(f"\nPeak memory: {peak:,.0f} MB\n", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        ways = {
            "charlm, one stream": partial(crowd, model, ids, chars, 1, draft),
            "charlm, before it has practised": partial(crowd, model, ids, chars, 1, None),
            "the lecture's `generate`": partial(lecture_way, model, ids, chars),
            "transformers' `generate`": transformers_way(Path(folder), ids, chars),
        }
        seconds = interleaved(ways, first=2000)
    print("| one text | characters a second | charlm is faster by |\n|---|---|---|")
    for way in ways:
        ratio = seconds[way] / seconds["charlm, one stream"]
        print(f"| {way} | {chars / seconds[way]:,.0f} | {ratio:.1f} |")


def interleaved(ways, first):
    """Median seconds of each of some functions of a seed, which take turns, as machines vary."""
    seconds = {name: [] for name in ways}
    for seed in range(first, first + ROUNDS):
        for name, write in ways.items():
            began = time.perf_counter()
            write(seed)
            seconds[name].append(time.perf_counter() - began)
    return {name: median(times) for name, times in seconds.items()}


def crowd(model, ids, chars, count, draft, seed, learned=MAX_DRAFT_ROWS):
    """Write so many streams, begun together."""
    batch = Batch(model, count, draft, learned)
    for i in range(count):
        batch.add(Stream(ids, SampleConfig(max_new_chars=chars, seed=seed * 1000 + i)))
    while batch.writing or batch.reading:
        batch.step()


def lecture_way(model, ids, chars, seed):
    torch.manual_seed(seed)
    lecture_generate(model, torch.tensor([ids]), chars, model.config.block_size)


def transformers_way(folder, ids, chars):
    """A function that writes as transformers does, with its cache, from the exported weights."""
    try:
        from transformers import AutoModelForCausalLM
    except ImportError:
        raise BenchError(
            "install transformers to be compared with: pip install transformers"
        ) from None
    stage(PLAYER, folder, "charlm/bench")
    model, prompt = AutoModelForCausalLM.from_pretrained(folder), torch.tensor([ids])
    settings = {"do_sample": True, "temperature": 0.8, "min_new_tokens": chars}
    return lambda seed: model.generate(
        prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=chars, **settings
    )
