"""One tab in a frame of another site, and hidden controls: an address says which."""

import http.server
import re
import threading

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import MAX_LAYOUT_SHIFT, RECORD_LAYOUT_SHIFTS, layout_shift
from playwright.sync_api import expect

from charlm.ui.first_paint import TABS
from charlm.ui.page_parts import checked_query, part_attributes, part_parameters

DESKTOP = {"viewport": {"width": 1280, "height": 900}}
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
FRAMED = '<h1>A lesson</h1><iframe src="{}" style="width: 100%; height: 850px; border: 0"></iframe>'
TEXT = "prompt=KING:%0A&model=small-gpt&max_new_chars=60&temperature=0&seed=5"
FRAME_PARTS = ["#first-frame .how", "#first-frame .tabs", "#first-frame .rule"]
PLACES = """(root) => [".full-page a", ".play-text p, .plot"].map((part) => {
    const shown = [...document.querySelector(root).querySelectorAll(part)];
    const box = shown.find((element) => element.offsetParent)?.getBoundingClientRect();
    return box && [box.x, box.y, box.width].map(Math.round);
})"""
PAGE_PARTS = ["gradio-app .how", "gradio-app .rule", "[role=tab]", "footer", "#write"]
COLOURS = """() => [getComputedStyle(document.body), getComputedStyle(document.documentElement)]
    .map((style) => style.backgroundColor + style.backgroundImage)"""
NO_STORAGE = """for (const name of ["localStorage", "sessionStorage"]) {
    Object.defineProperty(window, name, { get() { throw new DOMException("denied"); } });
}"""


def test_words_of_an_address_are_checked_against_the_few_that_there_are():
    values, problems = checked_query({"hide": "hub,,settings,hub"}, part_parameters(TABS))
    assert (values, problems) == ({"hide": ["settings", "hub"]}, [])
    assert part_attributes(values | {"embed": "play"}) == (
        ' data-embed="play" data-hide="settings hub"'
    )
    assert part_attributes({"hide": []}) == ""


def test_the_document_has_what_the_address_says_but_nothing_else(app):
    for query in ("", "?embed=%22%3E%3Cb%3E", "?hide=settings%22%20x", "?embed=a&embed=play"):
        assert '<html\n\tlang="en"' in httpx.get(app.url + query).text
    answer = httpx.get(app.url + "?embed=inside&tab=play&hide=hub,train")
    assert '<html data-embed="inside" data-hide="train hub"' in answer.text
    assert '<div class="columns inside">' in answer.text
    # any page may frame it, as a Space's does; nothing is stored in a cookie
    headers = {"x-frame-options", "content-security-policy", "set-cookie"}
    assert not headers & answer.headers.keys()


@pytest.fixture
def framed(browser, app):
    """Return a function that shows the page in a frame of another site.

    It returns that site's page, the frame, and a list of the errors of both.
    """
    answer = [""]

    class Host(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(answer[0].encode())

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Host)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    contexts = []

    def show(query, script="", **options):
        contexts.append(context := browser.new_context(**(DESKTOP | options)))
        page, errors = context.new_page(), []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.add_init_script(RECORD_LAYOUT_SHIFTS + script)
        answer[0] = FRAMED.format(app.url + query)
        # the same machine, but another site: the app is 127.0.0.1
        page.goto(f"http://localhost:{server.server_port}/", wait_until="commit")
        page.wait_for_selector("iframe")
        return page, page.locator("iframe").element_handle().content_frame(), errors

    yield show
    for context in contexts:
        context.close()
    server.shutdown()


def wait_until_complete(frame):
    frame.wait_for_selector("gradio-app .masthead", state="attached", timeout=60_000)
    frame.wait_for_selector("#first-frame", state="detached")


def address_of(link):
    """Return the parameters of a link, as they are when it is pressed."""
    link.dispatch_event("pointerdown")
    return dict(httpx.URL(link.evaluate("link => link.href")).params)


@pytest.mark.slow
def test_a_text_is_written_in_a_frame(framed):
    page, frame, errors = framed(f"?embed=play&hide=settings&{TEXT}&__theme=light")
    wait_until_complete(frame)
    for part in PAGE_PARTS:
        expect(frame.locator(part).first).to_be_hidden()
    expect(frame.get_by_role("heading", name="charlm")).to_be_attached()
    full = frame.get_by_role("link", name="open in charlm")
    assert frame.evaluate(COLOURS)[0] == "rgb(245, 236, 215)none"
    # the hidden settings are those of the link
    expect(frame.locator("#status")).to_contain_text("60 characters", timeout=60_000)
    expect(frame.locator("#settings")).to_be_hidden()
    expect(frame.locator("#hub-model")).to_be_visible()
    link = frame.locator("#link[target=_blank]")
    linked = {"prompt": "KING:\n", "seed": "5", "hide": "settings"}
    assert linked.items() <= address_of(link).items()
    assert not {"embed", "tab"} & address_of(link).keys()
    assert linked.items() <= address_of(full).items()
    assert not {"embed", "tab"} & address_of(full).keys()
    with page.expect_popup() as opened:
        full.click()
    text = frame.locator("#text p").all_text_contents()
    expect(opened.value.locator("#link")).to_be_visible(timeout=60_000)
    assert opened.value.locator("#text p").all_text_contents() == text
    expect(opened.value.locator(".how").first).to_be_visible()
    expect(opened.value.locator("#settings")).to_be_hidden()
    assert opened.value.evaluate("window.opener") is None
    opened.value.close()
    with page.expect_popup() as opened:  # since the frame may not write to the clipboard
        link.click()
    assert "embed" not in opened.value.url
    assert page.url.endswith("/")
    assert layout_shift(page) < MAX_LAYOUT_SHIFT
    # a frame as high as the page in it does not grow on
    for _ in range(3):
        height = frame.evaluate("document.documentElement.scrollHeight")
        page.evaluate(f"document.querySelector('iframe').style.height = '{height}px'")
    assert frame.evaluate("document.documentElement.scrollHeight") == height
    assert errors == []


@pytest.mark.slow
@pytest.mark.parametrize("query", ["?embed=play", "?embed=watch", "?embed=watch&hide=train"])
@pytest.mark.parametrize("options", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_first_paint_is_that_of_one_tab(browser, app, query, options):
    context, places = browser.new_context(**options), []
    for root in ("#first-frame", "gradio-app"):
        page = context.new_page()
        if root == "#first-frame":
            page.route("**/assets/*.js", lambda route: route.abort())
        page.goto(app.url + query, wait_until="commit")
        if root == "gradio-app":
            wait_until_complete(page)
        expect(page.locator(f"{root} .full-page a")).to_be_visible()
        for part in FRAME_PARTS:
            expect(page.locator(part).first).to_be_hidden()
        page.evaluate("document.fonts.ready")
        places.append(page.evaluate(PLACES, root))
    found = Axe().run(page).response["violations"]
    assert [v["help"] for v in found if v["impact"] in ("serious", "critical")] == []
    if options is PHONE:  # the text is below the controls; a run's head has different heights
        places = [place[:1] for place in places]
    assert places[0] == places[1]
    assert None not in places[0]
    context.close()


def test_a_run_is_watched_in_a_frame_on_a_phone(framed):
    page, frame, errors = framed("?embed=watch&hide=train&tab=play", NO_STORAGE, **PHONE)
    wait_until_complete(frame)
    expect(frame.locator("#run-head")).to_contain_text("small-gpt has finished", timeout=60_000)
    for part in (*PAGE_PARTS, "#train", "#form", "#train-notice", "#actions"):
        expect(frame.locator(part).first).to_be_hidden()
    frame.wait_for_url(re.compile("run=small-gpt"))
    assert page.url.endswith("/")
    expected = {"tab": "watch", "run": "small-gpt", "hide": "train"}
    assert address_of(frame.locator("gradio-app .full-page a")) == expected
    assert frame.evaluate("document.documentElement.scrollWidth <= innerWidth")
    frame.locator("#runs label").first.tap()
    assert len(frame.evaluate("window.charlm.owner()")) == 32  # for as long as the page is open
    assert errors == []


@pytest.mark.slow
def test_controls_stay_hidden_from_tab_to_tab_and_after_a_reload(browser, app):
    page = browser.new_page()
    page.goto(app.url + "?hide=settings,train,hub&__theme=dark")
    for _ in range(2):
        expect(page.locator("#generate")).to_be_visible(timeout=60_000)
        for part in ("#settings", "#hub-model"):
            expect(page.locator(part)).to_be_hidden()
        expect(page.locator(".full-page").last).to_be_hidden()
        page.get_by_role("tab", name="Watch").click()
        expect(page.locator("#run-head")).to_contain_text("has finished")
        for part in ("#train", "#form", "#train-notice", "#delete"):
            expect(page.locator(part)).to_be_hidden()
        expect(page.locator("#write")).to_be_visible()
        page.locator("#write").click()
        page.reload()
    assert "hide=settings" in page.url
    page.locator("#generate").click()
    expect(page.locator("#link[href*=hide]")).to_have_attribute("href", re.compile("hide=sett"))
    assert "dark" in page.locator("body").get_attribute("class")
    page.close()


def test_a_frame_cannot_act_on_the_runs_of_the_page_itself(browser, app):
    page = browser.new_page()
    page.goto(app.url + "?hide=xyz&embed=xyz")
    notice = "hide is 'xyz'; it must be one of settings, train, hub."
    expect(page.locator("#address-notice")).to_contain_text(notice, timeout=60_000)
    expect(page.locator("#address-notice")).to_contain_text("embed is 'xyz'; it must be one of")
    expect(page.locator("#settings")).to_be_visible()
    expect(page.locator(".how").last).to_be_visible()
    page.evaluate("""() => {
        const frame = document.createElement("iframe");
        frame.src = "./?embed=watch";
        document.body.append(frame);
    }""")
    frame = page.locator("iframe").element_handle().content_frame()
    owner = "window.charlm.owner()"
    frame.wait_for_function("() => window.charlm?.owner")
    assert frame.evaluate(owner) == frame.evaluate(owner)
    assert page.evaluate(owner) == page.evaluate(owner)
    assert frame.evaluate(owner) != page.evaluate(owner)
    page.close()
