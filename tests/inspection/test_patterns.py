"""The patterns of heads, against double loops over the positions."""

import unicodedata

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from small_models import make_model

from charlm.data.tokenizer import CharTokenizer
from charlm.inspection.attention import attention, influence, look_inside
from charlm.inspection.patterns import (
    MIN_EXCESS,
    MIN_SHARE,
    NARROWER,
    masks_of,
    offset_masks,
    patterns,
)
from charlm.models.gpt import GPT

TOKENIZER = CharTokenizer.fit("\nabcdefghij")
CONVOLVING = {"n_layer": 3, "attention_every": 2, "conv_size": 3}
NEAR = ["the letter itself", "the letter before", "two letters back", "three letters back"]
# letters of scripts with and without cases, marks, and several kinds of each separator
CHARS = "abAB  \n\n.,'Éǅßд中あ\u0301\u3000\u2028\t—🙂1"
TEXT = "KING:\nThe king, alas;\nThe kingdom's lost.\n\nQueen:\nO Lord!\n"


def convolving_model():
    return make_model("today", TOKENIZER.vocab_size, **CONVOLVING)


def looks_at(name, text, t, j):
    """Return whether the character at t looks at that at j <= t, straight from the words."""

    def start_of(t, ends):  # behind the last end before t
        return max((i + 1 for i in range(t) if ends(text[i])), default=0)

    def ends_line(char):
        return len(f"a{char}b".splitlines()) == 2

    line, word = start_of(t, ends_line), start_of(t, str.isspace)
    return {
        "the letter itself": t - j == 0,
        "the letter before": t - j == 1,
        "two letters back": t - j == 2,
        "three letters back": t - j == 3,
        "the last four letters": t - j < 4,
        "the last eight letters": t - j < 8,
        "the current word": j >= word,
        "the current line": j >= line,
        "the line above": 0 < line > j >= start_of(line - 1, ends_line),
        "the start of the line": j == line,
        "the same letter earlier": j < t and text[j] == text[t],
        "what followed the same letter earlier": j > 0 and text[j - 1] == text[t],
        "spaces": text[j].isspace() and not ends_line(text[j]),
        "line breaks": ends_line(text[j]),
        "punctuation": unicodedata.category(text[j]).startswith("P"),
        "capital letters": text[j].isupper() or text[j].istitle(),
        "the first letter of the context": j == 0,
    }[name]


@given(st.text(CHARS, min_size=1, max_size=20))
@example("a")
@example("\n")
@example("\n\n\n")
@example(TEXT)
def test_masks_are_those_of_a_double_loop(text):
    masks, T = masks_of(text), len(text)
    assert list(offset_masks(T)) == NEAR == list(masks)[: len(NEAR)]
    for name, mask in masks.items():
        expected = [[j <= t and looks_at(name, text, t, j) for j in range(T)] for t in range(T)]
        assert mask.tolist() == expected, name
    for name, mask in offset_masks(T).items():
        assert torch.equal(mask, masks[name])


def shares_of(weights, masks):
    """Return {pattern: (share, that if even)} of one head, by a double loop over positions."""
    T, shares = len(weights), {}
    for name, mask in masks.items():
        share = even = 0
        for t in range(1, T):
            for j in range(t + 1):
                if mask[t][j]:
                    share += weights[t][j] / (T - 1)
                    even += 1 / (t + 1) / (T - 1)
        shares[name] = share, even
    return shares


def check(found, shares, masks):
    """Assert that a value is right for {pattern: (share, that if even)}, but for rounding."""
    close, excess = pytest.approx, {name: share - even for name, (share, even) in shares.items()}
    assert (found["share"], found["even"]) == close(shares[found["closest"]], abs=1e-3)
    own = excess[found["closest"]]
    clear = {n for n, (s, _) in shares.items() if s >= MIN_SHARE and excess[n] >= MIN_EXCESS}
    if found["pattern"] is None:
        assert all(shares[n][0] < MIN_SHARE + 1e-3 or excess[n] < MIN_EXCESS + 1e-3 for n in clear)
        assert own == close(max(excess.values()), abs=1e-3)
        return
    assert found["pattern"] == found["closest"]
    assert found["share"] >= MIN_SHARE - 1e-3
    assert own >= MIN_EXCESS - 1e-3
    highest = max((excess[n] for n in clear), default=own)  # none, if only rounding reaches a limit
    assert own >= highest - NARROWER - 1e-3
    if own < highest - 1e-3:  # a narrower one
        wide = [n for n in clear if excess[n] >= highest - 1e-3]
        inner = torch.tensor(masks[found["pattern"]])[1:]
        assert any(not (inner & ~torch.tensor(masks[n])[1:]).any() for n in wide)


@given(st.text(CHARS, min_size=2, max_size=12), st.integers(0, 2**32))
@example("A111B", 2376492)
def test_shares_are_those_of_a_double_loop(text, seed):
    masks, T = masks_of(text), len(text)
    noise = torch.randn(3, T, T, generator=torch.Generator().manual_seed(seed))
    favoured = list(masks.values())[seed % len(masks)]
    scores = noise * torch.tensor([1, 10, 1])[:, None, None]
    scores[2] += 5 * favoured
    weights = scores.masked_fill(~torch.ones(T, T, dtype=torch.bool).tril(), -torch.inf)
    weights = weights.softmax(dim=-1)
    lists = {name: mask.tolist() for name, mask in masks.items()}
    for found, head in zip(patterns(weights, masks), weights.tolist(), strict=True):
        check(found, shares_of(head, lists), lists)


def looking_at(mask):
    """Return weights (1, T, T) of a head that looks at a mask, or at all if it has none there."""
    visible = torch.ones_like(mask).tril()
    chosen = torch.where(mask.any(dim=1, keepdim=True), mask, visible).float()
    return (chosen / chosen.sum(dim=1, keepdim=True))[None]


@pytest.mark.parametrize("name", masks_of(TEXT))
def test_a_head_that_looks_at_a_pattern_gets_it(name):
    masks = masks_of(3 * TEXT)
    (found,) = patterns(looking_at(masks[name]), masks)
    assert found["pattern"] == found["closest"] == name
    assert found["share"] > 0.8  # not all where the text has no such character yet


def test_the_letter_before_gets_a_share_of_one():
    masks = masks_of(TEXT)
    (found,) = patterns(looking_at(masks["the letter before"]), masks)
    even = sum(1 / t for t in range(2, len(TEXT) + 1)) / (len(TEXT) - 1)
    name = "the letter before"
    expected = {"pattern": name, "share": 1, "even": pytest.approx(even, abs=1e-4), "closest": name}
    assert found == expected


def test_a_wide_pattern_wins_if_it_explains_clearly_more():
    masks = masks_of("abcdefgh" * 16)
    before, near = (looking_at(masks[name]) for name in (NEAR[1], "the last four letters"))
    for part, expected in ((0.9, NEAR[1]), (0.3, "the last four letters")):
        (found,) = patterns(part * before + (1 - part) * near, masks)
        assert found["pattern"] == expected


@pytest.mark.parametrize("text", [TEXT, "ab", "a" * 30, "\n" * 9])
def test_even_attention_has_no_pattern(text):
    masks = masks_of(text)
    even = looking_at(torch.ones(len(text), len(text), dtype=torch.bool).tril())
    (found,) = patterns(even, masks)
    assert found["pattern"] is None
    assert found["share"] == pytest.approx(found["even"], abs=2e-4)


def test_one_character_has_no_pattern():
    nothing = {"pattern": None, "share": 0.0, "even": 0.0, "closest": None}
    assert patterns(torch.ones(3, 1, 1), masks_of("中")) == [nothing] * 3
    for layer in attention(convolving_model(), TOKENIZER, "a")["layers"]:
        assert layer["patterns"] == [nothing] * len(layer["heads"])


def test_a_convolution_is_summed_up_by_distances():
    """At each character, its influence is that on the last one of the text that ends there."""
    model = convolving_model()
    text = "badgecafehidji"
    with torch.inference_mode():
        layers, _ = look_inside(model, torch.tensor([TOKENIZER.encode(text)]))
        _, weights = next(layers)
    weights = weights[0, 0]
    for t in range(len(text)):
        (heads,) = attention(model, TOKENIZER, text[: t + 1])["layers"][0]["heads"]
        assert weights[t, : t + 1].tolist() == pytest.approx(heads, abs=1e-5)
        assert not weights[t, t + 1 :].any()
    (found,) = attention(model, TOKENIZER, text)["layers"][0]["patterns"]
    masks = {name: mask.tolist() for name, mask in offset_masks(len(text)).items()}
    check(found, shares_of(weights.tolist(), masks), masks)
    # its three taps are the first three distances
    assert sum(share for share, _ in shares_of(weights.tolist(), masks).values()) == pytest.approx(
        1
    )


@torch.inference_mode()
def test_a_row_of_a_batch_has_its_own_influence():
    conv = convolving_model().blocks[0].mixer
    x = torch.randn(3, 9, 16, generator=torch.Generator().manual_seed(1))
    rows = influence(conv, x)
    for i, row in enumerate(rows):
        torch.testing.assert_close(row, influence(conv, x[i : i + 1])[0])


def test_an_untrained_convolution_looks_evenly_at_the_last_letters():
    config = make_model("today", TOKENIZER.vocab_size, attention_every=3).config
    layer = attention(GPT(config).eval(), TOKENIZER, "abcdefghij\nabcd")["layers"][0]
    (found,) = layer["patterns"]
    # its four letters have a quarter each, or more near the beginning
    assert found["pattern"] is None
    assert found["share"] == pytest.approx((1 / 2 + 1 / 3 + 12 / 4) / 14, abs=1e-3)


def test_an_alphabet_without_spaces_or_cases_has_patterns():
    text = "中文あ中文あ中文あ中"
    model = make_model("today", 3, attention_every=1)
    result = attention(model, CharTokenizer.fit(text), text)
    for layer in result["layers"]:
        assert len(layer["patterns"]) == len(layer["heads"])
        assert all(p["closest"] in masks_of(text) for p in layer["patterns"])
