"""The HTML of a comparison: marks, sentences, the table, and escapes."""

import re

import pytest

from charlm.serving.comparison import Chances, Comparison, Writer, Written
from charlm.serving.generate import Progress
from charlm.ui.compare_html import (
    compared_chances_html,
    contexts,
    difference,
    most_surprised,
    random_number,
    summary_html,
    unknown_html,
    writer_name,
    written_html,
)
from charlm.ui.compare_request import ComparisonRequest
from charlm.ui.link import Link
from charlm.ui.text_html import text_html

A, B = Writer("a<b"), Writer("gpt", "3.head0")


def written(writer, text, **changes):
    progress = Progress(text, 2, 2, "", 7, 1.0, **changes)
    return Written(writer, progress, ended=progress.done)


def plain(html):
    return re.sub("<[^>]*>", "", html)


def test_writers_have_names_for_sentences():
    assert writer_name(Writer("fast#1500")) == "fast at step 1,500"
    assert writer_name(B) == "gpt without block 3: head 0"
    assert writer_name(Writer("gpt", "3")) == "gpt without block 3"
    assert writer_name(Writer("a#b")) == "a#b"


@pytest.mark.parametrize("mark", range(12))
def test_a_marked_letter_changes_no_text(mark):
    text = "KING:\n<&>\n\nx"
    html = text_html(text, 3, mark=mark)
    lines = [
        plain(p).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
        for p in html.split("<p")[1:]
    ]
    assert "\n".join(line.partition(">")[2] for line in lines) == text
    marked = re.search(r'<mark>(.+?)</mark>|<mark class="(newline)">', html)
    shown = {"\n": "newline", "<": "&lt;", ">": "&gt;", "&": "&amp;"}
    assert (marked[1] or marked[2]) == shown.get(text[mark], text[mark])
    assert html.count("<mark") == 1
    assert text_html(text, 3, mark=None) == text_html(text, 3)


def test_a_column_has_a_text_an_error_or_what_it_waits_for():
    html = written_html(written(A, "KI<NG", done=True), 3)
    assert "<h3>a&lt;b</h3>" in html and "<mark>N</mark>" in html and "generating" not in html
    assert "generating" in written_html(written(A, "KING"), None)
    assert "loading" in written_html(Written(A), None)
    assert "number 4 in the queue" in written_html(written(A, "KI", queue_position=4), None)
    error = written_html(Written(A, error="there is no <model>", ended=True), None)
    assert "There is no &lt;model&gt;." in error and "article" not in error
    stopped = written_html(written(A, "KING", done=True, stopped=True), None)
    assert "2 characters, stopped" in stopped
    late = written_html(written(A, "KING", done=True, stopped=True, timed_out=True), None)
    assert "ended by this page" in late
    known = Progress("K", 1, 1, "é", 7, 1.0)
    assert "does not know é; left out" in written_html(Written(A, known), None)


def test_the_first_difference_is_said_in_a_sentence():
    texts = (written(A, "KING", done=True), written(B, "KI\nG", done=True))
    same = Comparison((texts[0], texts[0]))
    assert plain(difference(Comparison(texts), 2)).startswith(
        "They first differ at letter 3. a&lt;b: “N”; gpt without block 3: head 0: a new line."
    )
    three = Comparison((*texts, written(Writer("c"), "KI\nX", done=True)))
    assert "head 0</b> and <b>c</b>: a new line" in difference(three, 2)
    assert difference(same, None) == "The texts do not differ, as far as they go."
    assert "so far" in difference(Comparison((written(A, "K"), Written(B))), None)
    assert difference(Comparison((texts[0], Written(B, ended=True))), None) == ""


def test_the_summary_has_the_state_the_table_and_the_link():
    wanted = ComparisonRequest(Link("KI", "", "", (2, 0.8, 0, 0.0, 0.0, 7)), (A, B), 5)
    comparison = Comparison((written(A, "KING", done=True), written(B, "KIXG", done=True)))
    bits = {(0, 0): (2.0, ""), (0, 1): (3.0, ""), (1, 0): (None, "é"), (1, 1): (2.5, "")}
    html = summary_html(wanted, comparison, 2, bits)
    assert "&quot;serial&quot;: 5" in html and "&quot;lengths&quot;: [2, 2]" in html
    assert re.findall(r"<td[^>]*>([^<]*)</td>", html) == ["", "2.00", "3.00", "–", "2.50"]
    assert "seed 7" in html and "compare=gpt~3.head0" in html
    assert "a<b" not in html
    before = summary_html(wanted, Comparison((written(A, "KI"), Written(B))), None)
    assert "link to this" not in before and "<table" not in before


def test_one_sentence_says_what_the_table_means():
    bits = {(0, 0): (2.4, ""), (0, 1): (3.1, ""), (1, 0): (1.9, ""), (1, 1): (1.5, "")}
    assert most_surprised(["bigram", "gpt"], bits) == (
        "bigram finds gpt’s text more surprising (3.10 bits a letter) than its own (2.40)."
    )
    assert "less surprising (1.40" in most_surprised(["a", "b"], bits | {(0, 1): (1.4, "")})
    alike = dict.fromkeys(bits, (2.0, ""))
    assert most_surprised(["a", "b"], alike) == (
        "a finds b’s text as surprising as its own (2.00 bits a letter)."
    )
    assert most_surprised(["a"], {(0, 0): (2.0, "")}) == ""
    unknown = unknown_html(["a<b"], {(0, 0): (2.0, "é\n"), (0, 1): (2.0, "é")})
    assert "a&lt;b does not know é U+000A; it read the texts without them." in plain(unknown)


def test_chances_say_whether_the_texts_before_them_are_the_same():
    assert "all three had the same text" in contexts(["KING", "KINX", "KIN"], 3, 3)
    assert "both had the same text" in contexts(["KING", "KINX", ""], 3, 2)
    assert "its own text" in contexts(["KING", "KIXG"], 3, 2)
    assert random_number({0.25}) == " The random number is the same, 0.250."
    assert "numbers differ" in random_number({0.25, 0.5})
    html = compared_chances_html([Chances(A, error="there is no <x>")], ["KING"], 3)
    assert "There is no &lt;x&gt;." in html and 'data-index="3"' in html
