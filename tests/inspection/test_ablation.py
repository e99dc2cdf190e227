"""What a text costs a model without each of its parts."""

import importlib
from collections import ChainMap

import pytest
from small_models import make_model

from charlm.data.tokenizer import CharTokenizer
from charlm.inspection.ablation import ablation
from charlm.inspection.scores import score
from charlm.models.parts import parts_of

TOKENIZER = CharTokenizer.fit("\nabcdefghij")
V = TOKENIZER.vocab_size
MODELS = {name: make_model(name, V) for name in ("lecture", "today")}
MODELS["convolving"] = make_model("today", V, attention_every=2)
MODELS["deep"] = make_model("today", V, attention_every=3, n_layer=6)  # 20 parts


@pytest.mark.parametrize("text", ["a", "badgecafehidjig", "badgecafehidjig\na", "a\nbadge" * 9])
@pytest.mark.parametrize("name", MODELS)
def test_each_part_has_the_score_without_it(name, text):
    model = MODELS[name]
    result = [cost for group in ablation(model, TOKENIZER, text) for cost in group.items()]
    assert [part for part, _ in result] == ["", *parts_of(model)]
    for part, bits in result:
        off = (part,) if part else ()
        expected = score(model, TOKENIZER, text, off)["bits_per_char"]
        assert bits == pytest.approx(expected, abs=1e-4)
    assert len({round(bits, 4) for _, bits in result}) > len(result) / 2


@pytest.mark.parametrize("together", [1, 2, 3])
def test_parts_computed_in_groups_have_the_same_bits(together, monkeypatch):
    model, text = MODELS["deep"], "a\nbadge" * 9
    expected = dict(ChainMap(*ablation(model, TOKENIZER, text)))
    module = importlib.import_module("charlm.inspection.ablation")
    monkeypatch.setattr(module, "MAX_LOGITS", together * model.config.block_size * V)
    found = dict(ChainMap(*ablation(model, TOKENIZER, text)))
    assert found == pytest.approx(expected, abs=1e-4)


def test_the_first_parts_come_in_small_groups():
    groups = list(ablation(MODELS["deep"], TOKENIZER, "badge"))
    assert [len(group) for group in groups] == [1, 4, 16]


def test_a_bigram_model_has_its_own_score_alone():
    model, text = make_model("bigram", V), "a\nbadge" * 9
    (group,) = ablation(model, TOKENIZER, text)
    assert list(group) == [""]
    assert group[""] == pytest.approx(score(model, TOKENIZER, text)["bits_per_char"], abs=1e-4)
