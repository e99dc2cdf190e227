"""The tab Look inside in Chromium: its panels, letters, switches, and its address."""

import re

import pytest
from browser import expect_value, letter_from, place_of, visitor
from playwright.sync_api import expect

HAS_TEXT = "([part, text]) => document.querySelector(part).innerText === text"
COUNT = 5  # letters that the model of LINK sees at the end of the text
LINK = "?prompt=KING:%0A&model=small-gpt&max_new_chars=60&seed=5"
SELECTED = "() => [...(CSS.highlights.get('inspected-letter') ?? [])].join()"
GREY = """() => [...(CSS.highlights.get('outside-context') ?? [])]
    .map((range) => range.toString()).join("")"""
WEIGHTS = """() => [1, 2, 3, 4, 5]
    .map((level) => CSS.highlights.get(`weight-${level}`)?.size ?? 0)
    .reduce((a, b) => a + b)"""
STEP_BACK = """times => {
    for (let i = 0; i < times; i++) document.querySelector("[data-step='-1']").click();
}"""
PAINTED = """() => [1, 2, 3, 4, 5]
    .flatMap((level) => [...(CSS.highlights.get(`weight-${level}`) ?? [])])
    .flatMap((range) => [...range.toString()]).sort()"""
PANELS = ["What it saw", "Who looked where", "When it made up its mind", "What it would miss"]
PANELS += ["One letter changed"]


@pytest.fixture
def page(browser, app):
    """A page that looks inside the text of LINK, whose last letter, 66, is selected."""
    with visitor(browser, app, LINK) as page:
        expect(page.locator("#link")).to_be_visible(timeout=60_000)
        page.get_by_role("tab", name="Look inside").click()
        expect(page.locator("#inside-caption")).to_contain_text("letter 66")
        yield page
    assert app.log.read_text().count("Traceback") == 0


def choose(page, panel):
    page.locator("#inside-panel-choice label").filter(has_text=panel).click()


def text_of(page, where="#inside-text article"):
    return "\n".join(page.locator(f"{where} p").all_text_contents())


def texts_of(page):
    return page.locator(".continued").all_text_contents()


def switch(page, part):
    return page.locator(f'[data-part="{part}"]')


def test_a_letter_is_selected_and_explained(page):
    text = text_of(page, "#text")
    assert text_of(page) == text
    expect_value(page, SELECTED, text[65].strip())
    expect(page.locator("#inside-shown .chosen .track")).to_have_count(1)
    # the context has 16 letters at most, and began anew on the way
    sees = int(re.search(r"it saw (\d+) letters", page.locator("#inside-shown").inner_text())[1])
    assert 4 <= sees <= 16
    expect_value(page, GREY, text[: 65 - sees].replace("\n", ""))
    page.locator("#inside-text article").focus()
    for _ in range(20):  # faster than the server answers
        page.keyboard.press("ArrowLeft")
    expect(page.locator("#inside-caption")).to_contain_text("letter 46")
    expect_value(page, SELECTED, text[45].strip())
    expect(page.locator("#inside-text article")).to_be_focused()
    page.keyboard.press("Control+End")  # is not a letter's
    page.locator("[data-step='1']").click()
    expect(page.locator("#inside-caption")).to_contain_text("letter 47")
    expect(page.locator("[data-step='1']")).to_be_focused()
    expect(page).to_have_url(re.compile("at=46"))
    expect(page.locator("#inside-shown .chances figcaption")).to_contain_text(
        text[46 - 16 : 46].replace("\n", "↵")
    )


def test_heads_show_their_weights_in_the_text(page):
    choose(page, "Who looked where")
    heads = page.locator("#inside-shown [data-levels]")
    expect(heads).to_have_count(3)  # a convolution, then two heads
    expect(heads.first).to_contain_text("convolution")
    assert page.evaluate(WEIGHTS) == 0
    heads.nth(1).hover()
    assert page.evaluate(WEIGHTS) > 0
    page.mouse.move(0, 0)
    assert page.evaluate(WEIGHTS) == 0
    heads.nth(1).focus()
    page.keyboard.press("Enter")
    expect(heads.nth(1)).to_have_attribute("aria-pressed", "true")
    heads.nth(1).blur()
    levels = heads.nth(1).get_attribute("data-levels")
    seen = text_of(page)[65 - len(levels) : 65]
    painted = [c for c, level in zip(seen, levels, strict=True) if level != "0" and c != "\n"]
    expect_value(page, PAINTED, sorted(painted))
    expect(heads.nth(1)).to_contain_text(re.compile(r"head 0 .+ \d+\.\d %"))
    page.locator("[data-step='-1']").click()
    expect(page.locator("#inside-caption")).to_contain_text("letter 65")
    expect(heads.nth(1)).to_have_attribute("aria-pressed", "true")
    expect(page).to_have_url(re.compile(r"head=1\.0"))


def test_the_lens_ends_with_the_chances_of_the_model(page):
    choose(page, "When it made up its mind")
    rows = page.locator(".lens tr")
    expect(rows).to_have_count(3)
    char, last = rows.last.locator("td").first.inner_text().split(None, 1)
    choose(page, "What it saw")
    first = page.locator("#inside-shown .chances li").first
    expect(first).to_contain_text(char)
    raw = re.findall(r"([\d.]+) %", first.inner_text())[-1]  # after the final one, if it differs
    assert float(raw) == pytest.approx(float(last.removesuffix(" %")), abs=0.11)


@pytest.mark.slow
def test_a_part_off_changes_the_text_and_on_returns_it(page):
    choose(page, "What it would miss")
    expect(page.locator("#inside-costs [aria-busy=false]")).to_be_visible()
    expect(page.locator("#inside-costs [role=switch]")).to_have_count(7)
    expect(page.locator("#inside-costs")).to_contain_text(
        re.compile(r"as unsure as between [\d.]+")
    )
    for _ in range(30):  # 160 letters from here
        page.locator("[data-step='-1']").click()
    expect(page.locator("#inside-caption")).to_contain_text("letter 36")
    switch(page, "1.head0").click()
    expect(page.locator(".continued")).to_have_count(2)
    expect(page.locator(".continued").last).not_to_have_text("…")
    whole, without = texts_of(page)
    assert len(whole) == len(without) == 160
    assert whole.startswith(text_of(page)[35:])  # the text as it was written
    expect(switch(page, "1.head0")).to_have_attribute("aria-checked", "false")
    expect(switch(page, "1.head0")).to_be_focused()
    expect(page).to_have_url(re.compile(r"off=1\.head0"))
    switch(page, "0").click()
    expect(page.locator(".off")).to_contain_text("block 0: all, block 1: head 0")
    expect(page.locator(".sides h3").last).to_have_text("Without block 0: all, block 1: head 0")
    expect(page.locator(".continued").last).not_to_have_text(re.compile("^(…|.{0,159})$", re.S))
    both = texts_of(page)
    assert both[0] == whole
    assert both[1] not in (whole, without)
    choose(page, "When it made up its mind")
    expect(page.locator(".off")).to_contain_text("block 0: all, block 1: head 0")
    page.locator("[data-all-on]").click()
    expect(page.locator(".off")).to_have_count(0)
    expect(page.locator("#inside :focus")).to_have_count(1)
    choose(page, "What it would miss")
    expect(switch(page, "0")).to_have_attribute("aria-checked", "true")
    switch(page, "1.head0").click()
    expect(page.locator(".continued").last).to_have_text(without)
    assert texts_of(page)[0] == whole


@pytest.mark.slow
def test_one_letter_changed_moves_what_comes_after_it(page):
    choose(page, "One letter changed")
    letters = page.locator("[data-change]")
    expect(letters).to_have_count(COUNT)
    expect(letters.last).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#changed")).not_to_have_value("")
    expect(page.locator(".moves")).to_contain_text("stream")
    letters.nth(COUNT - 3).click()
    expect(letters.nth(COUNT - 3)).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#changed")).to_be_focused()
    page.keyboard.press("Control+A")
    page.keyboard.type("K")
    expect(page.locator("#inside-shown")).to_contain_text("With “K” instead of")
    expect(page.locator("#inside-shown")).to_contain_text("3 letters before")
    expect(page.locator("#changed")).to_be_focused()
    expect(page).to_have_url(re.compile("change=62%3AK"))
    page.locator("#changed").fill("😀")
    expect(page.locator("#inside-shown")).to_contain_text("does not know '😀'")
    expect(page.locator("#changed")).to_be_focused()
    page.locator("#changed").fill("g")
    expect(page.locator("#inside-shown")).to_contain_text("With “g” instead of")


@pytest.mark.slow
def test_a_typed_text_is_looked_at_and_the_one_in_play_comes_back(page):
    written = text_of(page)
    typed = page.locator("#inside-typed textarea")
    typed.fill("the king 😀 <b>&")
    expect(page.locator("#inside-caption")).to_contain_text("the next letter")
    expect(page.locator("#inside-text")).to_contain_text("does not know 😀")
    assert text_of(page) == "the king  <b>&"
    expect(page).to_have_url(re.compile("text=the"))
    expect(page.locator("#inside-text .predicts-next")).to_have_count(1)
    typed.fill("")
    expect(page.locator("#inside-caption")).to_contain_text("letter 66")
    assert text_of(page) == written
    expect(page).not_to_have_url(re.compile("text="))
    page.get_by_role("tab", name="Play").click()
    index = letter_from(written, 8)
    page.mouse.click(*place_of(page, index))
    expect(page.locator(".chances:visible")).to_have_attribute("data-index", str(index))
    page.get_by_role("tab", name="Look inside").click()
    expect(page.locator("#inside-caption")).to_contain_text(f"letter {index + 1}")
    page.evaluate(STEP_BACK, 20)  # beyond the text
    expect(page.locator("#inside-caption")).to_contain_text("letter 1,")
    page.get_by_role("tab", name="Play").click()
    page.locator("#next-letter").click()
    expect(page.locator("#status")).to_contain_text("61 characters")
    page.get_by_role("tab", name="Look inside").click()
    expect(page.locator("#inside-caption")).to_contain_text("letter 67")


@pytest.mark.slow
@pytest.mark.parametrize("typed", [False, True])
def test_the_same_address_shows_the_same_thing(browser, app, page, typed):
    if typed:
        page.locator("#inside-typed textarea").fill("the king hath no crown")
        expect(page.locator("#inside-caption")).to_contain_text("the next letter")
    else:
        page.locator("[data-step='-1']").click()
        expect(page.locator("#inside-caption")).to_contain_text("letter 65")
    choose(page, "What it would miss")
    expect(page.locator("#inside-costs [aria-busy=false]")).to_be_visible()
    switch(page, "1.mlp").click()
    expect(page.locator(".continued").last).not_to_have_text("…")
    expect(page).to_have_url(re.compile(r"off=1\.mlp"))
    shown = [page.locator(part).inner_text() for part in ("#inside-caption", "#inside-shown")]
    with visitor(browser, app, page.url.removeprefix(app.url)) as friend:
        expect(friend.locator(".continued")).to_have_count(2, timeout=60_000)
        assert text_of(friend) == text_of(page)
        for part, text in zip(("#inside-caption", "#inside-shown"), shown, strict=True):
            friend.wait_for_function(HAS_TEXT, arg=[part, text])
        expect(switch(friend, "1.mlp")).to_have_attribute("aria-checked", "false")


def test_a_fresh_page_looks_inside_its_first_text(browser, app):
    """So do addresses with values that make no sense."""
    query = "?tab=inside&at=99999&off=7.head9&panel=none&change=99999:xy&inside_model=small-gpt"
    with visitor(browser, app, query) as page:
        expect(page.locator("#inside-shown")).to_contain_text("no part '7.head9'", timeout=60_000)
        expect(page.locator("#inside-caption")).to_contain_text("the next letter")
        expect(page.locator("#address-notice")).to_contain_text("panel is 'none'")
        assert text_of(page)
        page.locator("[data-all-on]").click()
        expect(page.locator("#inside-shown .chances")).to_be_visible()
    with visitor(browser, app, "?tab=inside&prompt=KING&model=nobody") as page:
        expect(page.locator("#address-notice")).to_contain_text("nobody", timeout=60_000)
        expect(page.locator("#inside-shown .chances")).to_be_visible()
