"""The page in a real browser, as a visitor meets it."""

import re
from itertools import pairwise

import pytest
from browser import visitor
from playwright.sync_api import expect


@pytest.fixture
def page(browser, app, request):
    """A fresh visitor on the page."""
    with visitor(browser, app, **getattr(request, "param", {})) as page:
        expect(page.locator("#generate")).to_be_visible(timeout=60_000)
        yield page
    assert app.calls_to_elsewhere() == []


def text_of(page):
    return "\n".join(page.locator("#text p").all_text_contents())


def set_length(page, characters):
    if not page.locator("#settings input[type=number]").first.is_visible():
        page.locator("#settings > button").click()
        page.wait_for_timeout(1000)  # what is typed while the panel still unfolds is not taken yet
    field = page.locator("#settings input[type=number]").first
    field.fill(str(characters))
    field.press("Tab")
    slider = page.locator("#settings input[type=range]").first
    expect(slider).to_have_value(str(characters))


LONG_ENOUGH = """n => {
    const text = [...document.querySelectorAll('#text p')].map(p => p.textContent).join('\\n');
    return text.length > n && text;
}"""


def wait_for_text(page, characters):
    """The text, once it is longer than that: looked at in one go, for it may change meanwhile."""
    return page.wait_for_function(LONG_ENOUGH, arg=characters).json_value()


def wait_until_done(page):
    expect(page.locator("#generate")).to_be_visible(timeout=60_000)
    expect(page.locator("#text .writing")).to_have_count(0)


def test_there_is_verse_before_anything_is_typed(page):
    assert len(text_of(page)) == 20  # what the small run writes at an evaluation
    expect(page.locator("#status")).to_contain_text("small-gpt, as it wrote at step 30")
    expect(page.locator("#model-summary")).to_contain_text("validation loss")


def test_a_prompt_is_continued_while_one_watches(page):
    set_length(page, 2000)
    page.locator("#prompt textarea").fill("KING:\nthe ")
    page.locator("#generate").click()
    seen = []
    while len(seen) < 4:
        seen.append(wait_for_text(page, len(seen[-1]) if seen else 60))
    expect(page.locator("#stop-generating")).to_be_visible()
    assert all(b.startswith(a[:50]) and len(b) > len(a) for a, b in pairwise(seen))
    wait_until_done(page)
    text = text_of(page)
    assert text.startswith("KING:\nthe ")
    assert len(text) == len("KING:\nthe ") + 2000
    assert page.locator("#text .given").all_text_contents() == ["KING:", "the "]
    assert page.locator("#text .speaker").first.text_content() == "KING:"
    status = page.locator("#status").inner_text()
    assert re.search(r"2,000 characters, [\d,]+ a second, seed \d+", status)


def test_it_stops_when_told_and_writes_again(page):
    set_length(page, 2000)
    page.locator("#generate").click()
    # in one go: so small a model may be done by the time that a second look takes
    written = "document.querySelector('#text').innerText.length > 100"
    page.wait_for_function(
        f"() => {written} && (document.querySelector('#stop-generating').click(), true)"
    )
    wait_until_done(page)
    expect(page.locator("#status")).to_contain_text("stopped")
    stopped = text_of(page)
    assert 50 < len(stopped) < 2000
    set_length(page, 50)
    page.locator("#generate").click()
    expect(page.locator("#status")).to_contain_text("50 characters")
    wait_until_done(page)


@pytest.mark.parametrize("keys", ["Control+Enter", "Meta+Enter", "Shift+Enter"])
def test_the_keyboard_is_enough(page, keys):
    set_length(page, 50)
    page.locator("#prompt textarea").fill("KING:")
    page.locator("#prompt textarea").press(keys)
    expect(page.locator("#status")).to_contain_text("50 characters")
    wait_until_done(page)
    assert text_of(page).startswith("KING:")


def test_dropped_characters_are_told_and_the_notice_goes_again(page):
    set_length(page, 50)
    page.locator("#prompt textarea").fill("KING 😀: 7")
    page.locator("#generate").click()
    expect(page.locator("#notice")).to_contain_text("does not know 😀 7")
    wait_until_done(page)
    assert text_of(page).startswith("KING : ")
    page.locator("#prompt textarea").fill("KING")
    page.locator("#generate").click()
    expect(page.locator("#notice .notice")).to_have_count(0)
    wait_until_done(page)


def test_an_opening_is_one_click(page):
    set_length(page, 50)
    page.get_by_role("button", name="The crowd").click()
    expect(page.locator("#prompt textarea")).to_have_value("First Citizen:\n")
    expect(page.locator("#status")).to_contain_text("50 characters")
    wait_until_done(page)
    assert page.locator("#text .given").first.text_content() == "first Citien:"


def test_a_new_request_ends_the_generation_before(page):
    set_length(page, 2000)
    page.locator("#generate").click()
    wait_for_text(page, 50)
    set_length(page, 50)
    page.get_by_role("button", name="Nothing at all").click()
    expect(page.locator("#status")).to_contain_text("50 characters", timeout=20_000)
    wait_until_done(page)
    page.wait_for_timeout(500)
    assert len(text_of(page)) == 50


def test_an_ended_generation_is_never_shown_after_a_newer_one(page):
    """Every text that was shown, by the seed of its status line, while requests come quickly."""
    page.evaluate("""() => {
        const status = document.querySelector("#status");
        window.seeds = [];
        new MutationObserver(() => {
            const seed = /seed (\\d+)/.exec(status.textContent)?.[1];
            if (seed && seed !== window.seeds.at(-1)) window.seeds.push(seed);
        }).observe(status, { childList: true, subtree: true, characterData: true });
    }""")
    set_length(page, 2000)
    prompts = page.locator("#examples button")
    for i in range(24):
        prompts.nth(i % 5).click()
        page.wait_for_timeout(37 * (i % 7))
    prompts.nth(3).click()
    expect(page.locator("#prompt textarea")).to_have_value("First Citizen:\n")
    wait_until_done(page)
    page.wait_for_timeout(500)
    assert text_of(page).startswith("first Citien:")
    seeds = page.evaluate("window.seeds")
    assert len(seeds) > 3
    assert len(seeds) == len(set(seeds)), "an older text came back"


def test_what_is_typed_is_never_run(page):
    set_length(page, 50)
    markup = "the ${love(value)} {{value}} <b>king</b> & all"
    page.locator("#prompt textarea").fill(markup)
    page.locator("#generate").click()
    expect(page.locator("#status")).to_contain_text("50 characters")
    wait_until_done(page)
    expect(page.locator("#notice .notice")).to_have_count(0)
    assert text_of(page).startswith(markup)
    assert page.locator("#text b").count() == 0


def test_the_text_can_be_copied(page):
    set_length(page, 200)
    page.locator("#generate").click()
    expect(page.locator("#status")).to_contain_text("200 characters")
    wait_until_done(page)
    page.locator("#copy").click()
    expect(page.locator("#copy")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == text_of(page)
    expect(page.locator("#copy")).to_have_text("Copy")


def test_a_bad_setting_is_told_and_the_next_request_works(page):
    set_length(page, 50)
    seed = page.locator("#settings input[type=number]").last
    seed.fill("-5")
    seed.press("Tab")
    page.locator("#generate").click()
    expect(page.get_by_text("seed is -5; it must be 0 or more")).to_be_visible()
    expect(page.locator("#generate")).to_be_visible()
    seed.fill("3")
    seed.press("Tab")
    page.locator("#generate").click()
    expect(page.locator("#status")).to_contain_text("50 characters")
    wait_until_done(page)
    texts = [text_of(page)]
    for number in (4, 3):
        seed.fill(str(number))
        seed.press("Tab")
        page.locator("#generate").click()
        expect(page.locator("#status")).to_contain_text("50 characters")
        expect(page.locator("#status")).to_contain_text(f"seed {number}")
        wait_until_done(page)
        texts.append(text_of(page))
    assert texts[0] == texts[2] != texts[1]


PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}


@pytest.mark.parametrize("page", [PHONE, PHONE | {"color_scheme": "dark"}], indirect=True)
def test_on_a_phone_nothing_sticks_out_and_the_verse_comes_into_view(page):
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 390
    page.locator("#generate").tap()
    page.wait_for_function("document.querySelector('#text').getBoundingClientRect().top < 400")
    wait_until_done(page)


@pytest.mark.parametrize("page", [{"color_scheme": s} for s in ("light", "dark")], indirect=True)
def test_day_and_night_have_their_own_paper(page):
    dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    paper = page.evaluate("getComputedStyle(document.querySelector('#output')).backgroundColor")
    brightness = sum(map(int, re.findall(r"\d+", paper)[:3])) / 3
    assert brightness < 60 if dark else brightness > 200
    font = page.evaluate("getComputedStyle(document.querySelector('#text p')).fontFamily")
    assert "EB Garamond" in font
    loaded = "[...document.fonts].filter(f => f.status == 'loaded').map(f => f.family)"
    assert "EB Garamond" in [family.strip('"') for family in page.evaluate(loaded)]
