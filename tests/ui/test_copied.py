"""The button "Copied?" in Chromium: what it underlines and shows, and what it must not show."""

import json
import os
import shutil
from urllib.parse import quote

import pytest
from browser import expect_value, visitor
from playwright.sync_api import expect
from programs import App

from charlm.data.corpus import SHA256

PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
PAINTED = """(name) => [...(CSS.highlights.get(name) ?? [])].map((r) => `${r}`).join("\\n")"""
# the middle of the letter with an index in the text, which is scrolled into view
MIDDLE = """(index) => {
  const article = document.querySelector("#text article");
  const { rangeOf, letterOf } = window.charlm.letters;
  const range = rangeOf(article, letterOf(article, index));
  range.startContainer.parentElement.scrollIntoView({ block: "center" });
  const box = range.getBoundingClientRect();
  return [box.x + box.width / 2, box.y + box.height / 2];
}"""
IN_VIEW = """(selector) => {
  const box = document.querySelector(selector).getBoundingClientRect();
  return box.top >= 0 && box.bottom <= innerHeight;
}"""


@pytest.fixture
def link(corpus):
    """A query whose text begins with 100 characters of the training text of `small-gpt`."""
    return f"?prompt={quote(corpus.text[:100])}&model=small-gpt&max_new_chars=60&seed=5&top_k=4"


def wait_for_text(page):
    expect(page.locator("#status")).to_contain_text("60 characters", timeout=60_000)
    expect(page.locator("#link")).to_be_visible()


def text_of(page):
    return "\n".join(page.locator("#text p").all_text_contents())


def open_panel(page):
    """Press the button, and wait for the answer."""
    page.locator("#copied").click()
    expect(page.locator("#copied")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#copies .share b")).to_be_visible()


@pytest.mark.slow
def test_copied_pieces_are_underlined_and_show_their_places(browser, app, link, corpus):
    with visitor(browser, app) as page:
        expect(page.locator("#text article")).to_be_visible()
        expect(page.locator("#copied")).to_be_hidden()  # no text is finished
        page.goto(app.url + link)
        wait_for_text(page)
        open_panel(page)
        text, panel = text_of(page), page.locator("#copies")
        assert text.startswith(corpus.text[:100])
        expect(panel.locator(".share")).to_contain_text("% of this text stands word for word")
        expect(page.locator("#announcements")).to_contain_text("% of this text")
        pieces = json.loads(panel.locator("section").get_attribute("data-pieces"))
        start, end = pieces[0]
        assert start == 0 and end >= 100
        lines = "\n".join(line for line in text[:end].split("\n") if line)
        assert page.evaluate(PAINTED, "copied").startswith(lines)

        first = panel.locator("[data-piece]").first
        first.focus()
        page.keyboard.press("Enter")
        expect(first).to_have_attribute("aria-expanded", "true")
        expect_value(page, PAINTED, lines, "copied-piece")
        assert panel.locator("mark").first.text_content() == text[:end]
        expect(panel.locator("figcaption").first).to_contain_text("from letter 1 on")
        page.keyboard.press("Enter")
        expect(panel.locator("figure").first).to_be_hidden()
        expect_value(page, PAINTED, "", "copied-piece")

        page.mouse.click(*page.evaluate(MIDDLE, 2))  # in the piece
        expect(panel.locator("mark").first).to_be_visible()
        expect(page.locator(".chances")).to_have_count(0)
        check_with_surprise_and_other_letters(page)
        check_that_other_texts_have_no_marks(page)

        page.locator("#next-letter").click()
        expect(page.locator("#status")).to_contain_text("61 characters")
        expect(panel.locator(".share b")).to_be_visible()
        assert page.evaluate(PAINTED, "copied").startswith(lines)
        page.wait_for_url("**copied=1*")
        page.reload()
        expect(panel.locator(".share b")).to_be_visible(timeout=60_000)
        assert page.evaluate(PAINTED, "copied").startswith(lines)
        page.locator("#copied").click()
        expect(panel).to_be_hidden()
        expect(page.locator("#copied")).to_have_attribute("aria-pressed", "false")
        expect_value(page, PAINTED, "", "copied")
        page.wait_for_url(lambda url: "copied" not in url)
    assert app.log.read_text().count("Traceback") == 0


def check_with_surprise_and_other_letters(page):
    page.locator("#surprise").click()
    expect(page.locator("#surprise")).to_have_attribute("aria-pressed", "true")
    page.wait_for_function("() => [...CSS.highlights.keys()].some((k) => k.startsWith('surprise'))")
    assert page.evaluate(PAINTED, "copied")
    page.locator("#surprise").click()
    pieces = json.loads(page.locator("#copies section").get_attribute("data-pieces"))
    text = text_of(page)
    free = [i for i in range(len(text)) if not any(a <= i < b for a, b in pieces)]
    index = next(i for i in free if text[i].isalpha())
    page.mouse.click(*page.evaluate(MIDDLE, index))
    expect(page.locator(".chances")).to_have_attribute("data-index", str(index))
    expect(page.locator("#copies .share b")).to_be_visible()


def check_that_other_texts_have_no_marks(page):
    """Change the page as an update or a late answer would."""
    panel, last = page.locator("#copies"), "document.querySelector('#text p:last-child')"
    page.evaluate(f"{last}.append('?')")
    expect(panel).to_be_hidden()
    assert page.evaluate(PAINTED, "copied") == page.evaluate(PAINTED, "copied-piece") == ""
    page.evaluate(f"{last}.lastChild.remove()")
    expect(panel).to_be_visible()
    assert page.evaluate(PAINTED, "copied")
    serial = page.evaluate("document.querySelector('#copies section').dataset.serial")
    for other, shown in (("0", False), (serial, True)):
        page.evaluate("n => document.querySelector('#copies section').dataset.serial = n", other)
        expect(panel).to_be_visible(visible=shown)
        assert bool(page.evaluate(PAINTED, "copied")) == shown
    page.evaluate("document.querySelector('#text article').classList.add('generating')")
    expect(panel).to_be_hidden()
    page.evaluate("document.querySelector('#text article').classList.remove('generating')")
    expect(panel).to_be_visible()


def test_a_piece_is_tapped_on_a_phone_and_its_place_is_in_view(browser, app, link, corpus):
    with visitor(browser, app, link + "&copied=1", **PHONE) as page:
        expect(page.locator("#copies .share b")).to_be_visible(timeout=60_000)
        page.touchscreen.tap(*page.evaluate(MIDDLE, 10))
        expect(page.locator("#copies mark").first).to_contain_text(corpus.text[:100].split("\n")[1])
        assert page.evaluate(IN_VIEW, "#copies figure:not([hidden]) mark")
        assert page.evaluate(IN_VIEW, "#text p:nth-child(2)")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.slow
def test_a_missing_training_text_can_be_fetched(browser, trained, tmp_path, request):
    checkpoints, cache = shutil.copytree(trained, tmp_path / "models"), tmp_path / "cache"
    config = checkpoints / "small-gpt" / "config.json"
    data = {"name": "tinyshakespeare", "sha256": SHA256}
    config.write_text(json.dumps(json.loads(config.read_text()) | {"data": data}))
    nowhere = {"CHARLM_DATA": "", "XDG_CACHE_HOME": str(cache), "https_proxy": "127.0.0.1:9"}
    app = App(tmp_path, checkpoints, **nowhere)
    try:
        with visitor(browser, app, "?prompt=KING&model=small-gpt&max_new_chars=60&seed=5") as page:
            wait_for_text(page)
            page.locator("#copied").click()
            panel = page.locator("#copies")
            expect(panel).to_contain_text("is not on this machine")
            panel.get_by_role("button", name="Fetch Tiny Shakespeare").click()
            expect(panel).to_contain_text("Cannot download Tiny Shakespeare")
            assert "/" not in panel.inner_text().replace("https://", "").partition("(")[0]
            if os.environ.get("CHARLM_DATA"):
                request.getfixturevalue("tinyshakespeare")
                (cache / "charlm").mkdir(parents=True)
                found = cache / "charlm" / "tinyshakespeare.txt"
                shutil.copy(os.environ["CHARLM_DATA"], found)
                page.locator("#copied").click()
                page.locator("#copied").click()
                expect(panel.locator(".share")).to_contain_text("tinyshakespeare", timeout=60_000)
        assert app.log.read_text().count("Traceback") == 0
    finally:
        app.stop()
