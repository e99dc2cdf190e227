"""One letter at a time, Continue, and the address of a text, in Chromium."""

import re

import pytest
from browser import settled_address, visitor
from playwright.sync_api import expect

LINK = "?prompt=KING:&model=small-gpt&max_new_chars=60&seed=5"


@pytest.fixture
def page(browser, app):
    """A page that shows the 60 characters of LINK."""
    with visitor(browser, app, LINK) as page:
        expect(page.locator("#status")).to_contain_text("60 characters", timeout=60_000)
        yield page


def text_of(page):
    return "\n".join(page.locator("#text p").all_text_contents())


def expect_characters(page, count):
    expect(page.locator("#status")).to_contain_text(re.compile(rf": {count} characters?, "))
    expect(page.locator("#link")).to_be_visible()


# presses a number of times, and returns the milliseconds until each letter has been added
TIME_LETTERS = """async presses => {
  const status = document.querySelector("#status"), times = [];
  for (let i = 0; i < presses; i++) {
    const began = performance.now(), before = status.textContent;
    document.querySelector("#next-letter").click();
    while (status.textContent === before) {
      if (performance.now() - began > 20_000) throw Error(`no letter follows ${before}`);
      await new Promise(done => setTimeout(done, 1));
    }
    times.push(performance.now() - began);
  }
  return times;
}"""


@pytest.mark.slow
def test_letters_have_chances_and_make_the_same_text_as_a_longer_generation(page, app):
    whole = text_of(page)
    prompt = page.locator("#prompt textarea")
    prompt.fill("KING")  # another beginning: the first letter begins anew
    page.locator("#next-letter").click()
    expect_characters(page, 1)
    assert len(text_of(page)) == 5
    prompt.fill("KING:")
    page.locator("#next-letter").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#text .prompt")).to_have_text("KING:")
    expect_characters(page, 1)
    check_chances(page)
    expect(page.locator("#next-letter")).to_be_focused()
    assert page.locator("#announcements").text_content() in ("", "done: 60 characters")
    page.evaluate("() => { for (let i = 0; i < 9; i++) document.activeElement.click(); }")
    expect_characters(page, 10)  # no press is lost
    check_chances(page)
    for _ in range(30):  # as when the space bar is held down, and released
        page.keyboard.down(" ")
    page.keyboard.up(" ")
    expect(page.locator("#status")).to_contain_text(re.compile(": (1[1-9]|[2-4][0-9]) characters"))
    page.wait_for_timeout(300)
    assert whole.startswith(text_of(page))
    page.locator("#continue").click()
    expect(page.locator("#status")).to_contain_text(re.compile("[7-9][0-9] characters, .* seed 5"))
    expect(page.locator("#chances .chances")).to_have_count(0)
    assert text_of(page).startswith(whole)
    assert min(page.evaluate(TIME_LETTERS, 20)) < 300  # 30 to 40 if nothing else computes
    assert app.log.read_text().count("Traceback") == 0


def check_chances(page):
    """Check that six letters or more have bars, and that the one drawn ends the text."""
    rows = page.locator("#chances li")
    assert rows.count() >= 6
    drawn = page.locator("#chances li.chosen")
    expect(drawn).to_have_count(1)
    names = {" ": "space", "\n": "new line"}
    last = text_of(page)[-1]
    assert drawn.locator("button").text_content() == names.get(last, last)
    percents = [float(re.search(r"([\d.]+) %", row)[1]) for row in rows.all_inner_texts()]
    assert percents[:6] == sorted(percents[:6], reverse=True)
    assert 0 < sum(percents) <= 100.5


@pytest.mark.slow
def test_a_text_that_began_with_nothing_goes_on(page):
    page.locator("#prompt textarea").fill("")
    page.locator("#generate").click()
    expect(page.locator("#text .prompt")).to_have_count(0)
    expect_characters(page, 60)
    page.locator("#continue").click()
    expect_characters(page, 120)
    continued, address = text_of(page), settled_address(page)
    page.goto("about:blank")
    page.goto(address)
    expect_characters(page, 120)
    assert text_of(page) == continued


@pytest.mark.slow
def test_the_address_holds_the_text_and_the_tab_and_a_reload_what_was_typed(page, browser, app):
    page.locator("#next-letter").click()
    expect_characters(page, 61)
    text = text_of(page)
    play = settled_address(page)
    for part in ("prompt=KING%3A", "model=small-gpt", "seed=5", "written=61", "max_new_chars=60"):
        assert part in play
    page.locator("#prompt textarea").fill("QUEEN: typed")
    page.get_by_role("tab", name="Watch").click()
    expect(page).to_have_url(re.compile("tab=watch"))
    page.go_back()
    expect(page.locator("#prompt")).to_be_visible()
    expect(page).to_have_url(play)
    page.go_forward()
    expect(page.locator("#run-panel")).to_be_visible()
    page.go_back()
    expect(page.locator("#prompt")).to_be_visible()
    expect(page).to_have_url(play)
    page.reload()
    expect_characters(page, 61)
    assert text_of(page) == text
    expect(page.locator("#prompt textarea")).to_have_value("QUEEN: typed")
    with visitor(browser, app, play.removeprefix(app.url)) as friend:
        expect(friend.locator("#status")).to_contain_text("61 characters", timeout=60_000)
        assert text_of(friend) == text
        expect(friend.locator("#prompt textarea")).to_have_value("KING:")


def test_a_reload_just_after_the_address_changed_keeps_it_and_what_was_typed(page):
    """Browsers ask for the address before the change, which waits for half a second."""
    settled_address(page)
    page.locator("#prompt textarea").fill("QUEEN: typed")
    for _ in range(2):  # the second time, no field changes after the page was restored
        leave = """head => {
          for (const value of ["1", head]) window.charlm.showInAddress({ head: value });
          location.reload();
        }"""
        page.evaluate(leave, "2.0")
        expect(page).to_have_url(re.compile("head=2.0"))
        expect(page.locator("#link")).to_be_visible(timeout=60_000)
        expect(page.locator("#prompt textarea")).to_have_value("QUEEN: typed")


@pytest.mark.slow
def test_a_text_goes_on_after_the_server_was_restarted(browser, app):
    """The browser keeps the text, so another server continues it as the first would have."""
    with visitor(browser, app, LINK) as page:
        expect(page.locator("#status")).to_contain_text("60 characters", timeout=60_000)
        before = text_of(page)
        page.wait_for_timeout(1_000)  # if a stream broke, Gradio would load the page again
        app.process.kill()
        app.process.wait()
        app.start()
        assert text_of(page) == before
        page.locator("#continue").click()
        expect(page.locator("#status")).to_contain_text("120 characters", timeout=60_000)
        assert text_of(page).startswith(before)
