"""The tree of a text's branches in Chromium."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import visitor
from playwright.sync_api import expect

LINK = "?prompt=KING:%0A&model=small-gpt&max_new_chars=60&seed=5&top_k=6"
PLACE = """index => {
  for (const p of document.querySelectorAll("#text p")) {
    p.scrollIntoView({ block: "center" });
    const walker = document.createTreeWalker(p, NodeFilter.SHOW_TEXT);
    for (let node; (node = walker.nextNode()); index -= node.length) {
      if (index >= node.length) continue;
      const range = new Range();
      range.setStart(node, index);
      range.setEnd(node, index + 1);
      const box = range.getBoundingClientRect();
      return [box.x + box.width / 2, box.y + box.height / 2];
    }
    index -= 1;
  }
}"""
TEXT = """[...document.querySelectorAll("#text p")].map((p) => p.textContent).join("\\n")"""
GENERATING = 'document.querySelector("#text .generating")'
ENDED = f'!{GENERATING} && document.querySelector("#link")'
SHOWS = f"text => {ENDED} && {TEXT} === text"
WRITTEN = f"length => {ENDED} && {TEXT}.length === length"
# each entry with its branches
TREE = """() => {
  const read = (list) => [...(list?.children ?? [])].map((item) =>
      [item.firstChild.textContent, read(item.querySelector("ul"))]);
  return read(document.querySelector("#branches nav > ul"));
}"""
STORAGE_OFF = """() => {
  const { setItem } = Storage.prototype;
  Storage.prototype.setItem = () => { throw new Error("switched off"); };
  window.switchStorageOn = () => { Storage.prototype.setItem = setItem; };
}"""
# while a text is written once more, the space for it stays as high as it was
HELD_HEIGHT = "entry => { entry.click(); return document.getElementById('text').style.minHeight; }"
WIDTHS = """["html", ".gradio-container"].map(
    (selector) => document.querySelector(selector).scrollWidth)"""
TOP = "document.querySelector('#text article').getBoundingClientRect().top + scrollY"
NAMES = {" ": "space", "\n": "new line"}


def text_of(page):
    return page.evaluate(TEXT)


def entry(page, number):
    return page.locator("#branches li button").nth(number)


def button(page, name):
    return page.get_by_role("button", name=name, exact=True)


def wait_for(page, text, number):
    """Wait until a text is shown, and expect that an entry is marked as its own, alone."""
    page.wait_for_function(SHOWS, arg=text)
    expect(page.locator("#branches [aria-current=true]")).to_have_count(1)
    expect(entry(page, number)).to_have_attribute("aria-current", "true")


def branch(page, least):
    """Change a letter, from `least` on, into another; return the new text and its label."""
    text = text_of(page)
    index = next(i for i in range(least, len(text)) if text[i].isalpha())
    page.mouse.click(*page.evaluate(PLACE, index))
    expect(page.locator(".chances")).to_have_attribute("data-index", str(index))
    others = page.locator(".chances li:not(.removed) button")
    chars = others.evaluate_all("all => all.map((button) => button.dataset.char)")
    number = next(i for i, char in enumerate(chars) if char != text[index])
    others.nth(number).click()
    page.wait_for_function(WRITTEN, arg=index + 1 + 60)
    assert text_of(page).startswith(text[:index] + chars[number])
    quoted = "…" * (index > 12) + text[max(0, index - 12) : index].replace("\n", "↵")
    name = NAMES.get(chars[number], f"“{chars[number]}”")
    return text_of(page), f"“{quoted}” → {name} instead of “{text[index]}”"


@pytest.fixture
def page(browser, app):
    """A page that shows the 60 characters of LINK."""
    with visitor(browser, app, LINK) as page:
        page.wait_for_function(WRITTEN, arg=6 + 60)
        yield page
    assert app.log.read_text().count("Traceback") == 0


@pytest.mark.slow
def test_a_tree_of_branches_leads_to_each_text(page):
    first = text_of(page)
    expect(page.locator("#branches nav")).to_be_hidden()
    top = page.evaluate(TOP)
    one, one_label = branch(page, 8)
    wait_for(page, one, 1)
    assert page.evaluate(TOP) == top
    assert page.evaluate(TREE) == [["“KING:↵”", [[one_label, []]]]]
    entry(page, 0).click()
    wait_for(page, first, 0)
    two, two_label = branch(page, 30)
    wait_for(page, two, 2)
    below, below_label = branch(page, 40)
    wait_for(page, below, 3)
    tree = [["“KING:↵”", [[one_label, []], [two_label, [[below_label, []]]]]]]
    assert page.evaluate(TREE) == tree
    assert page.get_by_role("navigation", name="Branches of this text").count() == 1
    texts = [first, one, two, below]
    for number in (1, 3, 0, 2):
        entry(page, number).click()
        wait_for(page, texts[number], number)
    for _ in range(3):  # faster than the texts are written
        for number in (1, 3, 0):
            entry(page, number).click()
    wait_for(page, first, 0)
    height = entry(page, 3).evaluate(HELD_HEIGHT)
    assert height == f"{page.locator('#text').bounding_box()['height']:g}px"
    wait_for(page, below, 3)
    page.wait_for_function("document.getElementById('text').style.minHeight === ''")
    check_undo_and_redo(page, texts)
    page.go_back()
    wait_for(page, two, 2)
    page.go_back()
    wait_for(page, first, 0)
    page.go_forward()
    wait_for(page, two, 2)
    assert page.evaluate(TREE) == tree
    entry(page, 0).click()
    wait_for(page, first, 0)
    assert branch(page, 8)[0] == one  # the same letter once more is no other branch
    wait_for(page, one, 1)
    assert page.evaluate(TREE) == tree


def test_a_text_too_long_for_an_address_is_an_entry_that_leads_nowhere(page):
    page.locator("#prompt textarea").fill("あ" * 900 + "KING:\n")  # the model drops what it lacks
    page.locator("#generate").click()
    expect(page.locator("#status")).to_contain_text("too long for a link")
    page.wait_for_function(f"() => !{GENERATING}")
    branched, label = branch(page, 20)
    wait_for(page, branched, 1)
    assert page.evaluate(TREE) == [[f"“{'あ' * 24}…”", [[label, []]]]]
    expect(entry(page, 0)).to_be_disabled()
    expect(entry(page, 0)).to_have_attribute("title", re.compile("too long for an address"))
    expect(button(page, "Undo")).to_be_disabled()


def check_undo_and_redo(page, texts):
    """Go from the last entry to the first by Undo, by the keyboard, and on by Redo."""
    undo, redo = button(page, "Undo"), button(page, "Redo")
    expect(redo).to_be_disabled()
    undo.focus()
    page.keyboard.press("Enter")
    wait_for(page, texts[2], 2)
    expect(undo).to_be_focused()
    page.keyboard.press(" ")
    wait_for(page, texts[0], 0)
    expect(undo).to_be_disabled()
    expect(redo).to_be_focused()
    page.keyboard.press("Enter")
    wait_for(page, texts[2], 2)
    undo.click()
    wait_for(page, texts[0], 0)


@pytest.mark.slow
def test_a_tree_follows_longer_texts_outlives_a_reload_and_ends_with_a_new_text(page):
    first = text_of(page)
    page.evaluate(STORAGE_OFF)
    one, _ = branch(page, 30)
    wait_for(page, one, 1)
    page.evaluate("window.switchStorageOn()")
    page.locator("#continue").click()
    page.wait_for_function(WRITTEN, arg=len(one) + 60)
    assert text_of(page).startswith(one)
    page.locator("#next-letter").click()
    page.wait_for_function(WRITTEN, arg=len(one) + 61)
    longer = text_of(page)
    assert longer.startswith(one)
    wait_for(page, longer, 1)
    button(page, "Undo").click()
    wait_for(page, first, 0)
    page.locator("#next-letter").click()
    page.wait_for_function(WRITTEN, arg=len(first) + 1)
    first = text_of(page)
    wait_for(page, first, 0)
    for number, text in ((1, longer), (0, first), (1, longer)):
        entry(page, number).click()
        wait_for(page, text, number)
    tree = page.evaluate(TREE)
    expect(page).to_have_url(re.compile("written=121"))
    page.reload()
    wait_for(page, longer, 1)
    assert page.evaluate(TREE) == tree
    button(page, "Undo").click()
    wait_for(page, first, 0)
    page.get_by_role("tab", name="Watch").click()
    expect(page.locator("#run-panel")).to_be_visible()
    page.get_by_role("tab", name="Play").click()
    wait_for(page, first, 0)
    page.locator("#generate").click()
    expect(page.locator("#branches nav")).to_be_hidden()
    expect(page.locator("#link")).to_be_visible()
    expect(page.locator("#branches nav")).to_be_hidden()
    one, label = branch(page, 20)
    wait_for(page, one, 1)
    assert page.evaluate(TREE) == [["“KING:↵”", [[label, []]]]]


# as models and visitors may write it: markup, templates, and a character that reverses what follows
HOSTILE = "<img src=x onerror=alert(1)>${7*7}{{x}}\u202e\x00"
MANY = r"""([hostile, length]) => {
  const query = window.charlm.textQuery();
  const letters = { cut: true, char: "\u202e", replaced: "\n" };
  const label = (i) => ({ quoted: i % 2 ? hostile : "of all our s", ...letters });
  const entries = [{ id: 0, parent: null, query, quoted: hostile, cut: false }];
  for (let i = 1; i < length; i++) {
    const parent = i < 12 ? i - 1 : 0; // 12 in one line of descent
    entries.push({ id: i, parent, query: i === 2 ? "" : `${query}&seed=${i}`, ...label(i) });
  }
  sessionStorage.setItem("charlm-branches", JSON.stringify(entries));
}"""
CONTRAST = {"runOnly": ["color-contrast"], "resultTypes": ["violations"]}
# the body's gradients, whose contrast axe does not measure, as the colour that is worst for text
FLAT = """body, gradio-app { background: #f5ecd7 !important; }
body.dark, .dark gradio-app { background: #3f2b16 !important; }
*, ::before, ::after { transition: none !important; }"""


@pytest.mark.slow
def test_a_long_tree_of_hostile_labels_is_harmless_and_fits_a_phone(page):
    # the script at the end of a text has run, which saves the tree: it spells the numbers otherwise
    expect(page).to_have_url(re.compile("top_p=0.0"))
    page.evaluate(MANY, [HOSTILE, 50])
    page.reload()
    page.wait_for_function(WRITTEN, arg=6 + 60)
    expect(page.locator("#branches li")).to_have_count(50)
    expect(entry(page, 0)).to_have_text(f"“{HOSTILE}”")
    label = f"“…{HOSTILE}” → U+202E instead of new line"
    expect(entry(page, 1)).to_have_text(label)
    assert page.locator("#branches img").count() == 0
    too_long = entry(page, 2)
    expect(too_long).to_be_disabled()
    expect(too_long).to_have_attribute("title", re.compile("too long for an address"))
    tree = page.locator("#branches nav > ul")
    assert tree.bounding_box()["height"] <= 13 * entry(page, 40).bounding_box()["height"]
    page.add_style_tag(content=FLAT)
    for theme in ("light", "dark"):
        page.evaluate("dark => document.body.classList.toggle('dark', dark)", theme == "dark")
        options = {} if theme == "light" else {"options": CONTRAST}
        found = Axe().run(page, "#branches", **options).response["violations"]
        assert [(v["id"], node["html"]) for v in found for node in v["nodes"]] == []
    for width in (320, 390):
        page.set_viewport_size({"width": width, "height": 844})
        assert page.evaluate(WIDTHS) == [width, width]
        assert tree.evaluate("list => list.scrollWidth <= list.clientWidth")
        heights = page.locator("#branches button").evaluate_all(
            "all => all.map((button) => button.getBoundingClientRect().height)"
        )
        assert min(heights) >= 40
    last = page.locator("#branches [data-entry='49']")
    last.focus()
    box, around = last.bounding_box(), tree.bounding_box()
    assert around["y"] <= box["y"]
    assert box["y"] + box["height"] <= around["y"] + around["height"] + 1
    branch(page, 20)
    expect(page.locator("#branches li")).to_have_count(50)
    expect(page.locator("#branches [data-entry='11']")).to_have_count(0)  # the oldest leaf
    expect(page.locator("#branches [data-entry='50']")).to_have_attribute("aria-current", "true")
