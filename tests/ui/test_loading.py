"""What a visitor gets while the page loads, in Chromium: little, of a page that holds still."""

import pytest
from browser import MAX_LAYOUT_SHIFT, RECORD_LAYOUT_SHIFTS, is_here, layout_shift
from playwright.sync_api import expect

MAX_TRANSFER = 400_000  # bytes of a first visit
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
DESKTOP = {"viewport": {"width": 1280, "height": 900}}
PLACES = """(root) => [".masthead h1", ".masthead .how", ".selected", ".play-text p, .plot"].map(
    (part) => {
        const shown = [...document.querySelector(root).querySelectorAll(part)];
        const box = shown.find((element) => element.offsetParent)?.getBoundingClientRect();
        return box && [box.x, box.y, box.width].map(Math.round);
    })"""
SHOWN = {"": "#text .play-text", "?tab=watch": "#run-head .bar"}
SHOWN["?tab=inside"] = "#inside-shown .chances"
SHOWN["?tab=guess"] = "#guess-game .keys button >> nth=0"
COUNT_FRAMES = """() => {
  window.framesRequested = 0;
  const requestFrame = window.requestAnimationFrame;
  window.requestAnimationFrame = (callback) => {
    window.framesRequested += 1;
    return requestFrame(callback);
  };
}"""
DARK, LIGHT = "rgb(21, 16, 12)", "rgb(245, 236, 215)"


@pytest.fixture
def visit(browser, app):
    """Return a function that opens the page and returns it with what it complained about."""
    contexts = []

    def visit(at="", with_gradio=True, **options):
        contexts.append(context := browser.new_context(**(DESKTOP | options)))
        page, complaints = context.new_page(), []
        page.add_init_script(RECORD_LAYOUT_SHIFTS)
        page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("response", lambda r: complaints.append(r.url) if r.status >= 400 else None)
        page.on("request", lambda r: None if is_here(r.url, app) else complaints.append(r.url))
        cdp = context.new_cdp_session(page)
        cdp.send("Network.enable")
        page.received = []
        cdp.on("Network.loadingFinished", lambda e: page.received.append(e["encodedDataLength"]))
        if not with_gradio:
            page.route("**/assets/*.js", lambda route: route.abort())
        page.goto(app.url + at, wait_until="commit")
        return page, complaints

    yield visit
    for context in contexts:
        context.close()


def wait_until_complete(page):
    complete = "document.querySelector('gradio-app .masthead') && !window['first-frame']"
    page.wait_for_function(f"() => {complete}", timeout=60_000)


@pytest.mark.parametrize(
    "options",
    [pytest.param(DESKTOP, id="desktop", marks=pytest.mark.slow), pytest.param(PHONE, id="phone")],
)
@pytest.mark.parametrize(
    "at",
    ["", *(pytest.param(at, marks=pytest.mark.slow) for at in SHOWN if at)],
    ids=["play", "watch", "inside", "guess"],
)
def test_the_page_loads_small_and_without_shifts_or_errors(visit, at, options):
    page, complaints = visit(at, **options)
    wait_until_complete(page)
    expect(page.locator(SHOWN[at])).to_be_visible()
    assert layout_shift(page) < MAX_LAYOUT_SHIFT
    assert 200_000 < sum(page.received) < MAX_TRANSFER
    assert page.evaluate("[...document.fonts].filter((f) => f.status === 'loaded').length")
    if not at:
        width = page.locator(".gradio-container").bounding_box()["width"]
        for _ in range(3):
            link = page.locator("#link")
            before = link.get_attribute("href") if link.count() else ""
            page.locator("#generate").click()
            expect(link).not_to_have_attribute("href", before)
        assert layout_shift(page) < MAX_LAYOUT_SHIFT
        assert page.locator(".gradio-container").bounding_box()["width"] == width
    assert complaints == []


@pytest.mark.parametrize(
    ("at", "scheme", "colour"),
    [
        ("", "dark", DARK),
        ("?tab=watch", "light", LIGHT),
        ("?__theme=dark", "light", DARK),
        ("?__theme=light", "dark", LIGHT),
    ],
)
def test_the_first_paint_has_the_theme_and_the_frame_of_the_page(visit, at, scheme, colour):
    frame, _ = visit(at, with_gradio=False, color_scheme=scheme)
    expect(frame.locator("#first-frame")).to_be_visible()
    assert frame.evaluate("getComputedStyle(document.body).backgroundColor") == colour
    if "theme" in at:
        return
    complete, _ = visit(at, color_scheme=scheme)
    wait_until_complete(complete)
    for page in (frame, complete):
        page.evaluate("document.fonts.ready")
    assert complete.evaluate("getComputedStyle(document.body).backgroundColor") == colour
    places = frame.evaluate(PLACES, "#first-frame")
    assert None not in places
    assert complete.evaluate(PLACES, "gradio-app") == places


def test_an_open_page_draws_no_frames(visit):
    page, _ = visit()
    wait_until_complete(page)
    expect(page.locator(SHOWN[""])).to_be_visible()
    page.wait_for_timeout(2_000)
    page.evaluate(COUNT_FRAMES)
    page.wait_for_timeout(1_000)
    assert page.evaluate("window.framesRequested") == 0
    page.evaluate("requestAnimationFrame(() => {})")
    assert page.evaluate("window.framesRequested") == 1


@pytest.mark.slow
def test_a_repeated_visit_takes_the_fonts_from_the_cache(visit):
    page, _ = visit()
    wait_until_complete(page)
    font = page.request.get(page.url + "static/fonts/eb-garamond.woff2")
    assert font.headers["cache-control"].endswith("immutable")
    assert len(font.body()) < 45_000
    page.received.clear()
    page.reload()
    wait_until_complete(page)
    assert sum(page.received) < MAX_TRANSFER / 4
