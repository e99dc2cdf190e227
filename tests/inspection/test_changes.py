"""What moves inside a model if one character of a text is another one."""

import json

import pytest
import torch
from small_models import make_model, without_parts

from charlm.data.tokenizer import CharTokenizer
from charlm.errors import CharlmError
from charlm.generation.stream import context_start
from charlm.inspection.attention import attention
from charlm.inspection.changes import changes
from charlm.models.parts import parts_of

TOKENIZER = CharTokenizer.fit("\nabcdefghij")
V = TOKENIZER.vocab_size
MODELS = {name: make_model(name, V) for name in ("bigram", "lecture", "today")}
MODELS["convolving"] = make_model("today", V, attention_every=2)
TEXT = "badgecafehidjig\na\nbadge"  # longer than the context of 16
OFFS = [[], ["0"], ["1.head1"], ["0.mlp", "1.head0"], ["0.conv", "1.mlp"]]


def streams_of(model, text, off):
    """Return the residual stream at the last character: (n_layer + 1, C), in a plain forward."""
    model, stream = without_parts(model, off), []
    for block in model.blocks:
        block.register_forward_hook(lambda _, args, x: stream.append(x[0, -1]))
    first = model.blocks[0]
    first.register_forward_pre_hook(lambda _, args: stream.append(args[0][0, -1]))
    model(torch.tensor([TOKENIZER.encode(text)]))
    return torch.stack(stream)


def check_prediction(pairs, logits):
    p = logits.softmax(dim=-1)
    expected = {TOKENIZER.decode([i]): round(p.item(), 4) for i, p in enumerate(p)}
    chars, shown = zip(*pairs, strict=True)
    assert list(shown) == sorted(shown, reverse=True)
    assert set(chars) == {char for char, p in dict(pairs).items() if p > 0}
    for char, p in expected.items():
        assert dict(pairs).get(char, 0) == pytest.approx(p, abs=2e-4)


@pytest.mark.parametrize("name", ["lecture", "today", "convolving"])
@torch.no_grad()
def test_changes_are_the_difference_of_two_texts(name):
    model, moving = MODELS[name], 0
    for text, index in [("a", 0), ("bad", 0), ("bad", 2), (TEXT[:16], 7), (TEXT, 21), (TEXT, 12)]:
        other = text[:index] + "j" + text[index + 1 :]
        start = context_start(len(text), model.config.block_size)
        for off in OFFS:
            if not set(off) <= set(parts_of(model)):
                continue
            result = changes(model, TOKENIZER, text, index, "j", off)
            assert (result["index"], result["char"]) == (index, "j")
            one, two = (attention(model, TOKENIZER, t, off)["layers"] for t in (text, other))
            before, after = (streams_of(model, t[start:], off) for t in (text, other))
            embedding, *moved = ((after - before).norm(dim=-1) / before.norm(dim=-1)).tolist()
            assert result["embedding"] == pytest.approx(embedding, abs=2e-4)
            for layer, a, b, length in zip(result["layers"], one, two, moved, strict=True):
                assert (layer["layer"], layer["kind"]) == (a["layer"], a["kind"])
                heads = (torch.tensor(a["heads"]) - torch.tensor(b["heads"])).abs().sum(1) / 2
                assert layer["heads"] == pytest.approx(heads.tolist(), abs=2e-4)
                assert layer["moved"] == pytest.approx(length, abs=2e-4)
                moving += layer["moved"] > 0.01
            switched = without_parts(model, off)
            for pairs, t in ((result["before"], text), (result["after"], other)):
                ids = torch.tensor([TOKENIZER.encode(t[start:])])
                check_prediction(pairs, switched(ids)[0, -1])
            json.dumps(result, allow_nan=False)
    assert moving > 20


@pytest.mark.parametrize("name", MODELS)
def test_nothing_moves_with_the_same_character_or_before_the_context(name):
    model = MODELS[name]
    assert context_start(len(TEXT), model.config.block_size) == 12
    for index, char in ((22, TEXT[22]), (15, TEXT[15]), (11, "j"), (0, "a")):
        result = changes(model, TOKENIZER, TEXT, index, char)
        assert result["before"] == result["after"]
        assert not result["embedding"]
        for layer in result["layers"]:
            assert layer["moved"] == 0
            assert set(layer["heads"]) == {0}
    moved = changes(model, TOKENIZER, TEXT, 22, "j")
    assert moved["before"] == result["before"] != moved["after"]


@torch.no_grad()
def test_a_bigram_model_sees_its_last_character_alone():
    model = MODELS["bigram"]
    result = changes(model, TOKENIZER, "badge", 4, "a")
    assert (result["layers"], result["embedding"]) == ([], None)
    for pairs, char in ((result["before"], "e"), (result["after"], "a")):
        check_prediction(pairs, model(torch.tensor([TOKENIZER.encode(char)]))[0, -1])
    result = changes(model, TOKENIZER, "badge", 3, "a")
    assert result["before"] == result["after"]


@pytest.mark.parametrize("index", [-1, 3, 10**30])
def test_an_index_outside_the_text_is_refused(index):
    with pytest.raises(CharlmError) as error:
        changes(MODELS["today"], TOKENIZER, "bad", index, "a")
    assert str(error.value) == f"the text has no character {index}; it has 3, which count from 0"


@pytest.mark.parametrize("char", ["x", "", "ab", "😀"])
def test_an_unknown_character_is_refused(char):
    with pytest.raises(CharlmError) as error:
        changes(MODELS["today"], TOKENIZER, "bad", 0, char)
    sentence = f"this model does not know the character {char!r}; choose another"
    assert str(error.value) == sentence
