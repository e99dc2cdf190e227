"""What of a text is copied, as HTML, and the requests for it."""

import json
import re
from html import escape

import pytest

from charlm.errors import CharlmError
from charlm.inspection.copying import MAX_CONTEXTS, TrainingIndex, copied
from charlm.serving.copied import MissingTextError
from charlm.serving.limits import Limits
from charlm.ui.copied_events import parse_copied_request
from charlm.ui.copied_html import MAX_PIECES, copied_html, missing_html, notice_html

TRAINING = "x" * 300 + "the <b>king</b> of all;" + "the war of roses " * 2 + "y" * 300


def html_of(text, p95=8, model="small"):
    found = copied(TrainingIndex(TRAINING), text, {"median": 1, "p95": p95})
    return copied_html(found | {"corpus": "plays <1>.txt"}, text, model, 7)


def test_a_copied_text_has_its_share_and_its_pieces_the_rarest_first():
    text = "The war of roses 😀 <b>king</b> of all!"
    html = html_of(text)
    said = re.sub("<[^>]+>", "", html.partition("<ol>")[0])
    assert "92 % of this text stands word for word in the text that small was trained on" in said
    assert "(plays &lt;1&gt;.txt), in pieces of more than 8 letters." in said
    assert "half of its letters stand in one of up to 1 letter, 95 % in one of up to 8" in said
    pieces = [text.index(" <b>king"), text.index("he war")]
    ends = [text.index("!"), text.index("😀")]
    places = [list(place) for place in zip(pieces, ends, strict=True)]
    assert f'data-serial="7" data-pieces="{json.dumps(places)}"' in html
    entries = html.split("<li>")[1:]
    assert "&lt;b&gt;king&lt;/b&gt; of all" in entries[0] and "there once" in entries[0]
    assert "he war of roses" in entries[1] and "there twice" in entries[1]
    assert "<mark>he war of roses </mark>the war of roses y" in entries[1]
    assert "… xxx" in entries[0] and "yyy …" in entries[0]
    assert f"from letter {TRAINING.index(' <b>king') + 1} on" in entries[0]
    assert f"the first of them from letter {TRAINING.index('he war') + 1} on" in entries[1]
    assert "<b>king" not in html and "<1>" not in html


def test_a_text_of_which_nothing_is_copied_says_how_long_its_longest_piece_is():
    html = html_of("the war!", p95=20)
    assert "<b>Nothing</b> here is copied" in html
    assert "has 7 letters." in html
    assert 'data-pieces="[]"' in html and "<ol>" not in html
    assert "has 0 letters." in html_of("?")


def test_a_long_line_is_quoted_in_part_and_many_pieces_are_counted():
    html = html_of("y" * 200)
    quoted = re.search("<bdi>(.*)</bdi>", html)[1]
    assert quoted == "y" * 60 + "…"
    html = html_of("of all?" * (MAX_PIECES + 5), p95=3)
    assert html.count("<li>") == MAX_PIECES
    assert "5 more pieces are not listed" in html


def test_a_long_piece_is_marked_with_its_start_and_end_only():
    html = html_of(TRAINING[100:-100])
    mark = re.search("<mark>(.*)</mark>", html)[1]
    piece = TRAINING[100:-100]
    assert mark == escape(f"{piece[:150]}…{piece[-150:]}")
    assert f"<mark>{mark}</mark>{'y' * 100}</blockquote>" in html
    assert f"<blockquote>{'x' * 100}<mark>" in html


def test_pieces_without_a_context_are_counted():
    html = html_of("y" * 10 + ("?" + "y" * 10) * (MAX_CONTEXTS + 2))
    assert html.count("<li>") == MAX_PIECES
    assert f"{MAX_CONTEXTS + 3 - MAX_PIECES} more pieces are not listed" in html.replace(",", "")


def test_a_missing_text_can_be_fetched_if_it_is_tiny_shakespeare():
    html = missing_html(MissingTextError("gpt", "tinyshakespeare", True), 3)
    assert "data-fetch" in html and 'data-serial="3"' in html
    html = missing_html(MissingTextError("mine", "<my>.txt", False), 3)
    assert "data-fetch" not in html
    assert "The text that mine was trained on, &lt;my&gt;.txt, is not on this machine" in html


def test_a_notice_is_a_sentence_without_markup_or_directories():
    assert "<p>Cannot read small.txt: &lt;i&gt;.</p>" in notice_html(
        "cannot read /a/b/small.txt: <i>", 1
    )
    assert "<p>Fetching …</p>" in notice_html("Fetching …", 1)


REQUEST = {"action": "look", "text": "the king", "model": "small", "prompt_length": 3}


def test_a_request_has_the_text_and_the_browsers_secret():
    request = REQUEST | {"serial": 4, "owner": "s" * 32, "fetch": True}
    wanted = parse_copied_request(json.dumps(request), Limits())
    assert wanted.shown.text == "the king" and wanted.shown.link.model == "small"
    assert (wanted.owner, wanted.serial, wanted.fetch) == ("s" * 32, 4, True)
    assert not parse_copied_request(json.dumps(REQUEST), Limits()).fetch


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("owner", "s" * 65),
        ("owner", 5),
        ("serial", -1),
        ("serial", "many"),
        ("text", "a" * 20_001),
        ("text", ["a"]),
        ("model", {"path": "/etc/passwd"}),
    ],
)
def test_a_bad_value_in_a_request_is_refused_by_name(name, value):
    with pytest.raises(CharlmError, match=f"^{name} "):
        parse_copied_request(json.dumps(REQUEST | {name: value}), Limits())


@pytest.mark.parametrize("text", ["[]", "{", '{"action": "branch"}', '"look"', "9" * 5000])
def test_what_is_no_request_is_refused(text):
    with pytest.raises(CharlmError):
        parse_copied_request(text, Limits())
