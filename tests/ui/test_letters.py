"""The letters of a finished text in Chromium: their chances, branches, and surprise."""

import re

import pytest
from browser import expect_value, letter_from, place_of, settled_address, visitor
from playwright.sync_api import expect

LINK = "?prompt=KING:%0A&model=small-gpt&max_new_chars=60&seed=5&top_k=4"
PAINTED = """() => [0, 1, 2, 3]
    .map((level) => CSS.highlights.get(`surprise-${level}`)?.size ?? 0)
    .reduce((a, b) => a + b)"""
SHOWS = """text => text === [...document.querySelectorAll("#text p")]
    .map((p) => p.textContent).join("\\n")"""
SELECTED = "() => [...(CSS.highlights.get('selected-letter') ?? [])].join()"

BACK_AND_FORWARD = """async () => {
  for (const move of ["back", "forward"]) {
    const moved = new Promise((done) => addEventListener("popstate", done, { once: true }));
    history[move]();
    await moved;
  }
}"""


@pytest.fixture
def page(browser, app):
    """A page that shows the 60 characters of LINK."""
    with visitor(browser, app, LINK) as page:
        wait_for_text(page)
        yield page
    assert app.log.read_text().count("Traceback") == 0


def wait_for_text(page):
    expect(page.locator("#status")).to_contain_text("60 characters", timeout=60_000)
    expect(page.locator("#link")).to_be_visible()


def text_of(page):
    return "\n".join(page.locator("#text p").all_text_contents())


def test_a_letter_shows_the_chances_that_it_had(page):
    text = text_of(page)
    index = letter_from(text, 8)  # of those that the model has written
    page.mouse.click(*place_of(page, index))
    expect(page.locator(".chances")).to_have_attribute("data-index", str(index))
    expect_value(page, SELECTED, text[index])
    drawn = page.locator(".chances li.chosen button")
    expect(drawn).to_have_attribute("data-char", text[index])
    expect(page.locator(".chances figcaption")).to_contain_text(
        "after “" + text[:index].replace("\n", "↵")
    )
    expect(page.locator(".chances .removed").first).to_contain_text("removed by top-k")
    assert page.locator(".chances li:not(.removed)").count() == 4
    number = float(re.search(r"number ([\d.]+) fell", page.locator(".chances p").inner_text())[1])
    strip = page.locator(".strip").bounding_box()
    box = page.locator(".strip .chosen").bounding_box()
    at = strip["x"] + number * strip["width"]
    assert box["x"] - 2 <= at <= box["x"] + box["width"] + 2
    page.mouse.click(*place_of(page, 2))  # a letter of the prompt
    expect(page.locator(".chances figcaption")).to_contain_text("after “KI”")
    expect(page.locator(".chances button[data-char=N]")).to_have_count(1)


@pytest.mark.slow
def test_arrow_keys_select_letters_and_another_letter_makes_a_branch(page):
    text = text_of(page)
    page.locator("#text article").focus()
    for key, index in (("ArrowLeft", 65), ("ArrowLeft", 64), ("ArrowRight", 65)):
        page.keyboard.press(key)
        expect(page.locator(".chances")).to_have_attribute("data-index", str(index))
    for _ in range(20):  # faster than the server answers
        page.keyboard.press("ArrowLeft")
    expect(page.locator(".chances")).to_have_attribute("data-index", "45")
    other = page.locator(".chances li:not(.removed):not(.chosen) button").first
    char = other.get_attribute("data-char")
    assert char != text[45]
    other.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".chances")).to_have_count(0)
    wait_for_text(page)
    branch = text_of(page)
    assert branch.startswith(text[:45] + char)
    assert len(branch) == 46 + 60
    settled_address(page)
    page.go_back()
    page.wait_for_function(SHOWS, arg=text)
    page.go_forward()
    page.wait_for_function(SHOWS, arg=branch)


@pytest.mark.slow
def test_back_and_forward_faster_than_the_server_answers(page):
    page.locator("#text article").focus()
    page.keyboard.press("ArrowLeft")
    other = page.locator(".chances li:not(.removed):not(.chosen) button").first
    char = other.get_attribute("data-char")
    other.click()
    page.wait_for_function(
        "char => document.getElementById('text').innerText.at(65) === char", arg=char
    )
    wait_for_text(page)
    branch, address = text_of(page), settled_address(page)
    page.evaluate(BACK_AND_FORWARD)
    page.wait_for_timeout(1000)
    page.wait_for_function(SHOWS, arg=branch)
    expect(page).to_have_url(address)


@pytest.mark.slow
def test_surprise_is_painted_on_request_and_for_the_next_text(page):
    page.locator("#surprise").click()
    expect(page.locator("#surprise")).to_have_attribute("aria-pressed", "true")
    assert 10 < page.evaluate(PAINTED) <= 66
    page.mouse.move(*place_of(page, letter_from(text_of(page), 8)))
    title = re.compile(r"^\d\.\d bits, as likely as 1 in \d+$")
    expect(page.locator("#text article")).to_have_attribute("title", title)
    sentence = page.evaluate("getComputedStyle(document.getElementById('text'), '::after').content")
    assert re.search(r"On average by [\d.]+ bits: as unsure as between [\d.]+ letters; g", sentence)
    page.locator("#next-letter").click()
    expect(page.locator("#status")).to_contain_text("61 characters")
    page.wait_for_function(f"() => ({PAINTED})() > 10")
    page.locator("#surprise").click()
    expect(page.locator("#surprise")).to_have_attribute("aria-pressed", "false")
    assert page.evaluate(PAINTED) == 0
