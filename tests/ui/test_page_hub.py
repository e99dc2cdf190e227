"""Hub models and links on the page: Chromium and a loopback Hub."""

import json
import re
import shutil
import sys
import textwrap

import preloaded
import pytest
from api_client import ApiClient
from browser import settled_address, unfold_panel, visitor
from gradio_client.exceptions import AppError
from playwright.sync_api import expect
from programs import REPOSITORY, App
from small_models import make_text

from charlm.models import checkpoint
from charlm.runs.log import LOG_FILE as LOG

REPO = "ann/player"
HUB_SOURCE = "#hub-source textarea"


@pytest.fixture(scope="module")
def other_weights(pushed, trained, tmp_path_factory):
    """The files of `pushed` with other weights."""
    folder = tmp_path_factory.mktemp("other-weights")
    model, _ = checkpoint.load(trained / "small-gpt")
    for parameter in model.parameters():
        parameter.data *= 1.5
    model.save_pretrained(folder)
    return pushed | {"model.safetensors": (folder / "model.safetensors").read_bytes()}


class HubApp(App):
    """An app that checks for new revisions every two seconds, so that tests wait less for them."""

    def start(self):
        code = "import runpy; from charlm.hub import follow; follow.CHECK_INTERVAL = 2; "
        code += f"runpy.run_path({str(self.log.parent / 'app.py')!r}, run_name='__main__')"
        self.command = [sys.executable, "-c", code]
        super().start()


@pytest.fixture(scope="module")
def hub_app(shared_hub, pushed, trained, tmp_path_factory):
    """An app that starts with a Hub model and fetches others."""
    folder = tmp_path_factory.mktemp("hub-app")
    shutil.copytree(trained, folder / "models")
    shared_hub.add(REPO, pushed)
    env = shared_hub.env(folder / "home", "hf_writer")
    app = HubApp(folder, folder / "models", **env, CHARLM_MODEL=REPO)
    yield app
    app.stop()


@pytest.fixture
def hub(shared_hub, hub_app):
    """The Hub of that app; faults injected by a test end with it."""
    yield shared_hub
    shared_hub.heal()
    assert "Traceback" not in hub_app.log.read_text()
    assert "hf_writer" not in hub_app.log.read_text()


@pytest.fixture
def page(browser, hub_app, hub):
    with visitor(browser, hub_app) as page:
        expect(page.locator("#generate")).to_be_visible(timeout=60_000)
        yield page


def text_of(page):
    return "\n".join(page.locator("#text p").all_text_contents())


def generate_short(page, seed=3):
    """Generate 50 characters; returns the address of the link to them."""
    unfold_panel(page, "#settings")
    for field, value in ((0, 50), (-1, seed)):
        box = page.locator("#settings input[type=number]").nth(field)
        box.fill(str(value))
        box.press("Tab")
    page.locator("#generate").click()
    expect(page.locator("#status")).to_contain_text("50 characters, ")
    return page.locator("#link").evaluate("a => a.href")


def fetch(page, source):
    if not page.locator(HUB_SOURCE).is_visible():
        unfold_panel(page, "#hub-model")
    page.locator(HUB_SOURCE).fill(source)
    page.locator(HUB_SOURCE).press("Enter")


def chosen(page):
    return page.locator("#model label.selected")


def test_the_app_starts_with_its_hub_model_and_updates_it(page, hub, other_weights):
    expect(chosen(page)).to_have_text(REPO)
    first = hub.repo(REPO).commits[-1].sha
    expect(page.locator("#model-summary")).to_contain_text(f"revision {first[:7]}")
    link = generate_short(page)
    assert f"revision={first}" in link
    settled_address(page)  # the reloaded page shows its text
    old = text_of(page)
    second = hub.add(REPO, other_weights)
    summary = page.locator("#model-summary")
    for _ in range(20):  # the app asks the Hub from time to time; a reloaded page shows the answer
        page.reload()
        expect(page.locator("#link")).to_be_visible(timeout=60_000)  # after the summary
        if second[:7] in summary.inner_text():
            break
    expect(summary).to_contain_text(second[:7])
    generate_short(page)
    shown = page.locator("#link")
    expect(shown).to_have_attribute("href", re.compile(f"revision={second}"))
    assert text_of(page) != old
    page.goto(link)  # the link keeps its revision
    expect(chosen(page)).to_have_text(f"{REPO}@{first}")
    expect(page.locator("#status")).to_contain_text("50 characters")
    assert text_of(page) == old


@pytest.mark.slow
def test_a_hub_model_is_fetched_and_its_link_opens_elsewhere(
    page, hub, other_weights, browser, hub_app
):
    hub.add("bob/guest", other_weights)
    fetch(page, " bob/guest ")
    expect(chosen(page)).to_have_text("bob/guest")
    expect(page.locator("#status")).to_contain_text("bob/guest: ")
    expect(page.locator("#link")).to_be_visible()
    link = generate_short(page)
    page.locator("#link").click()
    expect(page.locator("#link")).to_have_text("link copied")
    assert page.evaluate("navigator.clipboard.readText()") == link
    with visitor(browser, hub_app, link.removeprefix(hub_app.url)) as friend:
        expect(friend.locator("#status")).to_contain_text("50 characters", timeout=60_000)
        assert text_of(friend) == text_of(page)
        expect(chosen(friend)).to_have_text("bob/guest")
        friend.get_by_role("tab", name="Watch").click()
        expect(friend.locator("#runs")).to_contain_text("bob/guest · ")


REFUSED = {
    "bob/none": "there is no such repository",
    "ann/secret": "there is no such repository",  # although the app's own token may read it
    "bob/gated": "it is gated",
    "bob/half": "damaged",
    "bob/pickled": "pickled weights only",
    "bob/other": "not a charlm model: it has no tokenizer.json",
    "../small-gpt": "'../small-gpt' is no Hub model: give its user/repo",
    "": "'' is no Hub model: give its user/repo",
}


def add_refused_repositories(hub, pushed):
    hub.add("ann/secret", pushed, private=True)
    hub.add("bob/gated", pushed, gated=True)
    hub.add("bob/half", pushed | {"model.safetensors": b"half of it"})
    hub.add("bob/pickled", pushed | {"model.safetensors": None, "model.bin": b"x"})
    hub.add("bob/other", {"config.json": b"{}", "model.safetensors": b"x"})


def test_a_refused_model_is_reported_and_changes_nothing(page, hub_app, hub, pushed):
    add_refused_repositories(hub, pushed)
    models = ApiClient(hub_app).predict(api_name="/models")
    expect(page.locator("#model label")).to_have_text(models)  # once the page has loaded
    for source, message in REFUSED.items():
        fetch(page, source)
        expect(page.locator("#hub-notice")).to_contain_text(message)
        if source:
            expect(page.locator("#hub-notice")).to_contain_text(source)
    expect(chosen(page)).to_have_text(REPO)
    expect(page.locator("#model label")).to_have_text(models)


@pytest.mark.slow
def test_a_run_on_the_hub_is_followed_while_it_continues(page, hub, pushed):
    lines = pushed[LOG].splitlines(keepends=True)
    hub.add("bob/live", pushed | {LOG: b"".join(lines[:-1])})
    fetch(page, "bob/live")
    expect(chosen(page)).to_have_text("bob/live")
    page.get_by_role("tab", name="Watch").click()
    page.locator("#runs label").filter(has_text="bob/live").click()
    expect(page.locator("#run-head")).to_contain_text("bob/live is learning")
    expect(page.locator("#stop")).not_to_be_visible()
    hub.add("bob/live", {LOG: pushed[LOG] + b"damaged\n"})
    expect(page.locator("#runs")).to_contain_text("bob/live · failed", timeout=60_000)
    expect(page.locator("#run-head .message")).to_contain_text("run.jsonl of bob/live is damaged")
    expect(page.locator("#runs")).to_contain_text(re.compile(r"small-gpt · \d"))  # as before
    hub.add("bob/live", {LOG: pushed[LOG]})
    expect(page.locator("#run-head")).to_contain_text("bob/live has finished", timeout=60_000)
    page.get_by_role("tab", name="Play").click()
    page.locator("#model label").filter(has_text="small-gpt").last.click()
    page.get_by_role("tab", name="Watch").click()
    page.locator("#write").click()
    expect(chosen(page)).to_have_text("bob/live")
    expect(page.locator("#model-summary")).to_contain_text("revision")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("query", "notices"),
    [
        (
            "?model=hamlet&tab=watch&run=none&seed=x&temperature=9",
            [
                "there is no model 'hamlet'; there is: ",
                "run is 'none'; there is no such run here",
                "seed is 'x'; it must be a whole number",
                "temperature is '9'; it must be a number from 0 to 2",
            ],
        ),
        (
            "?prompt=KING&model=small-gpt&revision=000000000000&max_new_chars=50",
            ["had other weights"],
        ),
    ],
    ids=["parts that are invalid", "other weights"],
)
def test_a_link_that_cannot_be_reproduced_shows_notices(browser, hub_app, hub, query, notices):
    with visitor(browser, hub_app, query) as page:
        for notice in notices:
            expect(page.locator("#address-notice")).to_contain_text(notice, timeout=60_000)


@pytest.mark.slow
def test_generate_works_while_a_link_fetches_its_model(browser, hub_app, hub, other_weights):
    hub.add("bob/slow", other_weights)
    hub.delay("cdn/.*bob/slow", 5)
    with visitor(browser, hub_app, "?model=bob/slow&max_new_chars=50") as page:
        expect(page.locator("#hub-notice")).to_contain_text("Fetching bob/slow", timeout=60_000)
        page.locator("#generate").click()
        expect(page.locator("#status")).to_contain_text(f"{REPO}: ")
        expect(page.locator("#status")).to_contain_text("bob/slow: 50 characters")


def test_a_link_with_few_parameters_uses_the_defaults(browser, hub_app, hub):
    with visitor(browser, hub_app, "?prompt=KING:&model=small-gpt&max_new_chars=50") as page:
        expect(page.locator("#status")).to_contain_text("small-gpt: 50 char", timeout=60_000)
        expect(chosen(page)).to_have_text("small-gpt")
        expect(page.locator("#prompt textarea")).to_have_value("KING:")
        assert text_of(page).startswith("KING:")


START = """
import json, sys, time
from concurrent.futures import ThreadPoolExecutor
from charlm.hub.follow import HubFollowers
from charlm.serving.limits import Limits
from charlm.serving.library import Library
def start(source):
    began = time.monotonic()
    library = Library(sys.argv[1], HubFollowers(), Limits(), source)
    default, notices = library.default(), library.notices()
    return default, " ".join(notices), time.monotonic() - began
with ThreadPoolExecutor(20) as pool:
    print(json.dumps(dict(zip(sys.argv[2:], pool.map(start, sys.argv[2:])))))
"""


def start_with(env, directory, *sources):
    """Return (default model, notices, seconds) of a library started with each source."""
    env = env | {"PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", textwrap.dedent(START), str(directory), *sources]
    done = preloaded.run(command, env=env, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_without_its_hub_model_the_app_starts_with_a_local_one(
    shared_hub, pushed, trained, tmp_path
):
    hub = shared_hub
    hub.clear()
    expected = {
        "bob/none": "there is no such repository",
        "ann/secret": "there is no such repository",
        "bob/gated": "it is gated",
        "bob/half": "damaged",
        "bob/pickled": "pickled weights only",
        "bob/other": "not a charlm model",
        "bob/kind": "config.json",
        "bob/busy": "the Hub answered 503",
        "bob/cut": "cannot fetch bob/cut whole",
        "bob/slow": "still being fetched",
    }
    add_refused_repositories(hub, pushed)
    for name in ("busy", "cut", "slow"):
        hub.add(f"bob/{name}", pushed)
    hub.add("bob/kind", pushed | {"config.json": b'{"model_type": "bert"}'})
    hub.fail("bob/busy", 503, times=None)
    hub.cut("resolve/.*/bob/cut|cdn/.*bob/cut", 100, times=None, reset=True)
    hub.delay("cdn/.*bob/slow", 30)
    found = start_with(hub.env(tmp_path / "home"), trained, *expected)
    for source, message in expected.items():
        default, notice, seconds = found[source]
        assert default == "small-gpt", source
        assert message in notice, (source, notice)
        assert seconds < 15, source
    absent = hub.env(tmp_path / "empty") | {"HF_ENDPOINT": "http://127.0.0.1:9"}
    default, notice, seconds = start_with(absent, trained, REPO)[REPO]
    assert (default, "cannot be reached" in notice, seconds < 10) == ("small-gpt", True, True)


def test_the_page_works_without_hub_and_training(browser, trained, tmp_path, shared_hub):
    env = shared_hub.env(tmp_path / "home") | {"HF_ENDPOINT": "http://127.0.0.1:9"}
    off = {"CHARLM_HUB": "off", "CHARLM_TRAINING": "off"}
    app = App(tmp_path, trained, **env, **off, CHARLM_MODEL=REPO)
    try:
        with visitor(browser, app) as page:
            expect(page.locator("#hub-notice")).to_contain_text("cannot be reached", timeout=60_000)
            expect(chosen(page)).to_have_text("small-gpt")
            expect(page.locator("#hub-model")).to_have_count(0)
            generate_short(page)
            page.get_by_role("tab", name="Watch").click()
            expect(page.locator("#run-head")).to_contain_text("small-gpt has finished")
            expect(page.locator("#train")).to_have_count(0)
        client = ApiClient(app)
        with pytest.raises(AppError, match="training is switched off on this page"):
            client.predict(preset="bigram", text=make_text(), api_name="/start_run")
        with pytest.raises(AppError, match="training is switched off on this page"):
            client.predict(run="small-gpt", api_name="/stop_run")
        assert len(client.predict(api_name="/runs")) == 1
    finally:
        app.stop()
