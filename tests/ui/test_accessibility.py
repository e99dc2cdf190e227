"""Keyboard, screen reader, contrast, and the sizes of a phone: both tabs in Chromium."""

import re
import shutil
from itertools import pairwise

import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import visitor
from guessing import KEEP_ANSWERS, wrong_for
from playwright.sync_api import expect
from programs import App

# the body's gradients, whose contrast axe does not measure, as the colour that is worst for text
FLAT = """body, gradio-app { background: #f5ecd7 !important; }
body.dark, .dark gradio-app { background: #3f2b16 !important; }"""


@pytest.fixture(scope="module")
def app(tmp_path_factory, trained):
    """An app with two models, to choose between."""
    folder = tmp_path_factory.mktemp("accessible")
    for name in ("small-gpt", "another"):
        shutil.copytree(trained / "small-gpt", folder / "models" / name)
    app = App(folder, folder / "models")
    yield app
    app.stop()


@pytest.fixture
def page(browser, app):
    with visitor(browser, app, viewport={"width": 1280, "height": 2400}) as page:
        expect(page.locator("#generate")).to_be_visible(timeout=60_000)
        # a colour on its way from one theme to the other is that of neither
        page.emulate_media(reduced_motion="reduce")
        page.add_style_tag(content=FLAT)
        yield page


def open_watch(page):
    page.get_by_role("tab", name="Watch").click()
    expect(page.locator("#run-head")).to_contain_text("step 30 of 30", timeout=60_000)


def unfold(page):
    """Open all sections of the tab, and the fields for one's own text."""
    page.evaluate("""document.querySelectorAll("button.label-wrap:not(.open)").forEach(
        (button) => button.offsetParent && button.click())""")
    if page.locator("#source").is_visible():
        page.locator("#source label").filter(has_text="My own").click()
        expect(page.locator("#own-file")).to_be_visible()
    expect(page.locator("button.label-wrap:not(.open):visible")).to_have_count(0)


def themes(page):
    """Show the page in one theme, then in the other."""
    for theme in ("light", "dark"):
        page.evaluate("dark => document.body.classList.toggle('dark', dark)", theme == "dark")
        yield theme


# The focused element, or the pill of a radio button: the id of it or around it, its outline, and
# whether something cuts the outline off.
FOCUSED = """() => {
    if (document.activeElement === document.body) return null;
    const element = document.activeElement.closest("label:has(> [type=radio])")
        ?? document.activeElement;
    const style = getComputedStyle(element);
    const offset = parseFloat(style.outlineOffset);
    const reach = offset + parseFloat(style.outlineWidth) - 0.5;
    const box = element.getBoundingClientRect();
    let cut = false;
    for (let outer = element.parentElement; outer !== document.body; outer = outer.parentElement) {
        const { overflowX, overflowY } = getComputedStyle(outer);
        const edges = outer.getBoundingClientRect();
        cut ||= overflowX !== "visible"
            && (box.left - reach < edges.left || box.right + reach > edges.right);
        cut ||= overflowY !== "visible"
            && (box.top - reach < edges.top || box.bottom + reach > edges.bottom);
    }
    const isTransparent = style.backgroundColor.endsWith(", 0)");
    const behind = offset < 0 && !isTransparent ? element : document.body;
    return {
        id: element.closest("footer, [id]:not([id=''])").id,
        html: element.outerHTML.slice(0, 200),
        line: [style.outlineStyle, style.outlineWidth],
        colour: style.outlineColor,
        behind: getComputedStyle(behind).backgroundColor,
        cut,
    };
}"""


def tab_stops(page):
    """Yield all that Tab reaches from the top of the page."""
    page.evaluate("document.body.tabIndex = -1, document.body.focus()")
    for _ in range(80):
        page.keyboard.press("Tab")
        if not (stop := page.evaluate(FOCUSED)):
            return
        yield stop
    raise AssertionError("Tab does not reach the end of the page")


@pytest.mark.slow
def test_tab_and_the_arrow_keys_reach_and_set_all_controls(page):
    ids = [stop["id"] for stop in tab_stops(page)]
    assert ids.index("model") < 8
    assert ids.index("prompt") < 12
    assert ids.index("generate") < 20
    assert ids.count("model") == 1
    checked = page.locator("#model input:checked")
    checked.focus()
    for model in ("small-gpt", "another", "small-gpt"):
        page.keyboard.press("ArrowRight")
        expect(checked).to_have_value(model)
        expect(checked).to_be_focused()
        expect(checked).to_have_count(1)
        expect(page.locator("#status")).to_contain_text(f"{model}: 500 characters")
    assert page.locator("#model [name=Model]").count() == 2

    open_watch(page)
    unfold(page)
    ids = [stop["id"] for stop in tab_stops(page)]
    assert [ids.count(group) for group in ("scale", "preset", "source", "runs")] == [1] * 4
    page.locator("#runs input:checked").focus()
    for run in ("small-gpt", "another"):
        page.keyboard.press("ArrowDown")
        expect(page.locator("#run-head h2")).to_contain_text(f"{run} has finished")
        expect(page.locator("#runs input:checked")).to_be_focused()
    page.locator("#preset input:checked").focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#option-steps input")).to_have_value("10000")


def luminance(colour):
    """Return the relative luminance of a CSS colour, as WCAG defines it; None if transparent."""
    channels = list(map(float, re.findall(r"[\d.]+", colour)))
    if channels[3:] == [0]:
        return None
    parts = [c / 255 for c in channels[:3]]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(colour, other):
    """Return the contrast of two CSS colours; None if one is transparent."""
    pair = luminance(colour), luminance(other)
    return None if None in pair else (max(pair) + 0.05) / (min(pair) + 0.05)


def assert_that_focus_is_visible(page, count):
    stops = list(tab_stops(page))
    assert len(stops) >= count
    for stop in stops:
        assert stop["line"] == ["solid", "2px"] and not stop["cut"], stop
        assert contrast(stop["colour"], stop["behind"]) >= 3, stop


@pytest.mark.slow
def test_every_control_shows_its_focus(page):
    page.locator("#generate").click()
    expect(page.locator("#link")).to_be_visible()
    unfold(page)
    for _ in themes(page):
        assert_that_focus_is_visible(page, 30)
    page.set_viewport_size({"width": 390, "height": 844})
    assert_that_focus_is_visible(page, 30)
    page.emulate_media(forced_colors="active")
    assert_that_focus_is_visible(page, 30)
    open_watch(page)
    unfold(page)
    assert_that_focus_is_visible(page, 25)
    page.emulate_media(forced_colors="none")
    assert_that_focus_is_visible(page, 25)
    page.set_viewport_size({"width": 1280, "height": 900})
    for _ in themes(page):
        assert_that_focus_is_visible(page, 25)


FILLS = """id => [...document.querySelectorAll(`#${id} label`)]
    .map((label) => getComputedStyle(label).backgroundColor)"""


def test_forced_colours_show_what_is_chosen(page):
    page.emulate_media(forced_colors="active")
    for group in ("model", "runs"):
        if group == "runs":
            open_watch(page)
        chosen, *others = page.evaluate(FILLS, group)
        assert chosen not in others


RUNNING = """document.getAnimations().filter((a) => a.playState === "running").map(
    (a) => a.effect.target.className)"""


def test_nothing_moves_if_that_is_not_wanted(page):
    unfold(page)
    assert page.evaluate(RUNNING) == []
    seed = page.locator("#settings input[type=number]").last
    seed.fill("-5")
    seed.press("Tab")
    page.locator("#generate").click()
    expect(page.locator(".toast-body")).to_be_visible()
    assert page.evaluate(RUNNING) == []
    page.evaluate("document.querySelector('#text .play-text').classList.add('generating')")
    assert page.evaluate(RUNNING) == []
    open_watch(page)
    page.evaluate("document.querySelector('#run-head .bar i').style.width = '10%'")
    assert page.evaluate(RUNNING) == []


CONTRAST = {"runOnly": ["color-contrast"], "resultTypes": ["violations"]}


def serious_violations(page, **options):
    found = Axe().run(page, **options).response["violations"]
    serious = [v for v in found if v["impact"] in ("serious", "critical")]
    return [(v["id"], node["html"], node["any"]) for v in serious for node in v["nodes"]]


def test_axe_finds_nothing_serious(page):
    page.locator("#generate").click()
    expect(page.locator("#link")).to_be_visible()
    for tab in ("Play", "Watch"):
        if tab == "Watch":
            open_watch(page)
        assert serious_violations(page) == []
        unfold(page)
        for theme in themes(page):
            rules = {} if theme == "light" else {"options": CONTRAST}
            assert serious_violations(page, **rules) == []


HEADINGS = """[...document.querySelectorAll("h1, h2, h3, h4, h5, h6")]
    .filter((heading) => heading.offsetParent).map((heading) => +heading.tagName[1])"""
NAMELESS = re.compile(
    r"- (?:button|checkbox|combobox|link|radio|radiogroup|slider|spinbutton|tab|tabpanel|textbox"
    r"|progressbar)\b(?! \").*"
)
# the colour of the border of each field and pill, those of the field and of the page behind it
BORDERS = """() => {
    const fields = [...document.querySelectorAll(
        ".block textarea, .block input[type=text], .block label > input[type=number],"
        + ".tab-like-container, .wrap:has(> .wrap-inner), fieldset:not(#runs) label")];
    const page = getComputedStyle(document.body).backgroundColor;
    return fields.filter((field) => field.offsetParent).map((field) => {
        const { borderTopColor, borderTopWidth, backgroundColor } = getComputedStyle(field);
        const name = field.outerHTML.slice(0, 200);
        return [name, borderTopWidth, borderTopColor, backgroundColor, page];
    });
}"""


def assert_that_borders_are_visible(page, count):
    for _ in themes(page):
        fields = page.evaluate(BORDERS)
        assert len(fields) >= count
        for name, width, border, fill, behind in fields:
            assert width == "1px", name
            # a chosen pill is filled
            assert max(contrast(border, behind), contrast(fill, behind) or 0) >= 3, name


def test_headings_names_and_borders(page):
    groups = {"Play": {"Model"}, "Watch": {"Scale of the steps", "Preset", "Text", "Training runs"}}
    for tab in groups:
        if tab == "Watch":
            open_watch(page)
        unfold(page)
        levels = page.evaluate(HEADINGS)
        assert levels.count(1) == 1 and levels[:2] == [1, 2]
        assert all(after <= before + 1 for before, after in pairwise(levels))
        tree = page.locator("body").aria_snapshot()
        assert NAMELESS.findall(tree) == []
        assert {*re.findall(r"- radiogroup \"([^\"]+)", tree)} >= groups[tab]
        assert f'- tabpanel "{tab}"' in tree
        assert_that_borders_are_visible(page, 9)
    assert page.locator("#form > button").get_attribute("aria-expanded") == "true"


# what a finger presses, with the label in place of a hidden radio button
TARGETS = """() => {
    const pressed = "a, button, textarea, [role=button], [type=range], [type=text], [type=number],"
        + "[role=combobox], label:has(> [type=radio])";
    return [...document.querySelectorAll(pressed)]
        .filter((e) => e.checkVisibility() && !e.closest(".visually-hidden"))
        .map((e) => [e.outerHTML.slice(0, 200), e.getBoundingClientRect().height]);
}"""
# the container cuts off what is wider
WIDTHS = """["html", ".gradio-container"].map(
    (selector) => document.querySelector(selector).scrollWidth)"""
BOTTOM = "id => document.getElementById(id).getBoundingClientRect().bottom + scrollY"


def assert_that_it_fits_a_phone(page):
    for width in (320, 390):
        page.set_viewport_size({"width": width, "height": 844})
        assert page.evaluate(WIDTHS) == [width, width]
        for html, height in page.evaluate(TARGETS):
            assert height >= 40, html


@pytest.mark.slow
def test_a_phone_has_targets_for_fingers_and_scrolls_in_one_direction(page):
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate(BOTTOM, "generate") <= 844
    page.locator("#generate").click()
    expect(page.locator("#link")).to_be_visible()
    unfold(page)
    assert_that_it_fits_a_phone(page)
    open_watch(page)
    assert page.evaluate(BOTTOM, "train") <= 1.5 * 844
    unfold(page)
    assert_that_it_fits_a_phone(page)


@pytest.mark.slow
def test_look_inside_is_for_everybody(page):
    """Its panels have what the tests above ask of the other tabs."""
    page.locator("#generate").click()
    expect(page.locator("#link")).to_be_visible()
    page.get_by_role("tab", name="Look inside").click()
    panels = page.locator("#inside-panel-choice label")
    for panel in panels.all_inner_texts():
        panels.filter(has_text=panel).click()
        expect(page.locator("#inside-panel-choice input:checked")).to_have_value(re.compile("."))
        if panel == "What it would miss":
            page.locator("[data-part='1.head0']").click()
            expect(page.locator("#inside-costs [aria-busy=false]")).to_be_visible()
            expect(page.locator(".continued").last).not_to_have_text("…")
        else:
            shown = {"What it saw": ".chances", "Who looked where": "[data-levels]"}
            shown |= {"When it made up its mind": ".lens", "One letter changed": ".compared"}
            expect(page.locator(f"#inside-shown {shown[panel]}").first).to_be_visible()
        if panel == "Who looked where":
            page.locator("[data-levels]").first.click()
        for theme in themes(page):
            rules = {} if theme == "light" else {"options": CONTRAST}
            assert serious_violations(page, **rules) == []
        levels = page.evaluate(HEADINGS)
        assert levels.count(1) == 1 and levels[:2] == [1, 2]
        assert all(after <= before + 1 for before, after in pairwise(levels))
        assert NAMELESS.findall(page.locator("body").aria_snapshot()) == []
        assert_that_focus_is_visible(page, 12)
        assert_that_it_fits_a_phone(page)
        page.set_viewport_size({"width": 1280, "height": 2400})
    assert_that_borders_are_visible(page, 7)
    page.emulate_media(forced_colors="active")
    chosen = [page.evaluate(FILLS, "inside-panel-choice")[i] for i in (4, 0)]
    assert chosen[0] != chosen[1]


@pytest.mark.slow
def test_what_is_copied_is_for_everybody(page, corpus):
    page.locator("#prompt textarea").fill(corpus.text[:100])
    page.locator("#generate").click()
    expect(page.locator("#link")).to_be_visible()
    page.locator("#copied").click()
    page.locator("#copies [data-piece]").first.click()
    expect(page.locator("#copies mark").first).to_be_visible()
    for theme in themes(page):
        rules = {} if theme == "light" else {"options": CONTRAST}
        assert serious_violations(page, **rules) == []
    levels = page.evaluate(HEADINGS)
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert NAMELESS.findall(page.locator("body").aria_snapshot()) == []
    assert_that_focus_is_visible(page, 20)
    assert_that_it_fits_a_phone(page)


@pytest.mark.slow
def test_the_game_is_for_everybody(page):
    """What the tests above ask of the other tabs, while it is played and at its end."""
    page.evaluate(KEEP_ANSWERS)
    page.get_by_role("tab", name="Guess").click()
    game = page.locator("#guess-game")
    expect(game).to_have_attribute("data-state", "playing")
    page.locator("[data-action=show]").click()
    [wrong] = wrong_for(page.evaluate("window.answer"), 1, 1)
    page.locator(f".keys [data-symbol='{wrong}']").click()
    page.emulate_media(forced_colors="active")
    tried = page.locator(".keys :disabled").evaluate("key => getComputedStyle(key).color")
    assert tried != page.locator(".keys :enabled").first.evaluate(
        "key => getComputedStyle(key).color"
    )
    page.emulate_media(forced_colors="none")
    for state in ("playing", "ended"):
        if state == "ended":
            for _ in range(10):
                page.locator("[data-action=show]").click()
            page.locator("[data-action=stop]").click()
        expect(game).to_have_attribute("data-state", state)
        for theme in themes(page):
            rules = {} if theme == "light" else {"options": CONTRAST}
            assert serious_violations(page, **rules) == []
            assert_that_focus_is_visible(page, 10)
        levels = page.evaluate(HEADINGS)
        assert levels.count(1) == 1 and levels[:2] == [1, 2]
        assert NAMELESS.findall(page.locator("body").aria_snapshot()) == []
        assert_that_it_fits_a_phone(page)
        page.set_viewport_size({"width": 1280, "height": 2400})
    assert page.evaluate(RUNNING) == []
