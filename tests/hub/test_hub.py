"""Pushing to a Hub and pulling from it: the real client, and a Hub on the loopback."""

import json
import shutil
import subprocess
import sys
import textwrap
import time

import pytest
import safetensors.torch
from programs import REPOSITORY
from small_models import SMALL_FLAGS

FILES = {
    *("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"),
    *("run.jsonl", "README.md", ".gitattributes"),
}
TOKEN = "hf_writer"
ABSENT = {"HF_ENDPOINT": "http://127.0.0.1:9"}


@pytest.fixture
def train_on_hub(train, hub, tmp_path):
    """train.py with the Hub's variables; returns (status, what it printed)."""

    def run(*args, token=TOKEN, **variables):
        env = hub.env(tmp_path / "home", token) | variables
        done = train(*args, env=env)
        told = done.stdout + done.stderr
        assert "hf_" not in told.replace("hf auth login", "")  # no token is ever told
        assert "Traceback" not in told
        return done.returncode, told

    return run


@pytest.fixture
def finished(trained, train):
    """A finished run in the place where `train` looks for it."""
    shutil.copytree(trained, train.checkpoints)
    return train.checkpoints / "small-gpt"


@pytest.fixture
def python(hub, tmp_path):
    """A script with charlm and the Hub's variables; returns what it printed as JSON."""

    def run(script, *args, token=TOKEN, home="elsewhere", **variables):
        env = hub.env(tmp_path / home, token) | {"PYTHONPATH": str(REPOSITORY)} | variables
        command = [sys.executable, "-c", "import json, charlm\n" + textwrap.dedent(script), *args]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


WRITE = """
    model, tokenizer = charlm.load("ann/small-gpt")
    print(json.dumps(charlm.generate(model, tokenizer, "KING", 40, seed=3)))
"""
REFUSED = """
    import sys
    from charlm.config import CharlmError
    told = []
    for name in sys.argv[1:]:
        try:
            charlm.load(name)
        except CharlmError as error:
            told.append(str(error))
    print(json.dumps(told))
"""


def push_flags(name="small-gpt", *more):
    return ["--name", name, "--resume", "--push", *more]


def test_a_finished_run_is_pushed_without_training(finished, train_on_hub, hub, python):
    log = (finished / "run.jsonl").read_bytes()
    status, told = train_on_hub(*push_flags())
    assert (status, f"pushed to {hub.url}/ann/small-gpt" in told) == (0, True)
    assert (finished / "run.jsonl").read_bytes() == log
    files = hub.files("ann/small-gpt")
    assert files.keys() == FILES
    assert files["run.jsonl"] == log
    repo = hub.repo("ann/small-gpt")
    assert len(repo.commits) == 2  # the one that made it, and ours
    assert not repo.private
    assert "validation loss" in files["README.md"].decode()
    local = f'model, tokenizer = charlm.load("{finished}")\n'
    local += 'print(json.dumps(charlm.generate(model, tokenizer, "KING", 40, seed=3)))'
    assert python(WRITE) == python(local)


def test_a_run_is_pushed_when_it_is_over(train_on_hub, text_file, hub):
    flags = [*SMALL_FLAGS, "--steps", 4, "--data", text_file]
    status, told = train_on_hub("--name", "x", "--push", "ann/mine", "--private", *flags)
    assert (status, f"pushed to {hub.url}/ann/mine" in told) == (0, True)
    assert hub.repo("ann/mine").private


def test_a_run_is_pushed_while_it_goes_on(train_on_hub, text_file, hub):
    flags = [*SMALL_FLAGS, "--steps", 600, "--eval-interval", 100, "--data", text_file]
    status, _ = train_on_hub("--name", "live", "--push", "--push-every", 2, *flags)
    assert status == 0
    messages = [commit.message for commit in hub.repo("ann/live").commits]
    assert any(message.startswith("Step ") for message in messages)
    assert messages[-1] == "Push live"


def test_a_name_that_no_repository_can_have(train_on_hub):
    status, told = train_on_hub("--push", "a b/c")
    assert (status, "cannot be a repository's name" in told) == (2, True)


def test_nobody_is_logged_in(train_on_hub, text_file, train):
    status, told = train_on_hub("--push", "--data", text_file, token=None)
    assert (status, "hf auth login" in told) == (2, True)
    assert not train.checkpoints.exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--private"], "give that, too"),
        (["--push", "--push-every", "-1"], "0 or more"),
    ],
)
def test_flags_that_do_not_fit(here, flags, message):
    status, told = here(*flags)
    assert (status, message in told) == (2, True)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (("POST /api/repos/create", 403), "needs write access"),
        (("whoami", 401), "token is not valid"),
        (("commit", 500), "the Hub answered 500"),
        (("commit", 429), "asked too often"),
    ],
)
def test_a_push_that_fails_is_told_and_keeps_the_model(finished, train_on_hub, hub, fault, message):
    before = {path.name: path.read_bytes() for path in finished.iterdir() if path.is_file()}
    hub.fail(*fault, times=None)
    status, told = train_on_hub(*push_flags())
    assert (status, message in told) == (1, True), told
    assert {path.name: path.read_bytes() for path in finished.iterdir() if path.is_file()} == before


def test_training_outlives_a_hub_that_does_not_answer(train_on_hub, text_file, train):
    flags = [*SMALL_FLAGS, "--steps", 40, "--eval-interval", 10, "--data", text_file]
    status, told = train_on_hub("--name", "x", "--push", "--push-every", 1, *flags, **ABSENT)
    assert status == 0
    assert "warning: cannot push" in told
    assert "--resume --name x --push" in told
    assert (train.checkpoints / "x" / "model.safetensors").exists()


def test_pulling_what_is_there_what_was_there_and_what_is_not(hub, pushed, python):
    hub.add("ann/small-gpt", pushed)
    written = python(WRITE)
    assert python(WRITE, **ABSENT) == written  # from the cache
    began = time.monotonic()
    (told,) = python(REFUSED, "ann/small-gpt", home="fresh", **ABSENT)
    assert "cannot be reached" in told
    assert time.monotonic() - began < 20
    first = hub.repo("ann/small-gpt").commits[-1].sha
    hub.add("ann/small-gpt", {"model.safetensors": b"half"})
    hub.requests.clear()
    assert python(WRITE.replace('gpt")', f'gpt", revision="{first}")')) == written
    assert not hub.requests  # what is kept of an exact commit is all there is to know
    no_weights = pushed | {"model.safetensors": None}
    hub.add("ann/none", no_weights)
    hub.add("ann/pickled", no_weights | {"pytorch_model.bin": b"x"})
    half, none, pickled = python(REFUSED, "ann/small-gpt", "ann/none", "ann/pickled")
    assert "damaged or not safetensors" in half
    assert "has no model.safetensors" in none
    assert "pickled weights only" in pickled


@pytest.mark.parametrize(
    ("token", "messages"),
    [
        (None, ["or it is private", "gated: ask for access"]),
        ("hf_other", ["or it is private", "gated: ask for access"]),
        ("hf_nobody", ["token is not valid", "token is not valid"]),
    ],
)
def test_doors_that_are_shut(hub, pushed, python, token, messages):
    hub.add("ann/secret", pushed, private=True)
    hub.add("ann/gated", pushed, gated=True)
    told = python(REFUSED, "ann/secret", "ann/gated", token=token)
    for message, answer in zip(messages, told, strict=True):
        assert message in answer


def test_a_download_that_breaks_off(hub, pushed, python):
    hub.add("ann/small-gpt", pushed)
    hub.cut("model.safetensors", 100, times=1, reset=True)
    (told,) = python(REFUSED, "ann/small-gpt")
    assert "cannot fetch ann/small-gpt whole" in told
    assert len(python(WRITE)) > 40


MIXIN = """
    import torch
    model, tokenizer = charlm.load("ann/small-gpt")
    model.push_to_hub("ann/net")
    again = charlm.GPT.from_pretrained("ann/net")
    ids = torch.tensor([tokenizer.encode("the king")])
    same = torch.allclose(model(ids), again(ids), atol=1e-5)
    refused = []
    for repo in ("ann/half", "ann/none"):
        try:
            charlm.GPT.from_pretrained(repo)
        except Exception as error:
            refused.append(f"{type(error).__name__}: {error}")
    print(json.dumps([same, again.training, refused]))
"""


def test_the_model_class_pushes_and_loads_strictly(hub, pushed, python):
    hub.add("ann/small-gpt", pushed)
    tensors = safetensors.torch.load(pushed["model.safetensors"])
    tensors.pop("lm_head.weight")
    hub.add("ann/half", pushed | {"model.safetensors": safetensors.torch.save(tensors)})
    same, training, refused = python(MIXIN)
    assert (same, training) == (True, False)
    assert hub.files("ann/net").keys() >= {"config.json", "model.safetensors"}
    assert "lm_head.weight" in refused[0]
    assert "ann/none" in refused[1]
