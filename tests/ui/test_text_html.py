import re
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.ui.text_html import text_html

TEXTS = st.text(st.sampled_from("Ab:' \n<&>${}`"), max_size=60)


def paragraphs(html):
    """Return (class, text) of each paragraph, as a browser parses them."""
    found = re.findall(r'<p class="(\w+)">(.*?)(?=<p |$)', html, flags=re.DOTALL)
    return [(kind, unescape(re.sub(r"<[^>]*>", "", body))) for kind, body in found]


def test_speakers_lines_and_gaps():
    text = "ROMEO:\nO, speak again:\nWell:\n\nFirst Citizen:\nAy.\n"
    assert [kind for kind, _ in paragraphs(text_html(text))] == [
        "speaker",
        "line",
        "line",
        "gap",
        "speaker",
        "line",
        "gap",
    ]


@pytest.mark.parametrize(
    "line",
    [
        "ROMEO:",
        "First Citizen:",
        "KING RICHARD III:",
        "Οἰδίπους:",
        "हैमलेट:",
        "המלט:",
        "李爾王：",
        "L'Été:",
    ],
)
def test_speakers_of_any_script_are_recognised(line):
    assert paragraphs(text_html(f"a\n\n{line}\nb"))[2] == ("speaker", line)


@pytest.mark.parametrize("line", ["romeo:", "ah:", "12:", "So:-", ":", "A" * 40 + ":", "O, so:"])
def test_other_lines_are_no_speakers(line):
    assert paragraphs(text_html(f"a\n\n{line}\nb"))[2] == ("line", line)


@given(text=TEXTS, prompt_length=st.integers(0, 70))
def test_the_paragraphs_give_the_text_back(text, prompt_length):
    html = text_html(text, prompt_length)
    assert "\n".join(line for _, line in paragraphs(html)) == text


@given(text=TEXTS, prompt_length=st.integers(0, 70))
def test_exactly_the_prompt_is_marked(text, prompt_length):
    marked = re.findall(
        r'<span class="prompt">(.*?)</span>', text_html(text, prompt_length), flags=re.DOTALL
    )
    assert unescape("".join(marked)) == text[:prompt_length].replace("\n", "")


def test_markup_in_the_text_is_escaped():
    assert "<script" not in text_html("<script>alert(1)</script>", 10)
    assert "&lt;script&gt;" in text_html("<script>alert(1)</script>")


@given(text=TEXTS)
def test_finished_lines_never_change(text):
    """Each update sends only the HTML from the last line on."""
    finished, _, _ = text.rpartition("\n")
    before = text_html(finished + "\n", generating=True).rpartition("<p ")[0]
    assert text_html(finished + "\n" + text, generating=True).startswith(before)
