"""What many tests share: a small text made on the spot, small models, a small trained run."""

import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from hypothesis import settings
from loopback_hub import running_hub
from playwright.sync_api import expect, sync_playwright

from charlm.runs import resume

# the difference that rounding may make between two ways to compute a loss in the same precision;
# bfloat16 has eight significant bits
TOLERANCES = {"fp32": 1e-4, "bf16": 2**-8}

# two threads that wait for each other at every tiny product are a hundred times slower than one
# on a busy machine; set before torch is imported, and inherited by what the tests start
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

import train as train_script
from charlm.config import BigramConfig, GPTConfig, TrainConfig
from charlm.data.corpus import SHA256, read_corpus
from charlm.data.tokenizer import CharTokenizer
from charlm.hub.push import stage
from charlm.models import checkpoint
from charlm.training.trainer import choose_precision

settings.register_profile("patient", deadline=None)  # a busy machine is no fault
settings.load_profile("patient")
expect.set_options(timeout=20_000)
REPOSITORY = Path(__file__).parent.parent
WORDS = [
    "the",
    "king",
    "of",
    "all",
    "our",
    "sorrow",
    "hath",
    "no",
    "crown",
    "but",
    "love",
    "and",
    "war",
    "my",
    "lord",
]

LECTURE = {
    "position": "learned",
    "norm": "layernorm",
    "qk_norm": False,
    "activation": "relu",
    "bias": True,
    "embd_norm": False,
    "zero_init": False,
}
SMALL = {"block_size": 16, "n_layer": 2, "n_head": 2, "n_embd": 16}
# what makes a run of train.py take seconds
SMALL_FLAGS = "--n-layer 2 --attention-every 2 --n-head 2 --n-embd 16 --block-size 16"
SMALL_FLAGS += " --batch-size 4 --eval-iters 2 --sample-chars 20 --compile off"
SMALL_FLAGS = SMALL_FLAGS.split()


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


# begun first: one at the end would keep all waiting
LONGEST = ("test_jobs.py", "test_watch.py", "test_space.py")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.name not in LONGEST)


def make_text(lines=120, seed=1):
    rng = random.Random(seed)
    speeches = []
    for _ in range(lines):
        words = " ".join(rng.choice(WORDS) for _ in range(7))
        speeches.append(f"{rng.choice(['KING', 'Queen'])}:\n{words.capitalize()}.\n")
    # characters that mean something to HTML and to templates, for the page to mind
    return "\n".join(speeches) + "\nthe <b>king</b> & {{all}} ${value} = (love);\n"


@pytest.fixture(scope="session")
def tinyshakespeare():
    """The corpus itself; skips where CHARLM_DATA does not name it."""
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


@pytest.fixture(params=["bigram", "lecture", "today"])
def model(request, tokenizer):
    """Each kind of network, small, with weights that are not those of the start."""
    return make_model(request.param, tokenizer.vocab_size)


def make_model(name, vocab_size, **changes):
    description = describe(name, vocab_size, **changes)
    model = description.build()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn(p.shape, generator=generator) * 0.3)
    return model.eval()


def describe(name, vocab_size, **changes):
    if name == "bigram":
        config, kind = BigramConfig(vocab_size, 16), "bigram"
    else:
        shape = SMALL | (LECTURE if name == "lecture" else {}) | changes
        config, kind = GPTConfig(vocab_size=vocab_size, **shape), "gpt"
    data = {"name": "small.txt", "sha256": "0" * 64}
    return checkpoint.Description(kind, config, small_training(), data)


def small_training(**changes):
    options = {"steps": 12, "batch_size": 4, "eval_interval": 4, "eval_iters": 2, "log_interval": 2}
    return TrainConfig(**(options | {"compile": "off"} | changes))


@pytest.fixture
def model_directory(tmp_path, tokenizer):
    """A model directory as train.py makes it, of a model with random weights."""
    description = describe("today", tokenizer.vocab_size)
    directory = tmp_path / "models" / "small"
    directory.parent.mkdir()
    resume.create(directory, description, make_model("today", tokenizer.vocab_size), tokenizer)
    return directory


class CommandLine:
    """train.py in a folder of its own: what it writes goes to checkpoints/ there."""

    def __init__(self, folder):
        self.folder = folder
        self.checkpoints = folder / "checkpoints"
        (folder / "train.py").symlink_to(REPOSITORY / "train.py")

    def command(self, *args):
        return [sys.executable, str(self.folder / "train.py"), *map(str, args)]

    def __call__(self, *args, **options):
        options = {"capture_output": True, "text": True, "timeout": 120} | options
        return subprocess.run(self.command(*args), check=False, **options)

    def start(self, *args):
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen(self.command(*args), **pipes)


@pytest.fixture
def train(tmp_path):
    return CommandLine(tmp_path)


class InThisProcess:
    """train.py called rather than started, which is quicker where that makes no difference."""

    def __init__(self, folder, monkeypatch, capsys):
        self.folder, self.checkpoints = folder, folder / "checkpoints"
        self.monkeypatch, self.capsys = monkeypatch, capsys
        monkeypatch.setattr(train_script.home, "checkpoints", lambda checkout: self.checkpoints)

    def __call__(self, *args):
        self.monkeypatch.setattr("sys.argv", ["train.py", *map(str, args)])
        try:
            status = train_script.main()
        except SystemExit as left:
            status = left.code
        told = self.capsys.readouterr()
        return status, told.out + told.err


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


class App:
    """app.py, served from a folder of its own with the model directories given."""

    def __init__(self, folder, checkpoints, **variables):
        for script in ("app.py", "train.py"):
            (folder / script).symlink_to(REPOSITORY / script)
        (folder / "checkpoints").symlink_to(checkpoints)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url, self.log, self.calls = (
            f"http://127.0.0.1:{port}/",
            folder / "log",
            folder / "calls",
        )
        (folder / "sitecustomize.py").write_text(WATCH_THE_NETWORK)
        env = os.environ | {"GRADIO_SERVER_PORT": str(port), "PYTHONPATH": str(folder)}
        self.env = env | {"NETWORK_CALLS": str(self.calls)} | variables
        self.command = [sys.executable, str(folder / "app.py")]
        self.start()

    def start(self):
        with self.log.open("a") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, env=self.env)
        self.wait_until_it_serves()

    def wait_until_it_serves(self, seconds=90):
        for _ in range(seconds * 5):
            assert self.process.poll() is None, self.log.read_text()
            try:
                with urllib.request.urlopen(self.url, timeout=5):
                    return
            except OSError:
                time.sleep(0.2)
        raise AssertionError(f"nothing is served: {self.log.read_text()}")

    def calls_to_elsewhere(self):
        """Names looked up and addresses connected to that are not this machine's."""
        lines = self.calls.read_text().splitlines() if self.calls.exists() else []
        here = ("127.0.0.1", "localhost", "::1", "0.0.0.0", "")
        return [call for call in map(json.loads, lines) if call["host"] not in here]

    def stop(self):
        self.process.terminate()
        self.process.wait(30)


WATCH_THE_NETWORK = """
import json, os, sys
def watch(event, args):
    if event in ("socket.getaddrinfo", "socket.connect"):
        host = args[0] if event == "socket.getaddrinfo" else args[1]
        host = host[0] if isinstance(host, tuple) else host
        host = host.decode() if isinstance(host, bytes) else str(host or "")
        if not host.startswith("/"):
            with open(os.environ["NETWORK_CALLS"], "a") as file:
                file.write(json.dumps({"event": event, "host": host}) + "\\n")
sys.addaudithook(watch)
"""


NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
QUIET = ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
QUIET += ["--no-first-run", "--disable-gpu"]
if hasattr(os, "geteuid") and os.geteuid() == 0:
    QUIET += ["--no-sandbox"]  # which Chromium asks of the system's administrator


@pytest.fixture(scope="module")
def browser():
    assert CHROMIUM, "these tests need Chromium; tests/run.sh installs it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@contextlib.contextmanager
def visitor(browser, app, at="", elsewhere=(), **options):
    """A fresh visitor's page, on which no script may fail and nothing come from elsewhere.

    `elsewhere`: what the addresses begin with that may be asked all the same.
    """
    context = browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | options))
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page, asked, errors = context.new_page(), set(), []
    page.on("request", lambda r: asked.add(r.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(app.url + at)
    yield page
    context.close()
    assert {
        url for url in asked if not is_here(url, app) and not url.startswith(elsewhere)
    } == set()
    assert errors == []


def paste(field, text):
    """Have a text field hold a text, at once: Playwright's `fill` takes seconds for a long one."""
    field.page.evaluate("text => navigator.clipboard.writeText(text)", text)
    field.press("Control+A")
    field.press("Control+V")


def is_here(url, app):
    return url.startswith((app.url, app.url.replace("http", "ws"), "data:", "blob:"))


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
    stage(trained / "small-gpt", folder, "ann/small-gpt")
    return {path.name: path.read_bytes() for path in folder.iterdir()}
