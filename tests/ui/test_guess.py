"""The Guess tab in Chromium: the game, its figures, its link, and what there is without a text."""

import base64
import json
import re
import shutil

import pytest
from browser import visitor
from guessing import KEEP_ANSWERS, wrong_for
from playwright.sync_api import expect
from programs import App, CommandLine
from small_models import SMALL_FLAGS, make_text

from charlm.inspection.shannon import entropy_bounds
from charlm.serving.passages import MAX_LETTERS

PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
SAVED = "JSON.parse(sessionStorage.getItem('charlm-guess'))"
# whether the letters to come stand somewhere in what is shown or read out
SHOWN = """() => document.getElementById("guess-game").innerText
    + [...document.querySelectorAll("#guess-game *")].map((e) => e.ariaLabel ?? "").join()"""


@pytest.fixture(scope="module")
def app(tmp_path_factory, trained):
    """An app of two models, with the text that they were trained on."""
    folder = tmp_path_factory.mktemp("guess")
    text = folder / "play.txt"
    text.write_text(make_text(300), encoding="utf-8")
    train = CommandLine(folder)
    flags = ["--steps", 4, "--eval-interval", 2, "--data", text]
    for name, more in (("shakespeare", SMALL_FLAGS), ("bigram", ["--preset", "bigram"])):
        done = train("--name", name, *more, *flags)
        assert done.returncode == 0, done.stdout + done.stderr
    (folder / "app").mkdir()
    app = App(folder / "app", train.checkpoints, CHARLM_DATA=str(text))
    yield app
    app.stop()


@pytest.fixture(scope="module")
def poor(tmp_path_factory, trained):
    """An app of one model, without its text."""
    folder = tmp_path_factory.mktemp("poor")
    shutil.copytree(trained, folder / "models")
    app = App(folder, folder / "models", CHARLM_DATA="")
    yield app
    app.stop()


def open_game(page):
    expect(page.locator("#guess-game")).to_have_attribute("data-state", "playing", timeout=60_000)
    return page.evaluate("window.answer")


def playing(browser, app, at="?tab=guess", **options):
    context = {"viewport": {"width": 1280, "height": 900}} | options
    return visitor(Recording(browser), app, at, **context)


class Recording:
    """A browser whose contexts keep the answers of the page."""

    def __init__(self, browser):
        self.browser, self.contexts = browser, []

    def new_context(self, **options):
        context = self.browser.new_context(**options)
        context.add_init_script(KEEP_ANSWERS)
        return context


@pytest.mark.slow
def test_a_game_from_start_to_end_by_keyboard(browser, app):
    with playing(browser, app) as page:
        answer = open_game(page)
        letters, code = answer["letters"], answer["code"]
        assert 50 <= len(letters) <= MAX_LETTERS
        assert code.startswith("corpus.")
        expect(page.locator("#guess-game .origin")).to_contain_text("last tenth of play.txt")
        expect(page).to_have_url(re.compile(f"passage={re.escape(code)}"))
        assert [m["name"] for m in answer["models"]] == ["shakespeare", "bigram"]
        cursor = page.locator(".cursor")
        expect(cursor).to_be_focused()
        expect(page.locator("[data-action=stop]")).to_be_disabled()

        sent = []  # from now on to the end of the game, but for the refresh
        page.on("request", lambda r: sent.append(r.url) if r.method == "POST" else None)
        # wrong guesses: the key is greyed, they count once, shortcuts are not guesses
        first, second = wrong_for(answer, 0, 2)
        page.keyboard.press(first)
        page.keyboard.press(first)
        expect(page.locator(f"[data-symbol='{first}']")).to_be_disabled()
        expect(page.locator("#guess-feedback")).to_have_text(f"Not {first}. 1 guess so far.")
        expect(page.locator("#announcements")).to_have_text(f"not {first}, 1 guess so far")
        page.keyboard.press(f"Control+{second}")
        page.keyboard.press("7")
        page.keyboard.press("Shift+" + second.upper())
        expect(page.locator("#guess-feedback")).to_have_text(f"Not {second}. 2 guesses so far.")
        page.keyboard.press(letters[0][2])
        ranks = [m["ranks"][0] for m in answer["models"]]
        feedback = page.locator("#guess-feedback")
        expect(feedback).to_contain_text(f"{letters[0][1]} you: 3rd guess · shakespeare: ")
        assert [int(n) for n in re.findall(r": (\d+)", feedback.inner_text())] == [3, *ranks]
        expect(page.locator("#announcements")).to_contain_text("you: 3rd guess, shakespeare")
        expect(page.locator(".keys :disabled")).to_have_count(0)
        expect(page.locator(".progress")).to_have_text(f"Letter 2 of {len(letters)}")
        expect(cursor).to_be_focused()

        # nothing shows or tells the letters to come
        rest = "".join(before + char for before, char, _ in letters[1:]).replace("\n", "")
        shown = page.evaluate(SHOWN)
        assert rest not in shown.replace("\n", "")
        passage = "".join(page.locator(".passage p").all_text_contents())
        assert passage.endswith((letters[0][1] + letters[1][0]).replace("\n", "") + "?")

        # giving up counts as the last guess
        page.locator("[data-action=show]").press("Enter")
        count = len(answer["symbols"])
        expect(feedback).to_contain_text(re.compile(f"you: shown, counts as {count}(th|st|nd|rd)"))
        cursor.focus()
        own = [3, count]
        for i in range(2, 10):
            for wrong in wrong_for(answer, i, i % 3):
                page.keyboard.press(wrong)
            page.keyboard.press("Space" if letters[i][2] == " " else letters[i][2])
            own.append(1 + i % 3)
        assert page.evaluate(SAVED)["ranks"] == own

        assert sent == []
        # refreshed in the middle, it goes on
        page.keyboard.press(wrong_for(answer, 10, 1)[0])
        page.reload()
        assert open_game(page) == answer
        expect(page.locator(".progress")).to_have_text(f"Letter 11 of {len(letters)}")
        expect(page.locator(f"[data-symbol='{wrong_for(answer, 10, 1)[0]}']")).to_be_disabled()
        expect(page.locator("[data-action=stop]")).to_be_enabled()
        cursor.focus()
        for _, _, symbol in letters[10:]:
            page.keyboard.press("Space" if symbol == " " else symbol)
        own += [2] + [1] * (len(letters) - 11)
        assert_result(page, answer, own)
        expect(page.locator("#guess-game h3")).to_be_focused()
        text = "".join(before + char for before, char, _ in letters)
        read = page.evaluate("""[...document.querySelectorAll(".passage p")].map((p) =>
            { const c = p.cloneNode(true); c.querySelectorAll("sub, .cursor").forEach((e) =>
            e.remove()); return c.textContent; }).join("\\n")""")
        assert read.endswith(text)

        # the ended game outlives a refresh, too; another passage is another
        page.reload()
        expect(page.locator("#guess-game")).to_have_attribute("data-state", "ended", timeout=60_000)
        assert_result(page, answer, own)
        page.locator(".after a").click()
        expect(page.locator(".after a")).to_have_text("Link copied")
        copied = page.evaluate("navigator.clipboard.readText()")
        assert copied == f"{app.url}?tab=guess&passage={code}"
        with playing(browser, app, copied.removeprefix(app.url)) as friend:
            assert open_game(friend) == answer
            expect(friend.locator(".progress")).to_contain_text("Letter 1 of")
            friend.locator("[data-action=another]").click()
            friend.wait_for_function("code => window.answer.code !== code", arg=code)
            open_game(friend)
            expect(friend).not_to_have_url(re.compile(re.escape(code)))
    assert app.log.read_text().count("Traceback") == 0


def assert_result(page, answer, own):
    """Assert the figures of an ended game, computed from the visitor's ranks."""
    n = len(own)
    assert page.evaluate(SAVED)["ranks"] == own
    computed = page.evaluate("ranks => window.charlm.entropyBounds(ranks)", own)
    assert computed == pytest.approx(entropy_bounds(own), abs=1e-9)
    shown = page.locator("#guess-game strong").all_inner_texts()
    bits = [sum(m["bits"][:n]) / n for m in answer["models"]]
    lower, upper = entropy_bounds(own)
    assert shown[0] == f"{lower:.1f} to {upper:.1f}"
    assert [float(figure) for figure in shown[1:]] == pytest.approx(bits, abs=0.051)
    for item, model in zip(
        page.locator("#guess-game li small").all(), answer["models"], strict=True
    ):
        bounds = re.findall(r"[\d.]+", item.inner_text())
        assert [float(b) for b in bounds] == pytest.approx(model["bounds"][n - 1], abs=0.051)
    result = page.locator(".result").inner_text()
    unsure = [float(f) for f in re.findall(r"between (\d+\.\d)", result)]
    assert unsure == pytest.approx([2**lower, *(2**b for b in bits)], abs=0.051)
    ranks = answer["models"][0]["ranks"]
    better = [mine < its for mine, its in zip(own, ranks, strict=False)]
    assert f"{sum(better)} of {n} letters" in result
    marked = [
        mark == "MARK"
        for mark in page.locator(".letter").evaluate_all(
            "letters => letters.map((letter) => letter.tagName)"
        )
    ]
    assert marked == better
    assert page.locator(".letter sub").all_inner_texts() == [str(r) for r in own if r > 1]


def test_a_phone_needs_one_hand(browser, app):
    with playing(browser, app, **PHONE) as page:
        answer = open_game(page)
        letters = answer["letters"]
        for width, height in ((390, 844), (320, 568)):
            page.set_viewport_size({"width": width, "height": height})
            page.evaluate("document.getElementById('guess-game').scrollIntoView()")
            at = page.evaluate("scrollY")
            for i in range(5 * (width == 320), 5 + 5 * (width == 320)):
                for symbol in [*wrong_for(answer, i, 1), letters[i][2]]:
                    key = page.locator(f".keys [data-symbol='{symbol}']")
                    box = key.bounding_box()
                    assert box["width"] >= 24 and box["height"] >= 40
                    assert box["y"] + box["height"] <= height
                    key.tap()
            assert page.evaluate("scrollY") == at
            assert page.evaluate("document.documentElement.scrollWidth") == width
            # no field has the focus, so no keyboard of the phone's appears
            assert page.evaluate("document.activeElement.className") == "cursor"
        assert page.evaluate(SAVED)["ranks"] == [2] * 10
        page.locator("[data-action=stop]").tap()
        assert_result(page, answer, [2] * 10)
        expect(page.locator("#guess-game h3")).to_be_in_viewport()


@pytest.mark.slow
def test_a_text_of_ones_own_and_one_that_a_model_writes(browser, poor):
    with playing(browser, poor) as page:
        written = open_game(page)
        assert re.fullmatch(r"model\.\d+\.[0-9a-f]{12}\.small-gpt", written["code"])
        expect(page.locator(".origin")).to_contain_text("Written by small-gpt, which also plays")
        field = page.locator("#guess-typed textarea")
        field.fill("too short")
        page.locator("#guess-own").click()
        expect(page.locator("#guess-notice")).to_contain_text("too short: it leaves")
        expect(page.locator("#announcements")).to_contain_text("too short")
        expect(page.locator(".keys")).to_be_hidden()
        text = "the king <b>of</b> all ${our} sorrow hath no crown\nbut love and war & my lord of "
        field.fill(text * 4)
        page.locator("#guess-own").click()
        typed = open_game(page)
        expect(page.locator("#guess-notice .notice")).to_have_count(0)
        expect(page.locator(".origin")).to_contain_text("A text that a visitor typed")
        assert page.locator(".passage b").count() == 0
        code = typed["code"]
        raw = base64.urlsafe_b64decode(code.removeprefix("typed.") + "==").decode()
        assert raw.startswith("the king <b>of</b> all ${our} sorrow")
        expect(page).to_have_url(re.compile(re.escape(code)))
        at = page.url.removeprefix(poor.url)
    with playing(browser, poor, at) as friend:
        assert open_game(friend) == typed
    with playing(browser, poor, f"?tab=guess&passage={written['code']}") as friend:
        assert open_game(friend) == written
    assert json.dumps(typed) != json.dumps(written)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("corpus.86c4e6aa9db7.17", "that is not on this machine"),
        ("model.1.000000000000.small-gpt", "from when small-gpt had other weights"),
        ("model.1.000000000000.<b>x", "no model '<b>x'"),
        ("nonsense", "is incomplete; copy the whole address"),
    ],
)
def test_a_passage_that_is_not_here_is_not_replaced(browser, poor, code, sentence):
    with visitor(browser, poor, f"?tab=guess&passage={code}") as page:
        expect(page.locator("#guess-notice")).to_contain_text(sentence, timeout=60_000)
        expect(page.locator("#guess-game")).to_have_attribute("data-state", "missing")
        expect(page.locator(".keys")).to_be_hidden()
        if code == "nonsense":
            page.locator("[data-action=another]").click()
            open_game(page)
            expect(page.locator("#guess-notice .notice")).to_have_count(0)
    assert poor.log.read_text().count("Traceback") == 0
