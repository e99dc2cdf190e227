"""How well a model predicts a text."""

import math

import pytest
import torch
from small_models import make_model, without_parts

from charlm.data.tokenizer import CharTokenizer
from charlm.generation.stream import context_start
from charlm.inspection.scores import TOP_CHARS, entropy, log_probabilities, score
from charlm.models.parts import parts_of

V = 11
MODELS = {name: make_model(name, V) for name in ("bigram", "lecture", "today")}
MODELS["convolving"] = make_model("today", V, attention_every=2)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("n", [1, 16, 17, 50])
def test_log_probabilities_equal_those_of_decoding(name, n):
    model = MODELS[name]
    ids = [(i * 7) % V for i in range(n + 1)]
    rows = torch.cat([rows[0] for rows in log_probabilities(model, ids)])
    assert rows.shape == (n, V)
    torch.testing.assert_close(rows.exp().sum(-1), torch.ones(n))
    for i in range(n):
        start = context_start(i + 1, model.config.block_size)
        with torch.no_grad():
            logits = model(torch.tensor([ids[start : i + 1]]))[0, -1]
        torch.testing.assert_close(rows[i], logits.log_softmax(-1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_a_score_has_the_bits_and_the_likeliest_characters_of_each_position(name):
    model, tokenizer = MODELS[name], CharTokenizer.fit("\nabcdefghij")
    text = "badge\n" * 5  # longer than the context
    result = score(model, tokenizer, text)
    assert "".join(c["char"] for c in result["chars"]) == text
    bits = [c["bits"] for c in result["chars"]]
    assert result["bits_per_char"] == pytest.approx(sum(bits) / len(text))
    ids = tokenizer.encode(tokenizer.start_char + text)
    rows = torch.cat([rows[0] for rows in log_probabilities(model, ids)])
    for row, next_id, char in zip(rows, ids[1:], result["chars"], strict=True):
        assert char["bits"] == pytest.approx(-row[next_id].item() / math.log(2))
        likeliest = row.exp().topk(TOP_CHARS)
        assert [tokenizer.encode(c)[0] for c, _ in char["top"]] == likeliest.indices.tolist()
        assert [p for _, p in char["top"]] == pytest.approx(likeliest.values.tolist())


def test_a_score_lists_the_whole_vocabulary_if_it_is_small():
    tokenizer = CharTokenizer.fit("\nab")
    (char,) = score(make_model("today", tokenizer.vocab_size), tokenizer, "a")["chars"]
    assert sorted(c for c, _ in char["top"]) == ["\n", "a", "b"]
    assert sum(p for _, p in char["top"]) == pytest.approx(1)


@pytest.mark.parametrize("name", MODELS)
def test_rank_and_entropy_are_those_of_the_models_own_probabilities(name):
    """With all parts, and without each of them and a pair."""
    model, tokenizer = MODELS[name], CharTokenizer.fit("\nabcdefghij")
    parts, text = parts_of(model), "badgecafehidjig\n"  # as long as the context
    ids = torch.tensor(tokenizer.encode(tokenizer.start_char + text))
    for off in [(), *((part,) for part in parts), tuple(parts[1:3])]:
        result = score(model, tokenizer, text, off)
        with torch.no_grad():
            p = without_parts(model, off)(ids[None, :-1])[0].double().softmax(-1)  # (T, V)
        own = p.gather(1, ids[1:, None])  # (T, 1)
        columns = {
            "bits": -own[:, 0].log2(),
            "rank": 1 + (p > own).sum(dim=1),
            "entropy": -(p * p.log2()).sum(dim=1),
        }
        for column, expected in columns.items():
            shown = [c[column] for c in result["chars"]]
            assert shown == pytest.approx(expected.tolist(), abs=1e-3)
        assert result["bits_per_char"] == pytest.approx(columns["bits"].mean().item(), abs=1e-3)
        for char, row in zip(result["chars"], p, strict=True):
            likeliest = row.topk(TOP_CHARS).values.tolist()
            assert [q for _, q in char["top"]] == pytest.approx(likeliest, abs=1e-3)


def test_parts_are_off_beyond_the_context_too():
    model, tokenizer = MODELS["convolving"], CharTokenizer.fit("\nabcdefghij")
    text, off = "a\nbadge" * 9, ("0.conv", "1.head1")
    expected = score(without_parts(model, off), tokenizer, text)["chars"]
    for char, own in zip(score(model, tokenizer, text, off)["chars"], expected, strict=True):
        assert char["bits"] == pytest.approx(own["bits"], abs=1e-3)
        assert char["entropy"] == pytest.approx(own["entropy"], abs=1e-3)


def test_equal_characters_share_a_rank_and_impossible_ones_have_no_entropy():
    tokenizer = CharTokenizer.fit("\nabc")
    model = make_model("bigram", tokenizer.vocab_size)
    with torch.no_grad():
        model.table.weight[:] = torch.tensor([0.0, 0.0, 0.0, -math.inf])
    chars = score(model, tokenizer, "ab")["chars"]
    assert [c["rank"] for c in chars] == [1, 1]
    assert [c["entropy"] for c in chars] == pytest.approx([math.log2(3)] * 2)
    assert entropy(torch.tensor([[0.0, -math.inf]])).tolist() == [0]
