"""The Watch tab in Chromium: runs are started, followed, paused, stopped and resumed."""

import re
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

import httpx
import pytest
from api_client import ApiClient
from browser import (
    MAX_LAYOUT_SHIFT,
    RECORD_LAYOUT_SHIFTS,
    layout_shift,
    paste,
    restart,
    unfold_panel,
    visitor,
)
from hostile import HostileClient
from playwright.sync_api import expect
from programs import REPOSITORY, App, CommandLine
from small_models import make_text
from waiting import WITHIN, wait_until

from charlm.errors import CharlmError
from charlm.serving.job_queue import JobQueue
from charlm.serving.limits import Limits

LONG = 20_000  # slow steps of a bigram: more than any test waits for
# each step of train.py sleeps: a run at full speed would take the page's processor
SLOW_STEPS = f"""
import sys
if any(argument.endswith("train.py") for argument in sys.orig_argv):
    sys.path.insert(0, {str(REPOSITORY)!r})
    import time
    from charlm.training.trainer import Trainer
    take_step = Trainer._train_step
    Trainer._train_step = lambda self: time.sleep(0.005) or take_step(self)
"""
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}


def serve(folder, trained, **variables):
    """Start an app that has no Tiny Shakespeare and no network to download it from."""
    shutil.copytree(trained, folder / "models")
    offline = {"CHARLM_DATA": "", "XDG_CACHE_HOME": str(folder), "https_proxy": "127.0.0.1:9"}
    return TrainingApp(folder, folder / "models", **offline, **variables)


class TrainingApp(App):
    """An app with slow runs, of the usual priority, or the tests of other files starve them."""

    customization = SLOW_STEPS + App.customization

    def start(self):
        code = "import runpy; from charlm.serving import process; process.NICENESS = 0; "
        code += f"runpy.run_path({str(self.log.parent / 'app.py')!r}, run_name='__main__')"
        self.command = [sys.executable, "-c", code]
        super().start()


@pytest.fixture(scope="module")
def served(tmp_path_factory, trained):
    app = serve(tmp_path_factory.mktemp("watch"), trained)
    yield app
    app.stop()


@pytest.fixture
def watch_app(served):
    """An app without runs but `small-gpt`; those that a failed test left would hold others up."""
    yield served
    queue = JobQueue(served.log.parent / "models", Limits())
    queue.start_worker = lambda: None  # that of the app works
    for job in queue.store.all():
        with suppress(CharlmError):  # it is over
            queue.stop(job.name)
        with suppress(CharlmError):  # it had not begun, and is deleted
            queue.delete(job.name)
    for name in {*queue.names()} - {"small-gpt"}:
        shutil.rmtree(queue.directory / name)


@pytest.fixture
def page(browser, watch_app):
    with visitor(browser, watch_app, "?tab=watch") as page:
        expect(head(page)).to_contain_text("step", timeout=60_000)
        yield page


def head(page):
    return page.locator("#run-head")


def open_form(page):
    unfold_panel(page, "#form")


def choose(page, radio, label):
    page.locator(f"#{radio} label").filter(has_text=label).click()


def set_option(page, option, value):
    field = page.locator(f"#option-{option} input")
    field.fill(str(value))
    field.press("Tab")


def fill_in_form(page, steps=LONG, name=""):
    open_form(page)
    choose(page, "preset", "bigram")
    expect(page.locator("#option-steps input")).to_have_value("3000")
    choose(page, "source", "My own")
    paste(page.locator("#own-text textarea"), make_text())
    page.locator("#run-name input, #run-name textarea").fill(name)
    set_option(page, "steps", steps)


def frame_of(page):
    """Return where on the page it and its parts above the sample begin, and their widths."""
    return page.evaluate("""[".gradio-container", "#curve .plot", "#sample"].map((part) => {
        const box = document.querySelector(part).getBoundingClientRect();
        return [box.x, box.y + scrollY, box.width].map(Math.round);
    })""")


def step_of(page):
    return int(page.locator("#run-head .bar").get_attribute("aria-valuenow"))


def wait_beyond(page, step):
    ahead = "n => +document.querySelector('#run-head .bar')?.ariaValueNow > n"
    page.wait_for_function(ahead, arg=step, timeout=60_000)
    return step_of(page)


@pytest.mark.slow
def test_the_tab_opens_with_a_finished_run(page):
    expect(head(page)).to_contain_text("small-gpt has finished")
    expect(head(page)).to_contain_text("step 30 of 30")
    assert page.locator("#curve .dot").count() == 4
    for reference in ("blind chance", "character frequencies", "bigram counts"):
        expect(page.locator("#curve")).to_contain_text(reference)
    expect(page.locator("#milestones")).to_contain_text("step 10 does better than blind chance")
    expect(page.locator("#sample")).to_contain_text("What it wrote at step 30")
    page.locator("#snapshot-step").focus()
    page.keyboard.press("Home")
    expect(page.locator("#sample")).to_contain_text("before it had learned")
    page.locator("#snapshot-step").fill("400")
    expect(page.locator("#sample")).to_contain_text("What it wrote at step 10")
    linear = page.locator("#curve .plot path.val").get_attribute("d")
    choose(page, "scale", "log steps")
    expect(page.locator("#curve .plot path.val")).not_to_have_attribute("d", linear)
    page.locator("#figures > button").click()
    expect(page.locator("#figures tbody tr")).to_have_count(4)
    for action in ("pause", "resume", "stop", "delete"):
        expect(page.locator(f"#{action}")).not_to_be_visible()


@pytest.mark.slow
def test_the_details_of_a_run_are_shown_and_its_model_writes(page, watch_app):
    expect(page.locator("#run-head .preset")).to_contain_text("Unlike the preset fast: ")
    expect(page.locator("#run-head .preset")).to_contain_text("2 layers")
    expect(page.locator("#run-head .preset")).to_contain_text("seed 7")
    label = page.get_by_role("radiogroup", name="Training runs", exact=True).locator("label span")
    expect(label).to_contain_text("as unsure as between")
    first, second = label.inner_text().split("\n")
    assert re.fullmatch(r"small-gpt · \d\.\d{4}", first)
    log = watch_app.log.parent / "models" / "small-gpt" / "run.jsonl"
    started = int(re.search(r'"started": (\d+)', log.read_text())[1])
    here = "t => new Date(1000 * t).toLocaleTimeString('en-GB', {timeStyle: 'short'})"
    time_here = page.evaluate(here, started)
    details = rf"\d+ \w+, {time_here} · small.txt · 7,952 parameters · as unsure as between .+"
    assert re.fullmatch(details, second)
    order = page.get_by_role("radiogroup", name="Order of the training runs")
    order.locator("label").filter(has_text="Lowest loss first").click()
    page.get_by_role("tab", name="Play").click()
    page.locator("#prompt textarea").fill("KING:\nkept")
    text = page.locator("#text").inner_text()
    shutil.copytree(log.parent, log.parent.with_name("copy"))
    try:
        page.get_by_role("tab", name="Watch").click()
        expect(page.locator("#runs label")).to_have_count(2)
        expect(order.locator("label.selected")).to_have_text("Lowest loss first")
        choose(page, "runs", "copy")
        expect(head(page)).to_contain_text("copy has finished")
        page.locator("#write").click()
        expect(page.locator("#model label.selected")).to_have_text("copy")
        expect(page.locator("#model input:checked")).to_be_focused()
        expect(page.locator("#model-summary")).to_contain_text("7,952 parameters")
        expect(page.locator("#prompt textarea")).to_have_value("KING:\nkept")
        page.wait_for_timeout(1000)  # in which a generation would begin
        assert page.locator("#text").inner_text() == text
        expect(page).not_to_have_url(re.compile("tab=watch"))
    finally:
        shutil.rmtree(log.parent.with_name("copy"))


RECORD_ANNOUNCEMENTS = """() => {
  window.announced = [];
  const region = document.getElementById("announcements");
  new MutationObserver(() => window.announced.push(region.textContent))
    .observe(region, { childList: true, characterData: true, subtree: true });
}"""


def announced(page, sentence):
    """Wait until a sentence has been announced; returns how often it was."""
    count = "s => window.announced.filter((a) => a.startsWith(s)).length"
    return page.wait_for_function(count, arg=sentence, timeout=60_000).json_value()


@pytest.mark.slow
def test_only_the_browser_that_started_a_run_acts_on_it(browser, page, watch_app):
    fill_in_form(page, name="theirs")
    page.locator("#train").click()
    expect(head(page)).to_contain_text("theirs is learning", timeout=60_000)
    expect(page.locator("#stop")).to_be_visible()
    with visitor(browser, watch_app, "?tab=watch") as other:
        expect(head(other)).to_contain_text("theirs is learning", timeout=60_000)
        for action in ("pause", "stop", "delete"):
            expect(other.locator(f"#{action}")).not_to_be_visible()
    client = HostileClient(watch_app.url)
    secret = page.evaluate("() => localStorage.getItem('charlm-owner')")
    assert len(secret) == 32 and secret not in page.url
    assert "somebody else" in client.call("stop_run", "theirs")[1]
    stop = next(
        e for e in client.events() if e["targets"] == [[component(client, "stop"), "click"]]
    )
    refused = client.fire(stop["id"], False, "f" * 32, "theirs")
    assert "somebody else" in refused[1]
    expect(page).to_have_url(re.compile("run=theirs"))
    page.reload()  # it is still theirs
    expect(head(page)).to_contain_text("theirs is learning", timeout=60_000)
    page.locator("#stop").click()
    expect(head(page)).to_contain_text("theirs was stopped", timeout=60_000)
    page.locator("#delete").click()
    page.locator("#delete-yes").click()
    expect(head(page)).not_to_contain_text("theirs", timeout=60_000)


def component(client, elem_id):
    """Return the number of a component of the page."""
    parts = client.http.get("config").json()["components"]
    return next(part["id"] for part in parts if part["props"].get("elem_id") == elem_id)


def start_a_run_without_moving_the_page(page):
    page.evaluate(RECORD_ANNOUNCEMENTS)
    fill_in_form(page, name="mine")
    page.evaluate(RECORD_LAYOUT_SHIFTS)
    before = frame_of(page)
    page.locator("#train").click()
    expect(head(page)).to_contain_text("mine is learning", timeout=60_000)
    announced(page, "mine is on its way.")
    expect(page.locator("#curve .dot")).not_to_have_count(0)
    assert layout_shift(page) < MAX_LAYOUT_SHIFT
    assert frame_of(page) == before


def check_that_the_shown_run_advances(page):
    first = wait_beyond(page, 100)
    drawn = page.locator("#curve .plot path.train").get_attribute("d")
    dots = page.locator("#curve .dot").count()
    sample = page.locator("#sample h3").inner_text()
    more_dots = "n => document.querySelectorAll('#curve .dot').length > n"
    page.wait_for_function(more_dots, arg=dots, timeout=60_000)
    assert step_of(page) > first
    expect(page.locator("#curve .plot path.train")).not_to_have_attribute("d", drawn)
    expect(page.locator("#sample h3")).not_to_have_text(sample)
    expect(head(page)).to_contain_text(re.compile(r"left · [\d,]+ characters a second · learning"))


def pause_resume_and_stop(page):
    """Return the step at which the run was stopped."""
    page.locator("#pause").click()
    expect(head(page)).to_contain_text("mine is paused")
    page.evaluate(RECORD_ANNOUNCEMENTS)
    paused = step_of(page)
    page.wait_for_timeout(2500)
    assert step_of(page) == paused
    page.locator("#resume").click()
    expect(head(page)).to_contain_text("mine is learning")
    page.locator("#stop").click()
    expect(head(page)).to_contain_text("mine was stopped", timeout=60_000)
    stopped = step_of(page)
    assert paused <= stopped < LONG
    assert announced(page, "mine is learning") == 1  # and no figures
    assert announced(page, "mine was stopped: validation loss ") == 1
    assert len(page.evaluate("window.announced")) == 2
    return stopped


def delete_after_asking(page):
    page.locator("#delete").click()
    expect(page.locator("#ask-delete")).to_contain_text("Delete mine, its model and its history")
    expect(page.locator("#delete-no")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#delete-yes")).not_to_be_visible()
    expect(page.locator("#write")).to_be_focused()
    page.locator("#delete").click()
    page.locator("#delete-yes").click()
    expect(head(page)).to_contain_text("small-gpt has finished")
    expect(page.locator("#runs label")).to_have_count(1)


def test_a_run_is_started_paused_resumed_stopped_played_and_deleted(page, watch_app):
    start_a_run_without_moving_the_page(page)
    check_that_the_shown_run_advances(page)
    expect(page).to_have_url(re.compile("run=mine"))
    page.reload()
    expect(head(page)).to_contain_text("mine is learning", timeout=60_000)
    before = step_of(page)
    wait_beyond(page, before)
    stopped = pause_resume_and_stop(page)
    page.locator("#resume").click()
    expect(head(page)).to_contain_text("mine is learning", timeout=60_000)
    wait_beyond(page, stopped)
    page.locator("#stop").click()
    expect(head(page)).to_contain_text("mine was stopped", timeout=60_000)
    page.get_by_role("tab", name="Play").click()
    expect(page.locator("#model label").filter(has_text="mine")).to_be_visible()
    page.get_by_role("tab", name="Watch").click()
    choose(page, "runs", "mine")
    delete_after_asking(page)
    assert watch_app.log.read_text().count("Traceback") == 0


@pytest.mark.slow
def test_an_error_is_shown_at_its_field_until_corrected(page):
    fill_in_form(page, steps=0)
    page.evaluate(RECORD_ANNOUNCEMENTS)
    page.locator("#train").click()
    announced(page, "steps is 0; it must be 1 or more")
    expect(page.locator("#option-steps")).to_contain_text("steps is 0; it must be 1 or more")
    expect(page.locator("#train-notice")).to_contain_text("steps is 0; it must be 1 or more")
    page.wait_for_timeout(2500)  # the page is updated meanwhile
    expect(page.locator("#option-steps")).to_contain_text("steps is 0; it must be 1 or more")
    set_option(page, "steps", 50)
    name = page.locator("#run-name input, #run-name textarea")
    for invalid, message in (
        ("../x", "cannot be a run's name"),
        ("small-gpt", "such a run already"),
    ):
        name.fill(invalid)
        page.locator("#train").click()
        expect(page.locator("#run-name")).to_contain_text(message)
    expect(page.locator("#option-steps")).not_to_contain_text("steps is 0")
    name.fill("")
    for invalid, message in (("", "paste a text here"), ("KING", "at least 1,000")):
        paste(page.locator("#own-text textarea"), invalid)
        page.locator("#train").click()
        expect(page.locator("#own-text")).to_contain_text(message)
    choose(page, "preset", "fast")
    expect(page.locator("#option-n_embd input")).to_have_value("128")
    paste(page.locator("#own-text textarea"), make_text())
    set_option(page, "n_embd", 129)
    page.locator("#train").click()
    expect(page.locator("#option-n_embd")).to_contain_text("divisible by n_head=2")
    expect(page.locator("#runs label")).to_have_count(1)


@pytest.mark.slow
def test_a_run_trains_on_an_uploaded_file(page, tmp_path):
    fill_in_form(page, steps=50)
    picture = tmp_path / "picture.txt"
    picture.write_bytes(b"\x89PNG\xff\0" * 500)
    page.locator("#own-file input[type=file]").set_input_files(picture)
    expect(page.locator("#own-file")).to_contain_text("picture")
    page.locator("#train").click()
    expect(page.locator("#own-text")).to_contain_text("not UTF-8 text")
    page.locator("#own-file").get_by_label("Remove").or_(
        page.locator("#own-file").get_by_label("Clear")
    ).first.click()
    novel = tmp_path / "novel.txt"
    novel.write_text("Äußerst süße Öchslein. " * 100, encoding="utf-8")
    page.locator("#own-file input[type=file]").set_input_files(novel)
    expect(page.locator("#own-file")).to_contain_text("novel")
    page.locator("#train").click()
    expect(head(page)).to_contain_text("bigram has finished", timeout=60_000)
    expect(page.locator("#sample")).to_contain_text("ß")
    page.locator("#delete").click()
    page.locator("#delete-yes").click()
    expect(head(page)).to_contain_text("small-gpt has finished")


@pytest.mark.slow
def test_without_tiny_shakespeare_the_page_offers_a_generated_text(page):
    page.locator("#train").click()
    expect(page.locator("#train-notice")).to_contain_text("cannot download", timeout=60_000)
    page.evaluate(RECORD_ANNOUNCEMENTS)
    page.locator("#use-generated").click()
    expect(page.locator("#train-notice")).to_contain_text(
        re.compile(r"written: \d+%, about .* left")
    )
    assert announced(page, "A text to learn from is being written") == 1
    expect(head(page)).to_contain_text("fast", timeout=120_000)
    expect(page.locator("#stop")).to_be_visible()
    page.locator("#stop").click()
    expect(head(page)).not_to_contain_text(re.compile("is learning|to begin"), timeout=60_000)


@pytest.mark.slow
def test_a_run_from_a_terminal_is_followed(page, watch_app, text_file):
    train = CommandLine.__new__(CommandLine)
    train.folder = watch_app.log.parent
    flags = ["--preset", "bigram", "--name", "elsewhere", "--data", text_file, "--steps", 10**6]
    process = train.start(*flags)
    try:
        expect(page.locator("#runs")).to_contain_text("elsewhere · running", timeout=60_000)
        choose(page, "runs", "elsewhere")
        expect(head(page)).to_contain_text("elsewhere is learning")
        expect(page).to_have_url(re.compile(r"\?tab=watch&run=elsewhere"))
        wait_beyond(page, step_of(page))
        expect(page.locator("#stop")).not_to_be_visible()
        process.kill()
        expect(head(page)).to_contain_text("elsewhere has failed")
        expect(head(page)).to_contain_text("killed, out of memory")
    finally:
        process.kill()
        process.communicate()
    page.locator("#others input").click()
    page.get_by_role("option", name="small-gpt").click()
    expect(page.locator("#curve figcaption")).to_contain_text("small-gpt")
    assert page.locator("#curve path.other-0").count() == 2  # the curve and its entry below


@pytest.mark.slow
def test_an_idle_page_sends_small_requests_and_a_hidden_one_none(page):
    page.wait_for_timeout(2500)
    sizes = []
    page.on("response", lambda r: sizes.append(len(r.body())) if "predict" in r.url else None)
    page.wait_for_timeout(3000)
    assert 2 <= len(sizes) <= 5
    assert max(sizes) < 2500
    requests = []
    page.on("request", lambda request: requests.append(request.url))

    def assert_no_requests():
        page.wait_for_timeout(1000)  # for the one that is on its way
        requests.clear()
        page.wait_for_timeout(2200)
        assert requests == []

    page.get_by_role("tab", name="Play").click()
    assert_no_requests()
    page.get_by_role("tab", name="Watch").click()
    with page.expect_request(lambda request: "predict" in request.url):
        pass
    page.evaluate("Object.defineProperty(document, 'visibilityState', {value: 'hidden'})")
    assert_no_requests()


@pytest.mark.slow
def test_the_page_reconnects_and_the_run_survives_when_the_app_is_killed(page, watch_app):
    fill_in_form(page, name="survivor")
    page.locator("#train").click()
    expect(head(page)).to_contain_text("survivor is learning", timeout=60_000)
    before = wait_beyond(page, 0)
    restart(watch_app, page)
    expect(head(page)).to_contain_text("survivor is learning", timeout=60_000)
    wait_beyond(page, before)
    page.locator("#stop").click()
    expect(head(page)).to_contain_text("survivor was stopped", timeout=60_000)
    page.locator("#delete").click()
    page.locator("#delete-yes").click()
    expect(page.locator("#runs")).not_to_contain_text("survivor")


@pytest.mark.slow
def test_twenty_visitors_watch_at_once(watch_app, page):
    fill_in_form(page, name="popular")
    page.locator("#train").click()
    expect(head(page)).to_contain_text("popular is learning", timeout=60_000)
    with page.expect_request(lambda request: "predict" in request.url) as request:
        pass
    update = request.value

    def watch(session):
        """Request updates once a second, as a page does; returns the slowest answer's time."""
        slowest, parts = 0, []
        for _ in range(8):
            began = time.monotonic()
            answer = httpx.post(
                update.url, json=update.post_data_json | {"session_hash": session}, timeout=60
            )
            slowest = max(slowest, time.monotonic() - began)
            parts += [str(part) for part in answer.json()["data"]]
            time.sleep(max(0, 1 - (time.monotonic() - began)))
        assert any("popular" in part and "is learning" in part for part in parts)
        return slowest

    before = step_of(page)
    with ThreadPoolExecutor(19) as others:
        slowest = max(others.map(watch, map(str, range(19))))
    assert slowest < 10
    assert step_of(page) > before
    page.locator("#stop").click()
    expect(head(page)).to_contain_text("popular was stopped", timeout=60_000)


@pytest.mark.slow
def test_the_api_starts_follows_and_stops_runs(watch_app):
    client = ApiClient(watch_app)
    request = {"preset": "bigram", "steps": LONG, "text": make_text()}
    run = client.predict(name="scripted", **request, api_name="/start_run")
    assert run == "scripted"
    status_of = partial(client.predict, api_name="/run_status")
    wait_until(lambda: status_of(run=run)["state"] != "waiting", lambda: status_of(run=run))
    behind = client.predict(**request, api_name="/start_run")
    waiting = status_of(run=behind)
    assert (waiting["state"], waiting["place"], waiting["events"]) == ("waiting", 1, [])
    cursor, steps, status = 0, [], {"step": 0}
    give_up = time.monotonic() + WITHIN
    while status["step"] < 200:
        assert time.monotonic() < give_up, f"step 200 is not reached: {status}"
        status = status_of(run=run, cursor=cursor)
        assert status["state"] in ("waiting", "starting", "running")
        cursor = status["cursor"]
        steps += [event["step"] for event in status["events"] if event["event"] == "step"]
    assert steps == list(range(50, steps[-1] + 1, 50))
    assert status["steps"] == LONG
    listed = {entry["name"]: entry["state"] for entry in client.predict(api_name="/runs")}
    assert (listed[run], listed[behind]) == ("running", "waiting")
    assert client.predict(run=behind, api_name="/stop_run") == "deleted"
    assert client.predict(run=run, api_name="/stop_run") == "stopped"
    assert run in client.predict(api_name="/models")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_tab_fits_a_phone(browser, watch_app, scheme):
    with visitor(browser, watch_app, "?tab=watch", color_scheme=scheme, **PHONE) as page:
        expect(head(page)).to_contain_text("step", timeout=60_000)
        expect(page.locator("#runs label")).not_to_have_count(0)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        sizes = "span => [span, document.body].map((e) => parseFloat(getComputedStyle(e).fontSize))"
        details, usual = page.locator("#runs label span").first.evaluate(sizes)
        assert 14 <= details < usual
        open_form(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
