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
from charlm.generation.decoder import make_decoder
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
    for line in streams_table(seconds, chars, {n: product_seconds(model, n) for n in counts}):
        print(line)
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


def streams_table(seconds, chars, products):
    """Yield the lines of a Markdown table of many streams.

    `seconds`: those of `chars` characters of each stream, by the number of streams, and of one
    without a draft as "no draft". `products`: those of the matrix products of a step, by streams;
    they bound the speed where a step adds one character to each, without a draft.
    """
    yield "| streams | characters/s in all | of products alone | times one | one without a draft |"
    yield "|---|---|---|---|---|"
    for count, step in products.items():
        speed = count * chars / seconds[count]
        has_draft = 2 * count <= MAX_ROWS_WITH_DRAFT
        cells = [f"{speed:,.0f}", "" if has_draft else f"{speed * step / count:.2f}"]
        cells += [f"{speed * seconds[one] / chars:.1f}" for one in (1, "no draft")]
        yield f"| {count} | {' | '.join(cells)} |"


@torch.inference_mode()
def product_seconds(model, rows):
    """Return the median seconds of the matrix products of a step of `rows` rows, nothing else."""
    decoder = make_decoder(model)
    layers = [(one.in_proj, one.out_proj, one.up, one.down) for one in decoder.layers]
    weights = [weight for layer in layers for weight, _ in layer] + [decoder.head[0]]  # (in, out)
    inputs = [torch.randn(rows, len(weight)) for weight in weights]
    seconds = []
    for _ in range(50):
        began = time.perf_counter()
        for x, weight in zip(inputs, weights, strict=True):
            x @ weight
        seconds.append(time.perf_counter() - began)
    return median(seconds)


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
