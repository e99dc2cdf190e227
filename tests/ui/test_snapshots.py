"""The texts of a run's steps in Chromium: the slider, a prompt of one's own, links."""

import json
from urllib.parse import parse_qsl, urlsplit

import pytest
from api_client import ApiClient
from browser import visitor
from playwright.sync_api import expect
from programs import App, CommandLine
from small_models import SMALL_FLAGS

from charlm.models.snapshots import snapshot_steps

PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
THUMB = """() => {
  const plot = document.querySelector("#curve .plot").getBoundingClientRect();
  const slider = document.getElementById("snapshot-step");
  const box = slider.getBoundingClientRect();
  const thumb = 1.2 * parseFloat(getComputedStyle(document.documentElement).fontSize);
  const at = box.x + thumb / 2 + (slider.value / 1000) * (box.width - thumb);
  const line = getComputedStyle(document.getElementById("run-panel")).getPropertyValue("--step");
  return [(at - plot.x) / plot.width, Number(line), plot.width];
}"""


@pytest.fixture(scope="module")
def run(tmp_path_factory, text_file):
    """A finished run with snapshots."""
    train = CommandLine(tmp_path_factory.mktemp("kept"))
    flags = ["--steps", 40, "--eval-interval", 20, "--snapshots", 5, "--sample-chars", 60]
    kept = [
        flag for flag in SMALL_FLAGS if flag not in ("--snapshots", "0", "--sample-chars", "20")
    ]
    done = train("--name", "kept", "--data", text_file, *kept, *flags)
    assert done.returncode == 0, done.stdout + done.stderr
    return train.checkpoints / "kept"


@pytest.fixture(scope="module")
def snapshot_app(tmp_path_factory, run):
    app = App(tmp_path_factory.mktemp("snapshots"), run.parent)
    yield app
    app.stop()


def show(page, step):
    """Move the slider to a step by its keys."""
    slider = page.locator("#snapshot-step")
    slider.press("Home")
    while slider.get_attribute("aria-valuetext") != f"step {step}":
        before = slider.get_attribute("aria-valuetext")
        slider.press("ArrowRight")
        assert slider.get_attribute("aria-valuetext") != before, f"there is no step {step}"


def sample(page):
    return page.locator("#sample .play-text").inner_text()


def write(page, prompt, seed):
    page.locator("#snapshot-seed input").fill(str(seed))
    field = page.locator("#snapshot-prompt").locator("input, textarea")
    field.fill(prompt)
    field.press("Enter")


def text_of(app, model, prompt, seed):
    client = ApiClient(app)
    return client.predict(prompt, model, 300, seed=seed, api_name="/generate")


@pytest.mark.slow
def test_every_step_of_a_run_is_shown_and_writes(browser, snapshot_app, run):
    steps = snapshot_steps(run)
    samples = [json.loads(line) for line in (run / "run.jsonl").read_text().splitlines()]
    samples = {event["step"]: event["text"] for event in samples if event["event"] == "sample"}
    assert set(steps) | {20} == set(samples)
    with visitor(browser, snapshot_app, "?tab=watch&run=kept") as page:
        expect(page.locator("#sample h3")).to_have_text("What it wrote at step 40")
        for step in sorted(samples):
            show(page, step)
            assert "".join(sample(page).split()) == "".join(samples[step].split())
            at, line, width = page.evaluate(THUMB)
            assert at == pytest.approx(step / 40, abs=2 / width + 1e-3) and line == step / 40
        page.locator("#snapshot-step").fill("480")  # snaps to the nearest step
        expect(page.locator("#sample h3")).to_have_text("What it wrote at step 20")
        expect(page.locator("#snapshot-facts")).to_contain_text("validation loss")
        expect(page.locator("#snapshot-open")).to_be_hidden()  # its weights were not kept

        write(page, "KING", 3)
        for step in (steps[-1], steps[0], steps[2]):
            show(page, step)
            expect(page.locator("#sample .play-text")).to_be_visible(timeout=60_000)
            wanted = text_of(snapshot_app, f"kept#{step}", "KING", 3)
            assert "".join(sample(page).split()) == "".join(wanted.split())
        expect(page.locator("#sample h3")).to_contain_text("from your beginning, seed 3")
        wanted = {"tab": "watch", "run": "kept", "step": str(steps[2])}
        wanted |= {"snapshot_prompt": "KING", "snapshot_seed": "3"}
        page.wait_for_url(lambda url: dict(parse_qsl(urlsplit(url).query)) == wanted)
        address = page.url
        shown, link = sample(page), page.locator("#snapshot-open").get_attribute("href")
    with visitor(browser, snapshot_app, "?" + urlsplit(address).query, **PHONE) as page:
        expect(page.locator("#sample h3")).to_contain_text(f"Written at step {steps[2]}")
        expect(page.locator("#sample .play-text")).to_be_visible(timeout=60_000)
        assert "".join(sample(page).split()) == "".join(shown.split())
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.locator("#snapshot-play").click()
        expect(page.locator("#snapshot-play")).to_contain_text("Pause")
        expect(page.locator("#sample h3")).to_contain_text("at step 40", timeout=60_000)
        expect(page.locator("#snapshot-play")).to_contain_text("Play")
        page.get_by_role("button", name="Show the run’s own samples").click()
        expect(page.locator("#sample h3")).to_have_text("What it wrote at step 40")
        page.wait_for_url(lambda url: "snapshot_prompt" not in url)
    with visitor(browser, snapshot_app, link) as page:
        expect(page.locator("#text .play-text")).to_contain_text("KING", timeout=60_000)
        expect(page.locator("#text .generating")).to_have_count(0)
        written = page.locator("#text .play-text").inner_text()
        assert "".join(written.split()) == "".join(shown.split())
        chosen = page.locator("#model input:checked")
        assert chosen.get_attribute("value") == f"kept#{steps[2]}"


def test_bad_addresses_are_named(browser, snapshot_app):
    query = "?tab=watch&run=kept&step=x&snapshot_seed=-1&snapshot_prompt=" + "a" * 300
    with visitor(browser, snapshot_app, query) as page:
        notice = page.locator("#address-notice")
        for name in ("step", "snapshot_seed", "snapshot_prompt"):
            expect(notice).to_contain_text(name)
        expect(page.locator("#sample h3")).to_have_text("What it wrote at step 40")


def test_the_endpoint_lists_what_the_models_take(snapshot_app, run):
    client = ApiClient(snapshot_app)
    listed = client.predict("kept", api_name="/snapshots")
    assert [each["step"] for each in listed] == list(snapshot_steps(run))
    assert [each["estimated"] for each in listed] == [False, *[True] * 3, False]
    assert all(each["val_loss"] > 0 for each in listed)
    scores = [
        client.predict("KING", f"kept#{each['step']}", api_name="/score")["bits_per_char"]
        for each in listed
    ]
    assert len(set(scores)) == len(scores)
