"""The panels of the tab Look inside as HTML."""

import re
from html.parser import HTMLParser

import pytest
import torch
from small_models import make_model

from charlm.config import SampleConfig
from charlm.data.tokenizer import CharTokenizer
from charlm.inspection.alternatives import alternatives
from charlm.inspection.attention import attention
from charlm.inspection.changes import changes
from charlm.models.parts import parts_of
from charlm.serving.inspected_text import InspectedText
from charlm.ui.change_html import change_html
from charlm.ui.inside_html import (
    LEVELS,
    caption_html,
    context_html,
    heads_html,
    inspected_html,
    lens_html,
    off_html,
    strip_html,
    when,
)
from charlm.ui.parts_html import comparison_html, costs_html

TEXT = 'KING:\nthe <b>king</b> & {{all}} ${value} = "(love)"\n'
TOKENIZER = CharTokenizer.fit(TEXT + "xyz")
CONFIG = SampleConfig(1, seed=2)
LOGITS = torch.linspace(2, -2, TOKENIZER.vocab_size)


def inspected(kind="today", text=TEXT, index=20, off=()):
    model = make_model(kind, TOKENIZER.vocab_size)
    return InspectedText(model, TOKENIZER, "small", CONFIG, text, 6, index, off)


def attention_of(at):
    return attention(at.network, at.tokenizer, at.context)


def chances_of(at):
    """Return alternatives of the letter, whose chances are those of LOGITS."""
    return alternatives(LOGITS, CONFIG, TOKENIZER, at.char or "x", at.index)


class Balanced(HTMLParser):
    """Collects the text; fails for an end tag that does not match, other than of `p`."""

    def __init__(self, html):
        super().__init__()
        self.open, self.text = [], ""
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        assert (
            tag
            in "section p b i u s small code h3 ul ol li span button em figure figcaption"
            " div table tbody tr th td label input article".split()
        ), tag
        if tag not in ("input",):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def every_panel(at):
    looked = attention_of(at)
    alternatives_ = chances_of(at)
    yield context_html(at, alternatives_, TOKENIZER.chars)
    yield lens_html(at, looked)
    if looked["layers"]:
        yield heads_html(at, looked)
        parts = parts_of(at.network)
        yield costs_html(parts, {"": 2.0, parts[0]: 2.5}, 10, 10)
        sides = [alternatives_, alternatives_], 2.25, TOKENIZER.chars
        yield comparison_html(at, *sides, [TEXT, None])
    moved = changes(at.network, TOKENIZER, at.context, len(at.context) - 1, "x")
    yield change_html(at, at.index - 1, "<", moved)
    yield caption_html(at, 1)


@pytest.mark.parametrize("kind", ["bigram", "lecture", "today"])
def test_every_panel_escapes_every_letter(kind):
    off = () if kind == "bigram" else ("0",)
    for index in range(1, len(TEXT) + 1):
        for html in every_panel(inspected(kind, index=index, off=off)):
            Balanced(html)


def test_the_text_and_its_caption_say_which_letter_it_is():
    at = inspected(index=0)
    assert inspected_html(at).startswith('<article tabindex="0"')
    assert "letter 1, “K”" in caption_html(at, 3)
    assert 'data-step="-1" aria-label="Previous letter" disabled' in caption_html(at, 3)
    last = caption_html(inspected(index=len(TEXT)), 3)
    assert "It predicts the next letter" in last
    assert 'data-step="1" aria-label="Next letter" disabled' in last
    assert "&quot;serial&quot;: 3" in last
    assert "a new line" in caption_html(inspected(index=5), 3)


def test_the_context_is_described_in_letters():
    at = inspected(index=20)
    assert f"it saw {20 - at.start} letters. The first {at.start} are out of its sight." in (
        Balanced(context_html(at, chances_of(at), TOKENIZER.chars)).text
    )
    first = inspected(index=0)
    assert "there is nothing" in context_html(first, chances_of(first), TOKENIZER.chars)
    bigram = inspected("bigram", index=4)
    assert "it saw 1 letter." in context_html(bigram, chances_of(bigram), TOKENIZER.chars)


def test_a_head_has_its_pattern_its_weights_and_a_strip_of_the_context():
    at = inspected("lecture", text=TEXT, index=12)
    looked = attention_of(at)
    html = heads_html(at, looked)
    assert html.count("data-levels") == 4
    assert 'data-start="0"' in html
    first = looked["layers"][0]["heads"][0]
    levels = re.search(r'data-levels="(\d+)"', html)[1]
    assert len(levels) == len(first) == 12
    assert [int(level) for level in levels] == [sum(w >= least for least in LEVELS) for w in first]
    patterns = [p for layer in looked["layers"] for p in layer["patterns"]]
    assert html.count("no clear pattern") == sum(p["pattern"] is None for p in patterns)
    beyond = inspected("lecture", text=TEXT, index=40)
    start = attention_of(beyond)["start"]
    assert f'data-start="{start}"' in heads_html(beyond, attention_of(beyond))


def test_neighbours_of_one_level_are_one_run():
    html = strip_html("a<\nb", [0, 0, 3, 3])
    assert html == "<i class=w0>a&lt;</i><i class=w3>↵b</i>"


def test_where_the_model_decided():
    at, rows = inspected(index=0), ["the embedding", "block 0", "block 1"]  # the letter is K
    lens = [[["a", 0.5]], [["K", 0.5]], [["K", 0.5]]]
    assert when(at, lens, rows) == "From block 0 on, “K” is the likeliest."
    lens = [[["K", 0.5]], [["a", 0.5]], [["b", 0.5]]]
    assert when(at, lens, rows) == (
        "Only after block 1, “b” is the likeliest. The text has “K”, the likeliest only after the"
        " embedding."
    )
    lens = [[["a", 0.5]]] * 3
    assert when(at, lens, rows) == (
        "From the embedding on, “a” is the likeliest. The text has “K”, the likeliest nowhere."
    )


def test_parts_have_switches_and_costs():
    html = costs_html(["0.head0", "0.mlp", "0"], {"": 2.0, "0.head0": 1.5, "0.mlp": 3.5}, 7, 90)
    assert "7 letters of this text costs 2.00 bits per letter" in html
    assert "as unsure as between 4.0 letters" in html
    assert 'aria-busy="true"' in html
    assert 'aria-label="block 0, head 0: −0.50 bits per letter without it"' in html
    assert 'class="w5" aria-label="block 0, mlp: +1.50' in html
    assert 'aria-label="block 0, all of it: not measured yet"' in html
    done = costs_html(["0"], {"": 2.0, "0": 1.999}, 7, 7)
    assert 'aria-busy="false"' in done
    assert "<b>all of it</b> +0.00" in done


def test_parts_off_are_named_with_a_button():
    assert off_html(inspected()) == ""
    assert "Switched off: 0.mlp, 1 <button" in off_html(inspected(off=("0.mlp", "1")))
    assert comparison_html(inspected(), None, None, (), None) == ""
