"""The mode Compare in Chromium: its numbers, letters, writers, errors and address."""

import re
import shutil

import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from browser import expect_value, unfold_panel, visitor
from hostile import HostileClient
from playwright.sync_api import expect
from programs import App
from small_models import describe, make_model

from charlm.data.tokenizer import CharTokenizer
from charlm.models import checkpoint
from charlm.models.snapshots import save_snapshot
from charlm.runs.directory import create_run_directory
from charlm.ui.chances_html import percent

PROMPT, SEED = "KING:\n", 5
LINK = "?prompt=KING:%0A&model=small-gpt&max_new_chars=60&seed=5"
COMPARED = LINK + "&compare=pairs,small-gpt~0.mlp"
WRITERS = [("small-gpt", ""), ("pairs", ""), ("small-gpt", "0.mlp")]
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
TEXTS = """[...document.querySelectorAll("#compared article")].map((article) =>
    [...article.querySelectorAll("p")].map((p) => p.textContent).join("\\n"))"""
# the index of the letter that is marked in each text
MARKS = """[...document.querySelectorAll("#compared article")].map((article) => {
  const before = new Range();
  before.setStart(article, 0);
  before.setEndBefore(article.querySelector("mark"));
  return [...before.cloneContents().querySelectorAll("p")].map((p) => p.textContent)
      .join("\\n").length;
})"""
SELECTED = "() => [...(CSS.highlights.get('compared-letter') ?? [])].map(String)"
# the middle of a letter of one of the texts
PLACE = """([number, index]) => {
  const article = document.querySelectorAll("#compared article")[number];
  const [range] = window.charlm.letters.rangesBetween(article, index, index + 1);
  range.startContainer.parentElement.scrollIntoView({ block: "center" });
  const box = range.getBoundingClientRect();
  return [box.x + box.width / 2, box.y + box.height / 2];
}"""
WIDTHS = """["html", ".gradio-container"].map(
    (selector) => document.querySelector(selector).scrollWidth)"""
NAMELESS = re.compile(r"- (?:button|textbox|combobox|radio|link|article)(?= \[|:|$)", re.M)


@pytest.fixture(scope="module")
def app(tmp_path_factory, trained, tokenizer):
    """An app with a GPT that has snapshots, a bigram model, and one of another alphabet."""
    folder = tmp_path_factory.mktemp("compare")
    models = folder / "models"
    directory = shutil.copytree(trained / "small-gpt", models / "small-gpt")
    network, _ = checkpoint.load(directory)
    for step in (30, 15, 0):
        save_snapshot(directory, network, step)
        with torch.no_grad():
            for p in network.parameters():
                p.mul_(0.5)
    foreign = CharTokenizer.fit("KINGthe é\n:")
    for name, kind, known in (("pairs", "bigram", tokenizer), ("foreign", "today", foreign)):
        network = make_model(kind, known.vocab_size)
        create_run_directory(models / name, describe(kind, known.vocab_size), network, known)
    app = App(folder, models)
    yield app
    app.stop()


@pytest.fixture(scope="module")
def client(app):
    return HostileClient(app.url)


@pytest.fixture(params=[{}, PHONE], ids=["desktop", "phone"])
def options(request):
    return request.param


def wait_for_comparison(page):
    expect(page.locator("#compared-summary table")).to_be_visible(timeout=60_000)
    expect(page.locator("#compared .generating")).to_have_count(0)


def generated(client, model, off):
    succeeded, (text,) = client.call("generate", PROMPT, model, 60, 0.8, 0, 0, 0, SEED, off)
    assert succeeded
    return text


def alternatives(client, text, model, off):
    succeeded, (found,) = client.call("alternatives", text, model, 0.8, 0, 0, 0, SEED, off)
    assert succeeded
    return found


def bits_per_letter(client, text, model, off):
    succeeded, (scores,) = client.call("score", text, model, off)
    assert succeeded
    bits = [char["bits"] for char in scores["chars"][len(PROMPT) :]]
    return sum(bits) / len(bits)


def first_difference(texts):
    return next(i for i, chars in enumerate(zip(*texts, strict=True)) if len(set(chars)) > 1)


def chances_of(page, number):
    """Return (the random number, the letter that it fell on, {letter: percentage}) of a column."""
    column = page.locator(".side-by-side > div").nth(number)
    sentence = column.locator(".chances p").inner_text()
    uniform, drawn = re.search(r"number ([\d.]+) (?:fell|would fall) on (.+?),", sentence).groups()
    rows = column.locator(".chances li").all_inner_texts()
    return uniform, drawn, dict(re.split(r"\n+", row.strip())[:2] for row in rows)


def assert_that_chances_are_those_of_alternatives(page, client, texts, index):
    expect(page.locator("#compared-chances section")).to_have_attribute("data-index", str(index))
    names = {" ": "space", "\n": "new line"}
    for number, (text, writer) in enumerate(zip(texts, WRITERS, strict=True)):
        expected = alternatives(client, text[:index], *writer)
        uniform, drawn, rows = chances_of(page, number)
        assert uniform == f"{expected['uniform']:.3f}"
        assert expected["chosen"] == text[index]
        assert drawn == names.get(text[index], text[index])
        final = dict(expected["stages"][-1]["chars"])
        likeliest = [char for char, _ in expected["stages"][0]["chars"]][:6]
        for char in {*likeliest, text[index]}:
            assert rows[names.get(char, char)].startswith(percent(final[char]))


@pytest.mark.slow
def test_the_numbers_of_a_comparison_are_those_of_the_endpoints(browser, app, client, options):
    with visitor(browser, app, COMPARED, **options) as page:
        wait_for_comparison(page)
        texts = page.evaluate(TEXTS)
        assert texts == [generated(client, *writer) for writer in WRITERS]
        index = first_difference(texts)
        expect_value(page, MARKS, [index] * 3)
        summary = page.locator("#compared-summary")
        expect(summary).to_contain_text(f"They first differ at letter {index + 1}.")
        cells = summary.locator("tbody td").all_inner_texts()
        expected = [bits_per_letter(client, text, *writer) for writer in WRITERS for text in texts]
        assert [float(cell) for cell in cells] == pytest.approx(expected, abs=0.0051)
        expect(summary).to_contain_text(re.compile(r"surprising .*\d\.\d\d bits a letter"))

        # all had read the same text before the letter in which they first differ
        page.mouse.click(*page.evaluate(PLACE, [1, index]))
        assert_that_chances_are_those_of_alternatives(page, client, texts, index)
        expect(page.locator("#compared-chances")).to_contain_text("all three had the same text")
        expect(page.locator("#compared-chances")).to_contain_text("The random number is the same")
        expect_value(page, SELECTED, [text[index] for text in texts if text[index] != "\n"])
        expect(page).to_have_url(re.compile(f"&at={index}$"))
        # after it, each its own
        article = page.locator("#compared article").first
        article.focus()
        for _ in range(20):  # faster than the server answers
            page.keyboard.press("ArrowRight")
        assert_that_chances_are_those_of_alternatives(page, client, texts, index + 20)
        expect(page.locator("#compared-chances")).to_contain_text("its own text")
        expect(article).to_be_focused()
        width = page.viewport_size["width"]
        assert max(page.evaluate(WIDTHS)) <= width
        boxes = [column.bounding_box() for column in page.locator("#compared > div").all()]
        assert len({box["y"] for box in boxes}) == (1 if width > 768 else 3)
    assert app.log.read_text().count("Traceback") == 0


def choose(page, number, key, value):
    chosen = page.locator(f"#writer-{number}-{key}")
    chosen.focus()
    chosen.select_option(value)


def headings(page):
    return page.locator("#compared h3").all_inner_texts()


def wait_for_headings(page, *names):
    expect(page.locator("#compared h3")).to_have_text([*names])
    wait_for_comparison(page)


@pytest.mark.slow
def test_a_text_is_compared_and_writers_are_chosen(browser, app, client):
    with visitor(browser, app, LINK) as page:
        expect(page.locator("#link")).to_be_visible(timeout=60_000)
        page.locator("#play-mode input:checked").focus()
        page.keyboard.press("ArrowRight")
        # a library without the bundled models compares a model with itself without a block
        wait_for_headings(page, "small-gpt", "small-gpt without block 0")
        expect(page.locator("#play-mode input:checked")).to_be_focused()
        expect(page.locator("#output")).to_be_hidden()
        first = generated(client, "small-gpt", "")
        assert page.evaluate(TEXTS) == [first, generated(client, "small-gpt", "0")]
        expect(page).to_have_url(re.compile(r"&seed=5&compare=small-gpt%7E0$"))

        choose(page, 2, "model", "pairs")
        wait_for_headings(page, "small-gpt", "small-gpt without block 0", "pairs")
        expect(page.locator("#writer-2-model")).to_be_focused()
        expect(page.locator("#writer-2-off")).to_have_count(0)  # it has no parts
        choose(page, 1, "off", "1.head0")
        wait_for_headings(page, "small-gpt", "small-gpt without block 1: head 0", "pairs")
        without = generated(client, "small-gpt", "1.head0")
        assert page.evaluate(TEXTS) == [first, without, generated(client, "pairs", "")]
        expect(page).to_have_url(re.compile(r"compare=small-gpt%7E1\.head0%2Cpairs$"))
        choose(page, 1, "model", "pairs")  # which has no such part
        wait_for_headings(page, "small-gpt", "pairs", "pairs")
        choose(page, 2, "model", "")
        wait_for_headings(page, "small-gpt", "pairs")
        choose(page, 0, "off", "0")
        wait_for_headings(page, "small-gpt without block 0", "pairs")
        expect(page).to_have_url(re.compile("compare=%7E0%2Cpairs$"))
        presets = page.locator("#writers .presets button")
        presets.filter(has_text="small-gpt at steps 0, 15, 30").click()
        expect(page.locator("#compared h3").last).to_have_text("small-gpt at step 30")
        wait_for_comparison(page)
        untrained = generated(client, "small-gpt#0", "")
        assert page.evaluate(TEXTS)[::2] == [untrained, generated(client, "small-gpt#30", "")]
        expect(page.locator("#writer-0-step")).to_have_value("0")
        choose(page, 2, "model", "")
        choose(page, 1, "step", "")
        wait_for_headings(page, "small-gpt at step 0", "small-gpt")
        expect(page).to_have_url(re.compile("&model=small-gpt%230&.*&compare=small-gpt$"))
        presets.filter(has_text="small-gpt, whole and without block 0").click()
        wait_for_headings(page, "small-gpt", "small-gpt without block 0")

        page.locator("#prompt textarea").fill("Queen")
        page.locator("#prompt textarea").press("Control+Enter")
        page.wait_for_function(f"() => {TEXTS}.every((text) => text.startsWith('Queen'))")
        wait_for_comparison(page)
        expect(page).to_have_url(re.compile("prompt=Queen.*&compare=small-gpt%7E0$"))

        page.locator("#play-mode label").first.click()
        expect(page.locator("#output")).to_be_visible()
        expect(page).to_have_url(re.compile(r"^(?!.*compare=).*prompt=KING.*&seed=5$"))
        page.locator("#play-mode label").last.click()
        page.wait_for_function(f"text => {TEXTS}[0] === text", arg=first)
    assert app.log.read_text().count("Traceback") == 0


@pytest.mark.slow
def test_a_link_shows_the_same_elsewhere(browser, app, options):
    query = COMPARED + "&temperature=0.6&at=30"
    shown = []
    for _ in range(2):
        with visitor(browser, app, query, **options) as page:
            expect(page.locator("#compared-chances section")).to_be_visible(timeout=60_000)
            wait_for_comparison(page)
            expect(page.locator("#play-mode input:checked")).to_have_value("compare")
            link = page.locator("#compared-summary .link").get_attribute("href")
            parts = ["#compared", "#compared-chances", "#compared-summary"]
            shown.append([page.evaluate(TEXTS), *map(page.inner_text, parts), link])
            expect(page).to_have_url(re.compile("[?&]at=30(&|$)"))
            query = page.url.removeprefix(app.url)
    assert shown[0] == shown[1]
    assert len(shown[0][0]) == 3


def test_an_error_stands_in_its_column_and_the_others_go_on(browser, app, client):
    """So do letters that a model does not know."""
    query = LINK.replace("KING", "KIéNG") + "&compare=gone,foreign"
    with visitor(browser, app, query) as page:
        expect(page.locator("#compared-summary table")).to_be_visible(timeout=60_000)
        columns = page.locator("#compared > div")
        expect(columns.nth(0)).to_contain_text("small-gpt")
        expect(columns.nth(1)).to_contain_text("There is no model 'gone'; there is:")
        expect(columns.nth(1).locator("article")).to_have_count(0)
        assert len(page.evaluate(TEXTS)) == 2
        summary = page.locator("#compared-summary")
        expect(summary).to_contain_text(re.compile("foreign does not know .+; it read the texts"))
        assert summary.locator("tbody tr").count() == 2
        page.mouse.click(*page.evaluate(PLACE, [0, 20]))
        chances = page.locator(".side-by-side > div")
        expect(chances.nth(1)).to_contain_text("There is no model 'gone'")
        expect(chances.nth(2).locator(".strip")).to_be_visible()
        # a link from when a model had other weights
    query = LINK + "&revision=aaaa,bbbb&compare=pairs~0.mlp"
    with visitor(browser, app, query) as page:
        expect(page.locator("#compared > div").nth(0)).to_contain_text(
            "This link is from when small-gpt had other weights: the text differs.", timeout=60_000
        )
        expect(page.locator("#compared > div").nth(1)).to_contain_text(
            "This model has no parts to switch off."
        )
        expect(page.locator("#compared article")).to_have_count(1)


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("&compare=", "compare is ''; it must be one or two models besides the first one"),
        ("&compare=pairs~x", "off is 'x'; it must be a part such as 3, 3.mlp or 3.head0"),
    ],
)
def test_a_bad_address_is_a_sentence(browser, app, query, sentence):
    with visitor(browser, app, LINK + query) as page:
        expect(page.locator("#address-notice")).to_contain_text(sentence, timeout=60_000)
        expect(page.locator("#link")).to_be_visible()
        expect(page.locator("#comparison")).to_be_hidden()


@pytest.fixture
def slow(app, tokenizer):
    """A model that is slow enough to be stopped while it writes."""
    changes = {"n_layer": 4, "n_embd": 128, "block_size": 64}
    model = make_model("today", tokenizer.vocab_size, **changes)
    directory = app.checkpoints / "slow"
    create_run_directory(
        directory, describe("today", tokenizer.vocab_size, **changes), model, tokenizer
    )
    yield directory.name
    shutil.rmtree(directory)


@pytest.mark.slow
def test_stop_ends_all_texts_and_a_newer_one_ends_the_older(browser, app, slow):
    link = f"?prompt=KING:%0A&model={slow}&max_new_chars=60&compare={slow}~0.mlp,{slow}~1.mlp"
    with visitor(browser, app, link) as page:
        wait_for_comparison(page)
        length = page.locator("#settings input[type=number]").first
        unfold_panel(page, "#settings")
        length.fill("2000")
        length.press("Tab")
        page.locator("#generate").click()
        expect(page.locator("#compared article.generating:has(p)")).to_have_count(3)
        page.keyboard.press("Escape")  # a click so soon would count as a double click
        stopped = page.locator("#compared .status").filter(has_text="characters, stopped")
        expect(stopped).to_have_count(3)
        expect(page.locator("#compared .generating")).to_have_count(0)
        expect(page.locator("#compared-summary table")).to_have_count(0)
        for model in ("small-gpt", "pairs") * 3:
            choose(page, 1, "model", model)
        wait_for_headings(page, slow, "pairs", f"{slow} without block 1: feed-forward layer")
        assert {len(text) for text in page.evaluate(TEXTS)} == {2_006}
    assert app.log.read_text().count("Traceback") == 0


# the body's gradients, whose contrast axe does not measure, as the colour that is worst for text
FLAT = """body, gradio-app { background: #f5ecd7 !important; }
body.dark, .dark gradio-app { background: #3f2b16 !important; }"""
CONTRAST = {"runOnly": ["color-contrast"], "resultTypes": ["violations"]}


@pytest.mark.slow
def test_a_comparison_is_for_everybody(browser, app, options):
    with visitor(browser, app, COMPARED + "&at=30", **options) as page:
        expect(page.locator("#compared-chances section")).to_be_visible(timeout=60_000)
        wait_for_comparison(page)
        # a colour on its way from one theme to the other is that of neither
        page.emulate_media(reduced_motion="reduce")
        page.add_style_tag(content=FLAT)
        for dark in (False, True):
            page.evaluate("dark => document.body.classList.toggle('dark', dark)", dark)
            found = Axe().run(page, options=CONTRAST if dark else None).response["violations"]
            serious = [v for v in found if v["impact"] in ("serious", "critical")]
            assert [(v["id"], n["html"]) for v in serious for n in v["nodes"]] == []
        assert NAMELESS.findall(page.locator("#play").aria_snapshot()) == []
        width = page.viewport_size["width"]
        assert max(page.evaluate(WIDTHS)) <= width
        if width < 768:
            for control in page.locator("#writers :is(select, button), #play-mode label").all():
                assert control.bounding_box()["height"] >= 40
        # Tab reaches each control once
        page.locator("#play-mode input:checked").focus()
        stops = []
        while not stops or stops[-1] != "bits":
            page.keyboard.press("Tab")
            stops.append(
                page.evaluate("""() => document.activeElement.id
                || document.activeElement.className || document.activeElement.tagName""")
            )
            assert len(stops) < 60
        assert {f"writer-{n}-model" for n in range(3)} | {"writer-0-off", "pill"} <= {*stops}
        assert sum("play-text" in stop for stop in stops) == 3
