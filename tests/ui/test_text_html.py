import re
from html import unescape

from hypothesis import given
from hypothesis import strategies as st

from charlm.ui.text_html import text_html

TEXTS = st.text(st.sampled_from("Ab:' \n<&>${}`"), max_size=60)


def paragraphs(html):
    """(class, text) of each paragraph, as a browser would have them."""
    found = re.findall(r'<p class="(\w+)">(.*?)(?=<p |$)', html, flags=re.DOTALL)
    return [(kind, unescape(re.sub(r"<[^>]*>", "", body))) for kind, body in found]


def test_speakers_verse_and_gaps():
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


@given(text=TEXTS, own=st.integers(0, 70))
def test_the_text_can_be_read_back(text, own):
    html = text_html(text, own)
    assert "\n".join(line for _, line in paragraphs(html)) == text


@given(text=TEXTS, own=st.integers(0, 70))
def test_exactly_the_visitors_characters_are_marked(text, own):
    marked = re.findall(r'<span class="given">(.*?)</span>', text_html(text, own), flags=re.DOTALL)
    assert unescape("".join(marked)) == text[:own].replace("\n", "")


def test_what_is_typed_is_never_markup():
    assert "<script" not in text_html("<script>alert(1)</script>", 10)
    assert "&lt;script&gt;" in text_html("<script>alert(1)</script>")


@given(text=TEXTS)
def test_finished_lines_never_change(text):
    """What the page sends again and again is only the line being written."""
    finished, _, _ = text.rpartition("\n")
    before = text_html(finished + "\n", writing=True).rpartition("<p ")[0]
    assert text_html(finished + "\n" + text, writing=True).startswith(before)
