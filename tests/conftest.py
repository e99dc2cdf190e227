"""Fixtures that many tests share: a small text, small models, a small trained run, an app."""

import asyncio
import hashlib
import os
import shutil
import signal
from pathlib import Path

import pytest
from hypothesis import settings

# two threads that wait for each other at every tiny product are a hundred times slower than one
# on a busy machine; set before torch is imported, and inherited by what the tests start
os.environ.setdefault("OMP_NUM_THREADS", "1")
# torch.compile then believes the processor's flags, instead of compiling a program to try them
os.environ.setdefault("TORCHINDUCTOR_VEC_ISA_OK", "1")
# and its kernels in this process, instead of starting others that load torch to wait for g++
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")

import torch
from browser import CHROMIUM, CHROMIUM_FLAGS
from loopback_hub import running_hub
from playwright.sync_api import sync_playwright
from programs import App, CommandLine, InThisProcess
from small_models import SMALL_FLAGS, describe, make_model, make_text

from charlm.data.corpus import SHA256, read_corpus
from charlm.data.tokenizer import CharTokenizer
from charlm.generation import warm_up
from charlm.hub.push import export_model
from charlm.runs.directory import create_run_directory
from charlm.training.precision import choose_precision

# the difference that rounding may make between two ways to compute a loss in the same precision;
# bfloat16 has eight significant bits
TOLERANCES = {"fp32": 1e-4, "bf16": 2**-8}

settings.register_profile("patient", deadline=None)  # a busy machine must not fail a test
settings.load_profile("patient")


def pytest_addoption(parser):
    parser.addoption(
        "--precision",
        choices=["fp32", "bf16"],
        help="train in this precision where a test leaves the choice to the hardware",
    )


def pytest_configure(config):
    if precision := config.getoption("--precision"):
        os.environ["CHARLM_PRECISION"] = precision  # for this process and those that tests start


@pytest.fixture(scope="session")
def tolerance():
    """The difference that rounding may make in the precision that training uses on this machine."""
    return TOLERANCES[choose_precision("auto", torch.device("cpu"))]


# these files run first, in this order: a long one at the end would keep one worker alone busy
LONGEST = """
test_compilation.py test_watch.py test_space.py test_bench.py test_compare.py test_job_queue.py
test_train.py test_page_hub.py test_accessibility.py test_branches.py test_crowd.py test_inside.py
test_distributed.py test_guess.py test_hostile.py test_app.py test_fairness.py test_page.py
test_hostile_hub.py test_next_letter.py test_bundled.py test_rounding.py test_copied.py
test_hub.py test_snapshots.py test_loading.py test_page_parts.py test_letters.py test_resume.py
""".split()
RANKS = {name: rank for rank, name in enumerate(LONGEST)}


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: RANKS.get(item.path.name, len(RANKS)))


@pytest.fixture(scope="session")
def tinyshakespeare():
    """Tiny Shakespeare; skips unless CHARLM_DATA names it."""
    path = os.environ.get("CHARLM_DATA")
    if not path or hashlib.sha256(Path(path).read_bytes()).hexdigest() != SHA256:
        pytest.skip("CHARLM_DATA does not name Tiny Shakespeare")
    return read_corpus(Path(path))


@pytest.fixture(scope="session")
def text_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "small.txt"
    path.write_text(make_text(), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def corpus(text_file):
    return read_corpus(text_file)


@pytest.fixture(scope="session")
def tokenizer(corpus):
    return CharTokenizer.fit(corpus.text)


@pytest.fixture(scope="session", autouse=True)
def short_warm_up():
    """Engines here warm up their drafts as shortly as those of apps, which saves only time."""
    warm_up.TEXTS, warm_up.CHARS = 8, 25


@pytest.fixture(params=["bigram", "lecture", "today"])
def model(request, tokenizer):
    """Each kind of network, small, with weights moved away from their initial values."""
    return make_model(request.param, tokenizer.vocab_size)


@pytest.fixture
def model_directory(tmp_path, tokenizer):
    """A model directory as train.py makes it, of a model with random weights."""
    description = describe("today", tokenizer.vocab_size)
    directory = tmp_path / "models" / "small"
    directory.parent.mkdir()
    model = make_model("today", tokenizer.vocab_size)
    create_run_directory(directory, description, model, tokenizer)
    return directory


@pytest.fixture
def train(tmp_path):
    return CommandLine(tmp_path)


@pytest.fixture
def here(tmp_path, monkeypatch, capsys):
    handlers = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    yield InThisProcess(tmp_path, monkeypatch, capsys)
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def trained(tmp_path_factory, text_file):
    """The checkpoints folder of a small finished run, `small-gpt`; copy it to change it."""
    train = CommandLine(tmp_path_factory.mktemp("trained"))
    flags = ["--steps", 30, "--eval-interval", 10, "--seed", 7]
    done = train("--name", "small-gpt", "--data", text_file, *SMALL_FLAGS, *flags)
    assert done.returncode == 0, done.stdout + done.stderr
    return train.checkpoints


@pytest.fixture
def trained_copy(trained, tmp_path):
    return Path(shutil.copytree(trained, tmp_path / "checkpoints"))


@pytest.fixture(scope="session")
def chromium():
    """A browser, and the event loop of Playwright, which runs in this thread while it is used."""
    assert CHROMIUM, "these tests need Chromium; tests/run.sh installs it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        loop = asyncio.get_running_loop()
        asyncio._set_running_loop(None)
        yield browser, loop
        asyncio._set_running_loop(loop)
        browser.close()


@pytest.fixture(scope="module")
def browser(chromium):
    """The browser; tests of other files can call asyncio.run, which a running loop prevents."""
    browser, loop = chromium
    asyncio._set_running_loop(loop)
    yield browser
    asyncio._set_running_loop(None)


@pytest.fixture(scope="session")
def app(tmp_path_factory, trained):
    app = App(tmp_path_factory.mktemp("app"), trained)
    yield app
    app.stop()


@pytest.fixture(scope="session")
def shared_hub():
    with running_hub() as hub:
        yield hub


@pytest.fixture
def hub(shared_hub):
    yield shared_hub
    shared_hub.clear()


@pytest.fixture(scope="session")
def pushed(trained, tmp_path_factory):
    """The files of a Hub repository with a small model."""
    folder = tmp_path_factory.mktemp("pushed")
    export_model(trained / "small-gpt", folder, "ann/small-gpt")
    return {path.name: path.read_bytes() for path in folder.iterdir()}
