"""Chromium, and the pages of visitors in it."""

import contextlib
import os
import shutil
import time

from playwright.sync_api import expect

expect.set_options(timeout=20_000)
# the shell takes half the time of a whole Chromium for a page
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
CHROMIUM_FLAGS = ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
CHROMIUM_FLAGS += ["--no-first-run", "--disable-gpu"]
# a page lives for seconds: optimizing its scripts takes longer than it saves, a seventh of a load
CHROMIUM_FLAGS += ["--js-flags=--no-opt --no-maglev"]
if hasattr(os, "geteuid") and os.geteuid() == 0:
    CHROMIUM_FLAGS += ["--no-sandbox"]  # Chromium's sandbox does not work as root
MAX_LAYOUT_SHIFT = 0.05
# the middle of a letter of the text in Play: [line, offset] -> [x, y]
PLACE = """([line, offset]) => {
  const p = document.querySelectorAll("#text p")[line];
  const node = document.createTreeWalker(p, NodeFilter.SHOW_TEXT).nextNode();
  const range = new Range();
  range.setStart(node, offset);
  range.setEnd(node, offset + 1);
  const box = range.getBoundingClientRect();
  return [box.x + box.width / 2, box.y + box.height / 2];
}"""
# not those of lines of a text alone: where one text replaces another, the lines are others
RECORD_LAYOUT_SHIFTS = """
window.layoutShift = 0;
const isElsewhere = ({ node }) => node && !node.parentElement?.closest(".play-text");
new PerformanceObserver((list) => {
  for (const { value, sources } of list.getEntries()) {
    if (sources.some(isElsewhere)) window.layoutShift += value;
  }
}).observe({ type: "layout-shift" });
"""


def restart(app, page):
    """Kill an app and start it again; wait until the page, on its Watch tab, has loaded again.

    Gradio loads the page once a request of it has failed and another one succeeds.
    """
    page.evaluate("window.isOfTheKilledApp = true")
    app.process.kill()
    app.process.wait()
    app.start()
    page.wait_for_function("!window.isOfTheKilledApp", timeout=60_000)


@contextlib.contextmanager
def visitor(browser, app, at="", elsewhere=(), **options):
    """Yield the page of a new visitor; fail on script errors and on requests to other hosts.

    `elsewhere`: the beginnings of addresses on other hosts that may be requested.
    `options`: those of the browser's context.
    """
    context = empty_context(browser, options)
    page, requested, errors = context.new_page(), set(), []
    forget_visits(page, app)
    page.on("request", lambda r: requested.add(r.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(app.url + at)
    yield page
    page.close()
    if options:
        context.close()
    assert {
        url for url in requested if not is_here(url, app) and not url.startswith(elsewhere)
    } == set()
    assert errors == []


def empty_context(browser, options):
    """Return a context without pages: without options, one that had some, where there is one.

    It has the compiled scripts of those pages in its cache, which saves a fifth of the next one.
    """
    idle = [context for context in browser.contexts if not (options or context.pages)]
    if idle:
        return idle[0]
    context = browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | options))
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    return context


def forget_visits(page, app):
    """Delete what the app has stored in the context of a page."""
    page.context.clear_cookies()
    origin = {"origin": app.url.rstrip("/"), "storageTypes": "all"}
    session = page.context.new_cdp_session(page)
    session.send("Storage.clearDataForOrigin", origin)
    session.detach()


# the address, if it holds what the link below the text holds
SETTLED = """() => {
  const link = document.getElementById("link");
  const [held, linked] = [location, link].map((at) => at && `${new URLSearchParams(at.search)}`);
  return held === linked && location.href;
}"""


def settled_address(page):
    """Return the address of the text on the Play tab, which the page changes after the text."""
    address = page.wait_for_function(SETTLED).json_value()
    expect(page).to_have_url(address)  # Playwright hears of it after the page
    return address


UNFOLDED = """panel => {
  const part = document.querySelector(panel);
  return part.querySelector("button.open") && !part.getAnimations({ subtree: true }).length;
}"""


def unfold_panel(page, panel):
    """Open a panel, which ignores input while it unfolds, and wait until it has unfolded."""
    page.locator(f"{panel} > button").click()
    page.wait_for_function(UNFOLDED, arg=panel)


def letter_from(text, index):
    """Return the index of the first letter from `index` on that is no new line: it has no place."""
    return next(i for i in range(index, len(text)) if text[i] != "\n")


def place_of(page, index):
    """Return where on the page the middle of a letter of the text in Play is: [x, y]."""
    text = "\n".join(page.locator("#text p").all_text_contents())
    *before, line = text[:index].split("\n")
    return page.evaluate(PLACE, [len(before), len(line)])


def expect_value(page, script, expected, arg=None):
    """Wait until a script returns a value, which the page draws a moment after what it shows."""
    give_up = time.monotonic() + 20
    while (value := page.evaluate(script, arg)) != expected and time.monotonic() < give_up:
        page.wait_for_timeout(50)
    assert value == expected


def at_change(page, condition, action):
    """Run a script at the first change of the page after which a condition holds.

    Frames are rare on a busy machine, and what a small model changes may be over before the next.
    """
    page.evaluate(f"""() => {{
      const observer = new MutationObserver(() => {{
        if (!({condition})) return;
        observer.disconnect();
        {action};
      }});
      const changes = {{ subtree: true, childList: true, characterData: true, attributes: true }};
      observer.observe(document, changes);
    }}""")


def paste(field, text):
    """Paste a text into a field, which is faster than Playwright's `fill` for a long text."""
    field.page.evaluate("text => navigator.clipboard.writeText(text)", text)
    field.press("Control+A")
    field.press("Control+V")


def layout_shift(page):
    """Return the sum of the shifts since RECORD_LAYOUT_SHIFTS ran, those of a moment more too."""
    page.wait_for_timeout(500)
    return page.evaluate("window.layoutShift")


def is_here(url, app):
    return url.startswith((app.url, app.url.replace("http", "ws"), "data:", "blob:"))
