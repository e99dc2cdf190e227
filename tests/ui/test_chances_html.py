"""The chances of a letter as HTML."""

import pytest
import torch

from charlm.config import SampleConfig
from charlm.data.tokenizer import CharTokenizer
from charlm.inspection.alternatives import alternatives
from charlm.ui.chances_html import chances_html, percent

TOKENIZER = CharTokenizer("\n <abcdefgh")
LOGITS = torch.linspace(2, -2, TOKENIZER.vocab_size)


def chances(text, index, drawn="\n", **settings):
    found = alternatives(LOGITS, SampleConfig(**settings), TOKENIZER, drawn, index)
    return chances_html(found, text, index, TOKENIZER.chars)


def test_the_likeliest_letters_and_the_one_drawn_have_rows():
    html = chances("abch", 3, drawn="h")
    assert html.count("<li") == 7
    assert 'data-index="3"' in html
    assert "after “abc”; 4 other letters together" in html
    assert '<li class="chosen"><button data-char="h"' in html
    assert "fell on <b>h</b>" in html
    assert ">space</button>" in html
    assert ">new line</button>" in html
    assert "&lt;" in html and "<<" not in html


def test_removed_letters_stay_with_their_former_chance():
    html = chances("a", 0, drawn="\n", top_k=2)
    assert "The chances of the first letter" in html
    assert html.count('class="removed"') == html.count("removed by top-k") == 4
    assert "0 % <small>(was" in html
    assert "in the text" in html
    assert html.count("<span", html.index('class="strip"')) == 2


def test_without_alternatives_there_is_nothing():
    assert chances_html(None, "", -1, "") == ""


@pytest.mark.parametrize(
    ("p", "words"), [(0, "0 %"), (1e-5, "below 0.1 %"), (0.5, "50.0 %"), (1, "100.0 %")]
)
def test_percent(p, words):
    assert percent(p) == words
