"""What else a character could have been, at each step of the sampler."""

import asyncio
import itertools
import json
import random

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from small_models import describe, make_model

from charlm.config import SampleConfig
from charlm.data.tokenizer import CharTokenizer
from charlm.generation.sampling import cdf, distribution, sample_from_cdf
from charlm.hub.follow import HubFollowers
from charlm.inspection.alternatives import alternatives
from charlm.models.parts import parts_of
from charlm.rng import uniform
from charlm.runs.directory import create_run_directory
from charlm.serving.generate import TextRequest, generate
from charlm.serving.inspection import next_alternatives
from charlm.serving.library import Library
from charlm.serving.limits import Limits

CHARS = "cbadfehg\n"  # not in the order of the alphabet
LOGITS = st.lists(st.integers(-40, 40), min_size=1, max_size=len(CHARS))  # often equal
CONFIGS = st.builds(
    SampleConfig,
    temperature=st.sampled_from([0.0, 1e-30, 1e-7, 1e-3, 0.1, 0.8, 1.0, 3.0, 1e30]),
    top_k=st.sampled_from([0, 0, 1, 2, 4, 9, 10, 10**9]),
    top_p=st.sampled_from([0.0, 0.0, 1e-9, 0.3, 0.7, 0.95, 1.0]),
    min_p=st.sampled_from([0.0, 0.0, 1e-9, 0.03, 0.4, 1.0]),
    seed=st.integers(0, 2**63 - 1),
)


def softmax(logits):
    p = np.exp(logits - logits.max())
    return p / p.sum()


def sampler(logits, config):
    """Yield (name, probabilities) of each step of the sampler, in float64.

    Skips numbers that float32 could round to the other side of a setting.
    """
    yield "model", softmax(logits)
    logits = logits - logits.max()
    if config.temperature:
        with np.errstate(over="ignore"):
            logits = logits / config.temperature
    else:
        logits = np.where(np.arange(len(logits)) == logits.argmax(), 0.0, -np.inf)
    yield "temperature", softmax(logits)
    if config.top_k:
        smallest_kept = np.sort(logits)[::-1][: config.top_k].min()
        logits = np.where(logits >= smallest_kept, logits, -np.inf)
        yield "top_k", softmax(logits)
    if config.top_p:
        p, before = softmax(logits), 0.0
        for i in np.argsort(-logits, kind="stable"):
            assume(abs(before - config.top_p) > 1e-5 or config.top_p == 1)
            if before >= config.top_p and config.top_p < 1:
                logits[i] = -np.inf
            before += p[i]
        yield "top_p", softmax(logits)
    if config.min_p:
        share = np.exp(logits - logits.max())
        assume(((share == 1) | (abs(share - config.min_p) > 1e-12)).all())
        logits = np.where(share >= config.min_p, logits, -np.inf)
        yield "min_p", softmax(logits)


def landed(result, tokenizer):
    """Return the character at `uniform` in the last stage, in the order of the vocabulary."""
    chars = sorted(result["stages"][-1]["chars"], key=lambda pair: tokenizer.ids[pair[0]])
    ends = list(itertools.accumulate(p for _, p in chars))
    i = next(i for i, end in enumerate(ends) if end / ends[-1] > result["uniform"])
    return chars[i][0]


@given(logits=LOGITS, config=CONFIGS, position=st.integers(1, 10**6))
@settings(max_examples=400)
def test_the_stages_are_the_steps_of_the_sampler(logits, config, position):
    tokenizer, logits = CharTokenizer(CHARS[: len(logits)]), np.array(logits) / 8
    expected = list(sampler(logits, config))
    before = np.zeros(len(logits))
    probabilities = distribution(torch.tensor(logits[None]).float(), config)
    drawn = sample_from_cdf(cdf(probabilities), [uniform(config.seed, position)])
    chosen = tokenizer.decode(drawn)
    result = alternatives(torch.tensor(logits).float(), config, tokenizer, chosen, position)
    assert [stage["name"] for stage in result["stages"]] == [name for name, _ in expected]
    for stage, (_, p) in zip(result["stages"], expected, strict=True):
        assume(((p < 1e-46) | (p > 1e-37)).all())  # float32 has all digits or none
        shown = dict(map(tuple, stage["chars"]))
        assert shown.keys() == {c for c, q in zip(tokenizer.chars, p, strict=True) if q > 1e-40}
        assert all(shown[c] == pytest.approx(p[tokenizer.ids[c]], rel=1e-4) for c in shown)
        assert list(shown.values()) == sorted(shown.values(), reverse=True)
        assert sum(shown.values()) == pytest.approx(1, abs=1e-5)
        assert stage["kept"] == len(shown)
        assert stage["removed"] == pytest.approx(before[p < 1e-40].sum(), rel=1e-4, abs=1e-12)
        own = p[p > 1e-40]
        assert stage["entropy_bits"] == pytest.approx(-(own * np.log2(own)).sum(), abs=1e-4)
        before = p
    assert result["uniform"] == uniform(config.seed, position)
    assert landed(result, tokenizer) == result["chosen"] == chosen


MODELS = {"bigram": {}, "lecture": {}, "today": {}, "convolving": {"attention_every": 2}}


@pytest.fixture(scope="module")
def library(tokenizer, tmp_path_factory):
    """Models of every kind, whose context ends after 16 characters."""
    directory = tmp_path_factory.mktemp("models")
    for name, changes in MODELS.items():
        network = "today" if name == "convolving" else name
        make = network, tokenizer.vocab_size
        model = make_model(*make, **changes)
        create_run_directory(directory / name, describe(*make, **changes), model, tokenizer)
    return Library(directory, HubFollowers(), Limits())


def random_case(rng, library, tokenizer):
    """Return (model, text, parts that are off, settings)."""
    name = rng.choice(list(MODELS))
    text = "".join(rng.choices(tokenizer.chars, k=rng.choice([0, 1, 5, 15, 16, 17, 30, 70])))
    parts = parts_of(library.get(name)[0])
    off = ", ".join(rng.sample(parts, min(len(parts), rng.choice([0, 1, 3]))))
    config = {
        "temperature": rng.choice([0.0, 1e-7, 0.8, 1.0, 3.0]),
        "top_k": rng.choice([0, 3, 10]),
        "top_p": rng.choice([0.0, 0.5, 1.0]),
        "min_p": rng.choice([0.0, 0.02]),
        "seed": rng.randrange(2**32),
    }
    return name, text, off, config


def check_at_once(check, cases):
    """Await check(*case) of all cases, some at a time."""

    async def check_all():
        for first in range(0, len(cases), 10):
            await asyncio.gather(*(check(*case) for case in cases[first : first + 10]))

    asyncio.run(check_all())


async def last_progress(library, *request, **options):
    async for progress in generate(library, TextRequest(*request, **options)):
        last = progress
    return last


def test_the_character_is_the_one_that_generation_writes_next(library, tokenizer):
    rng = random.Random(4)

    async def check(name, text, off, settings):
        config = SampleConfig(1, **settings)
        result = await next_alternatives(library, text, name, config, None, off)
        written = await last_progress(library, text, name, config, off=off)
        assert text + result["chosen"] == written.text
        assert list(result) == ["position", "uniform", "chosen", "stages"]
        assert result["uniform"] == uniform(config.seed, result["position"])
        # a text without a character follows the start character
        assert result["position"] == (len(text) or 1)
        assert landed(result, tokenizer) == result["chosen"]
        json.dumps(result, allow_nan=False)

    check_at_once(check, [random_case(rng, library, tokenizer) for _ in range(150)])


def test_any_character_of_a_long_text_has_its_alternatives(library, tokenizer):
    rng = random.Random(5)

    async def check(name, text, off, settings):
        whole = await last_progress(library, text, name, SampleConfig(50, **settings), off=off)
        one = SampleConfig(1, **settings)
        for k in rng.sample(range(len(text), len(text) + 50), 4):
            if text:
                result = await next_alternatives(library, whole.text[:k], name, one, None, off)
            else:  # the start character precedes it
                options = {"written": whole.text[:k], "off": off, "keep_alternatives": True}
                progress = await last_progress(library, "", name, one, **options)
                result = progress.alternatives
            assert result["chosen"] == whole.text[k]
            assert landed(result, tokenizer) == whole.text[k]

    check_at_once(check, [random_case(rng, library, tokenizer) for _ in range(30)])
