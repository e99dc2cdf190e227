import pytest
import torch
from conftest import make_model
from hypothesis import given
from hypothesis import strategies as st

from charlm import engine
from charlm.config import SampleConfig

V = 11
MODELS = {name: make_model(name, V) for name in ("bigram", "lecture", "today")}
MODELS["convolving"] = make_model("today", V, attention_every=2)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("temperature", [0, 1.0])
@pytest.mark.parametrize("prompt_length", [1, 15, 16, 17, 40])
def test_cached_decoding_gives_the_uncached_text(name, temperature, prompt_length):
    """Beyond the context's end, too: 16 characters of context, 60 written."""
    config = SampleConfig(max_new_chars=60, temperature=temperature, seed=4)
    prompt = [i % V for i in range(prompt_length)]
    cached = list(engine.decode(MODELS[name], prompt, config))
    assert cached == list(engine.decode(MODELS[name], prompt, config, cached=False))
    assert len(cached) == 60


@given(length=st.integers(1, 500), block_size=st.integers(1, 64))
def test_the_context_fits_and_is_never_wasted(length, block_size):
    start = engine.context_start(length, block_size)
    assert 0 <= start < length
    assert length - start <= block_size
    assert length <= block_size or length - start > block_size // 2 - 1
    assert engine.context_start(length + 1, block_size) >= start


def test_the_context_is_the_end_of_the_text():
    """What was cropped cannot matter: other words before it give the same continuation."""
    config = SampleConfig(max_new_chars=10, seed=1)
    recent = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3]
    for model in MODELS.values():
        a = list(engine.decode(model, [0] * 30 + recent, config))
        b = list(engine.decode(model, [7] * 30 + recent, config))
        assert a == b


def test_a_text_goes_on_where_it_was_left():
    """Writing 20 characters is writing 10 and then 10 more: choices depend on the position."""
    for model in MODELS.values():
        whole = list(engine.decode(model, [1, 2], SampleConfig(max_new_chars=40, seed=9)))
        first = list(engine.decode(model, [1, 2], SampleConfig(max_new_chars=25, seed=9)))
        rest = SampleConfig(max_new_chars=15, seed=9)
        assert whole == first + list(engine.decode(model, [1, 2, *first], rest))


def test_seeds_matter_and_repeat():
    model = MODELS["today"]
    texts = [
        tuple(engine.decode(model, [1], SampleConfig(max_new_chars=30, seed=seed)))
        for seed in (1, 1, 2)
    ]
    assert texts[0] == texts[1] != texts[2]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("n", [1, 16, 17, 50])
def test_scores_are_those_of_decoding(name, n):
    model = MODELS[name]
    ids = [(i * 7) % V for i in range(n + 1)]
    rows = torch.cat(list(engine.score(model, ids)))
    assert rows.shape == (n, V)
    torch.testing.assert_close(rows.exp().sum(-1), torch.ones(n))
    for i in range(n):
        start = engine.context_start(i + 1, model.config.block_size)
        with torch.no_grad():
            logits = model(torch.tensor([ids[start : i + 1]]))[0, -1]
        torch.testing.assert_close(rows[i], logits.log_softmax(-1), rtol=1e-4, atol=1e-5)


def test_decoding_leaves_the_callers_list_alone():
    prompt = [1, 2]
    list(engine.decode(MODELS["bigram"], prompt, SampleConfig(max_new_chars=3)))
    assert prompt == [1, 2]
