"""transformers loads converted models without charlm's code and computes the same logits."""

import huggingface_hub
import pytest
import torch
import torch.nn.functional as F
from programs import REPOSITORY
from small_models import LECTURE, describe, make_model

from charlm.hub.push import export_model
from charlm.models import checkpoint
from charlm.models.transformers_format import (
    GATE,
    OLD_GATE,
    ConvertError,
    convert_if_possible,
    family,
    from_transformers,
    to_transformers,
)
from charlm.runs.directory import create_run_directory
from charlm.runs.log import LOG_FILE

V = 11


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """Load local files without a request to the Hub."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


def ids_of(model):
    shape = 3, model.config.block_size
    return torch.randint(V, shape, generator=torch.Generator().manual_seed(2))


NETWORKS = [
    ("lfm2", {"n_layer": 4, "attention_every": 1}),
    ("lfm2", {"n_layer": 4, "attention_every": 3, "conv_size": 3}),
    ("lfm2", {"n_layer": 4, "attention_every": 4, "embd_norm": False}),
    ("gpt2", LECTURE),
    ("gpt2", LECTURE | {"bias": False}),
]


@pytest.mark.parametrize(("kind", "changes"), NETWORKS)
def test_transformers_computes_the_same_logits(kind, changes):
    from transformers import AutoConfig, AutoModelForCausalLM

    gpt = make_model("today", V, **changes)
    assert family(gpt.config) == kind
    _, fields, tensors = to_transformers("gpt", gpt.config, gpt.state_dict())
    theirs = AutoModelForCausalLM.from_config(AutoConfig.for_model(**fields)).eval()
    theirs.load_state_dict(tensors, strict=True)
    ids = ids_of(gpt)
    with torch.no_grad():
        torch.testing.assert_close(theirs(ids).logits, gpt(ids), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("kind", "changes"), NETWORKS)
def test_a_converted_model_is_converted_back(kind, changes):
    gpt = make_model("today", V, **changes)
    config, _, tensors = to_transformers("gpt", gpt.config, gpt.state_dict())
    again = type(gpt)(config).eval()
    again.load_state_dict(from_transformers(config, tensors), strict=True)
    ids = ids_of(gpt)
    with torch.no_grad():
        torch.testing.assert_close(again(ids), gpt(ids), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("bigram", {}),
        ("today", {"bias": True}),
        ("today", {"norm": "layernorm"}),
        ("today", {"attention_every": 3, "n_layer": 2}),  # which transformers cannot cache
        ("lecture", {"qk_norm": True}),
        ("lecture", {"n_embd": 8, "n_head": 2}),  # fewer dimensions than characters: V is 11
    ],
)
def test_a_network_that_transformers_lacks_is_not_converted(name, changes):
    model = make_model(name, V, **changes)
    with pytest.raises(ConvertError, match="has no network"):
        to_transformers(model.kind, model.config, model.state_dict())
    config, fields, tensors = convert_if_possible(model.kind, model.config, model.state_dict())
    assert (config, fields) == (model.config, {})
    assert tensors.keys() == model.state_dict().keys()


@pytest.mark.parametrize("name", ["today", "lecture"])
def test_transformers_loads_an_exported_model(name, tokenizer, corpus, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline

    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    model = make_model(name, tokenizer.vocab_size, n_embd=64)
    description = describe(name, tokenizer.vocab_size, n_embd=64)
    create_run_directory(ours, description, model, tokenizer)
    (ours / LOG_FILE).touch()
    theirs.mkdir()
    export_model(ours, theirs, "ann/ours")
    loaded = AutoModelForCausalLM.from_pretrained(theirs)
    their_tokenizer = AutoTokenizer.from_pretrained(theirs)
    assert their_tokenizer.decode(their_tokenizer.encode(corpus.text)) == corpus.text
    ids = tokenizer.encode(corpus.text[:16])
    assert their_tokenizer.encode(corpus.text[:16]) == ids
    with torch.no_grad():
        saved, _ = checkpoint.load(ours)
        expected = saved(torch.tensor([ids]))
        torch.testing.assert_close(
            loaded(torch.tensor([ids])).logits, expected, rtol=1e-4, atol=1e-4
        )
        back, _ = checkpoint.load(theirs)
        torch.testing.assert_close(back(torch.tensor([ids])), expected, rtol=1e-4, atol=1e-4)
    generate = pipeline("text-generation", str(theirs))
    text = generate("KING", max_new_tokens=8, do_sample=False)[0]["generated_text"]
    assert text.startswith("KING") and len(text) == 12


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("name", ["shakespeare", "gpt"])
def test_a_bundled_model_predicts_the_same_in_every_dtype(name, dtype, tmp_path, tinyshakespeare):
    from transformers import AutoModelForCausalLM

    bundled = REPOSITORY / "checkpoints" / name
    export_model(bundled, tmp_path, f"ann/{name}")
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=dtype)
    ours, tokenizer = checkpoint.load(bundled)
    ids = torch.tensor([tokenizer.encode(tinyshakespeare.text[-ours.config.block_size :])])
    with torch.no_grad():
        logits, expected = theirs(ids).logits.float(), ours(ids)
    assert logits.isfinite().all()
    losses = (F.cross_entropy(x[0, :-1], ids[0, 1:]) for x in (logits, expected))
    assert abs(next(losses) - next(losses)) < {"float32": 1e-4}.get(dtype, 0.03)
    largest = {"float32": 1e-3, "float16": 0.1}.get(dtype, 0.6)
    assert (logits.log_softmax(-1) - expected.log_softmax(-1)).abs().max() < largest


def test_an_export_of_an_earlier_version_is_read():
    gpt = make_model("today", V, attention_every=2)
    config, _, tensors = to_transformers("gpt", gpt.config, gpt.state_dict())
    for layer in range(config.n_layer):
        w1, w2, w3 = (f"model.layers.{layer}.feed_forward.w{n}.weight" for n in (1, 2, 3))
        up = tensors[w3] * GATE
        tensors |= {w1: up * OLD_GATE, w2: tensors[w2] / OLD_GATE, w3: up}
    again = type(gpt)(config).eval()
    again.load_state_dict(from_transformers(config, tensors), strict=True)
    with torch.no_grad():
        torch.testing.assert_close(again(ids_of(gpt)), gpt(ids_of(gpt)), rtol=1e-4, atol=1e-5)
