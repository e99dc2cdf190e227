"""The parts of a model by name, and what it computes with some of them switched off."""

import random
import re

import pytest
import torch
from small_models import make_model, without_parts

from charlm.models.parts import PartError, parse_parts, parts_of, without

V = 11
BIGRAM = make_model("bigram", V)
MODELS = {name: make_model(name, V) for name in ("lecture", "today")}
MODELS["convolving"] = make_model("today", V, attention_every=2)
PARTS = "0.conv, 0.mlp, 0, 1.head0, 1.head1, 1.mlp, 1"  # of "convolving"


def test_every_part_has_a_name():
    assert parts_of(MODELS["convolving"]) == PARTS.split(", ")
    assert parts_of(MODELS["lecture"])[:4] == ["0.head0", "0.head1", "0.mlp", "0"]
    assert parts_of(BIGRAM) == []


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ()),
        ("  ", ()),
        ("1.head1", ("1.head1",)),
        ("1.mlp,0.conv", ("0.conv", "1.mlp")),
        (" 1 ,0.mlp,1,\n0.mlp ", ("0.mlp", "1")),
        (PARTS, tuple(PARTS.split(", "))),
    ],
)
def test_a_list_is_read_in_the_order_of_the_model(text, parts):
    assert parse_parts(MODELS["convolving"], text) == parts


@pytest.mark.parametrize(
    "wrong",
    ["0.head0", "1.conv", "1.head2", "2", "-1", "01", "0.", "0.MLP", "0 .mlp", "0.mlp 1", "٠"],
)
def test_an_unknown_part_is_refused(wrong):
    """In "convolving", block 0 has no heads, and block 1 no convolution."""
    sentence = f"there is no part {wrong!r}; there is: {PARTS}"
    with pytest.raises(PartError, match=f"^{re.escape(sentence)}$"):
        parse_parts(MODELS["convolving"], f"1.mlp,{wrong}")


def test_a_list_with_nothing_between_commas_is_refused():
    for text in (",", "0.mlp,", "0.mlp,,1"):
        with pytest.raises(PartError, match="there is no part ''"):
            parse_parts(MODELS["convolving"], text)


def test_a_bigram_model_has_no_parts():
    assert parse_parts(BIGRAM, " ") == ()
    with pytest.raises(PartError, match="this model has no parts to switch off"):
        parse_parts(BIGRAM, "0")


@pytest.mark.parametrize("name", MODELS)
def test_each_row_equals_a_model_with_zeroed_weights(name):
    model, rng = MODELS[name], random.Random(1)
    parts = parts_of(model)
    rows = [[], *([part] for part in parts), parts]
    rows += [rng.sample(parts, rng.randint(2, 4)) for _ in range(20)]
    ids = torch.randint(V, (len(rows), 16), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        whole = model(ids)
        logits = without(model, rows)(ids)
        for i, off in enumerate(rows):
            expected = without_parts(model, off)(ids[i : i + 1])[0]
            torch.testing.assert_close(logits[i], expected, rtol=1e-4, atol=1e-5)
            changed = (logits[i] - whole[i]).abs().max() > 1e-2
            assert changed == bool(off)


@pytest.mark.parametrize("name", MODELS)
def test_the_model_stays_as_it_is(name):
    """Another thread may use it at the same time."""
    model, ids = MODELS[name], torch.arange(V)[None]
    before = model(ids)
    switched = without(model, [["0", "1.mlp"]])
    assert not torch.equal(switched(ids), before)
    assert torch.equal(model(ids), before)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    for theirs, own in zip(switched.parameters(), model.parameters(), strict=True):
        assert theirs is own  # no memory for a copy
