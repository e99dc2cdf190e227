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
from charlm.ui.change_html import change_html, unknown_html
from charlm.ui.context_html import context_html
from charlm.ui.heads_html import heads_html, strip_html
from charlm.ui.inside_html import LEVELS, caption_html, inspected_html, off_html
from charlm.ui.lens_html import lens_html, when
from charlm.ui.parts_html import comparison_html, costs_html

TEXT = 'KING:\nthe <img src=x onerror="y"> & {{all}} ${value} = "(love)"\n'
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


TAGS = """article b br button code div em figcaption figure h3 i input label li ol p section small
    span table tbody td th tr u ul""".split()
ATTRIBUTES = """aria-busy aria-checked aria-hidden aria-label aria-pressed autocapitalize
    autocomplete class data-all-on data-announcement data-change data-head data-index data-inspected
    data-levels data-of data-part data-start data-step disabled id role scope spellcheck start style
    tabindex title type value""".split()


class Parsed(HTMLParser):
    """The text and the attributes of HTML; fails for tags and attributes that are not ours."""

    def __init__(self, html):
        super().__init__()
        self.open, self.text, self.attributes = [], "", []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        assert tag in TAGS
        assert {name for name, _ in attrs} <= {*ATTRIBUTES}
        self.attributes += attrs
        self.open += [] if tag == "input" else [tag]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def every_panel(at):
    looked, alternatives_ = attention_of(at), chances_of(at)
    yield context_html(at, alternatives_)
    yield lens_html(at, looked["lens"])
    if looked["layers"]:
        yield heads_html(at, looked)
        yield costs_html(at, {"": 2.0, "0.mlp": 2.5})
        yield comparison_html(at, [alternatives_, alternatives_], 2.25, [TEXT, None])
    last = len(at.context) - 1
    for char in ("x", "<", '"', "&"):
        moved = changes(at.network, TOKENIZER, at.context, last, char)
        yield change_html(at, at.index - 1, char, moved)
    yield caption_html(at, 1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bigram", "lecture", "today"])
def test_every_panel_escapes_every_letter(kind):
    off = () if kind == "bigram" else ("0",)
    for index in range(1, len(TEXT) + 1):
        panels = [Parsed(html) for html in every_panel(inspected(kind, index=index, off=off))]
        fields = [dict(panel.attributes).get("value") for panel in panels]
        assert [field for field in fields if field] == ["x", "<", '"', "&"]
        if kind != "bigram":
            assert TEXT in panels[4].text  # that goes on
    assert Parsed(unknown_html(inspected(), 19, '"<', "<b>")).text.endswith("<b>")


def test_the_text_and_its_caption_say_which_letter_it_is():
    at = inspected(index=0)
    assert inspected_html(at).startswith('<article tabindex="0"')
    assert inspected_html(at).endswith("</article>")
    assert "letter 1, “K”" in caption_html(at, 3)
    assert 'data-step="-1" aria-label="Previous letter" disabled' in caption_html(at, 3)
    last = caption_html(inspected(index=len(TEXT)), 3)
    assert "Predicting the next letter" in last
    assert 'data-step="1" aria-label="Next letter" disabled' in last
    assert "&quot;serial&quot;: 3" in last
    assert "a new line" in caption_html(inspected(index=5), 3)


def test_the_context_is_described_in_letters():
    at = inspected(index=20)
    text = Parsed(context_html(at, chances_of(at))).text
    assert f"it saw {20 - at.start} letters. The first {at.start} are out of its sight" in text
    first = inspected(index=0)
    assert "there is nothing" in context_html(first, chances_of(first))
    bigram = inspected("bigram", index=4)
    assert "it saw 1 letter." in context_html(bigram, chances_of(bigram))


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
        "Only after block 1, “b” is the likeliest. The text has “K”, which is it only after the"
        " embedding."
    )
    lens = [[["a", 0.5]]] * 3
    assert when(at, lens, rows) == (
        "From the embedding on, “a” is the likeliest. The text has “K”, which never is."
    )


def test_parts_have_switches_and_costs():
    at = inspected("lecture")
    html = costs_html(at, {"": 2.0, "0.head0": 1.5, "0.mlp": 3.5})
    assert "this text surprises the model by 2.00 bits per letter: it is as unsure as" in html
    blind = f"; guessing blindly is {at.tokenizer.vocab_size}."
    assert f"as unsure as between 4.0 letters{blind}" in html
    assert f'aria-busy="true" data-of="{at.scored_digest}"' in html
    assert 'aria-label="block 0, head 0: −0.50 bits per letter without it, as unsure' in html
    assert "+1.50 bits per letter without it, as unsure as between 11 letters" in html
    assert 'class="w5" aria-label="block 0, mlp: +1.50' in html
    assert 'aria-label="block 0, all: not measured yet"' in html
    done = costs_html(at, {"": 2.0} | dict.fromkeys(parts_of(at.network), 1.999))
    assert 'aria-busy="false"' in done
    assert "<b>all</b> +0.00" in done
    long = inspected("lecture", text=TEXT * 30, index=1_200)
    assert "the part of 1,000 letters that is read surprises" in costs_html(long, {"": 2.0})


def test_capitals_stay_capitals():
    at = inspected(index=1)
    html = context_html(at, chances_of(at))
    assert "goes on with “I”, which surprised it by" in html
    assert re.search(
        r"\(\d\.\d\d bits\), the model is as unsure as between [\d.]+ letters; guess", html
    )


def test_parts_off_are_named_with_a_button():
    assert off_html(inspected()) == ""
    assert "Switched off: block 0: feed-forward layer, block 1: all <button" in off_html(
        inspected(off=("0.mlp", "1"))
    )
