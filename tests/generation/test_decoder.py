"""The decoder compared with its model."""

import copy

import pytest
import torch
from small_models import make_model

from charlm.generation import decoder

V = 11
MODELS = {name: make_model(name, V) for name in ("bigram", "lecture", "today")}
MODELS["convolving"] = make_model("today", V, attention_every=2)


def test_the_decoder_computes_what_the_model_does():
    odd = {"norm": "layernorm", "position": "learned", "bias": True, "activation": "relu"}
    models = [*MODELS.values(), make_model("today", V, **odd, attention_every=2)]
    models.append(make_model("lecture", V, qk_norm=True, embd_norm=True))
    models.append(make_model("today", V, attention_every=3, conv_size=1, qk_norm=False))
    ids = [(i * 7) % V for i in range(16)]
    for model in models:
        made = decoder.make_decoder(model)
        made.reserve(3)
        for i in range(16):
            made.reset(0)
            if i:
                made.step(0, [ids[:i]], [0])
                made.accept([i])
            made.copy(0, 2)
            logits = made.step(1, [[1], ids[i : i + 1]], [0, i])[1, 0]
            made.accept([1, 1])
            expected = model(torch.tensor([ids]))[0, i]
            torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("name", MODELS)
def test_a_model_of_any_precision_is_decoded_in_float32(name, dtype):
    model = copy.deepcopy(MODELS[name]).to(dtype)
    made = decoder.make_decoder(model)
    made.reserve(1)
    logits = made.step(0, [[1, 2, 3]], [0])[0]
    assert logits.dtype == torch.float32
    assert all(p.dtype == dtype for p in model.parameters())  # the caller's model stays as it is
    torch.testing.assert_close(logits, model.float()(torch.tensor([[1, 2, 3]]))[0])
