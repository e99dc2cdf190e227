"""Pushing and pulling with the real huggingface_hub and the loopback Hub."""

import re
import signal
import subprocess
import time

import preloaded
import pytest
import safetensors.torch
from small_models import SMALL_FLAGS
from waiting import wait_for_line

FILES = {
    *("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"),
    *("run.jsonl", "README.md", ".gitattributes"),
}
TOKEN = "hf_writer"
UNREACHABLE = {"HF_ENDPOINT": "http://127.0.0.1:9"}


GENERATE = """
    model, tokenizer = charlm.load("ann/small-gpt")
    print(json.dumps(charlm.generate(model, tokenizer, "KING", 40, seed=3)))
"""
LOAD_ERRORS = """
    import sys
    from charlm.errors import CharlmError
    messages = []
    for name in sys.argv[1:]:
        try:
            charlm.load(name)
        except CharlmError as error:
            messages.append(str(error))
    print(json.dumps(messages))
"""


def push_flags(name="small-gpt", *more):
    return ["--name", name, "--resume", "--push", *more]


def test_a_finished_run_is_pushed_without_training(finished, train_on_hub, hub, python):
    log = (finished / "run.jsonl").read_bytes()
    status, output = train_on_hub(*push_flags())
    assert (status, f"pushed to {hub.url}/ann/small-gpt" in output) == (0, True)
    assert (finished / "run.jsonl").read_bytes() == log
    files = hub.files("ann/small-gpt")
    assert files.keys() == FILES
    assert files["run.jsonl"] == log
    repo = hub.repo("ann/small-gpt")
    assert len(repo.commits) == 2  # the initial one, and the push
    assert not repo.private
    card = files["README.md"].decode()
    assert "validation loss" in card
    assert 'charlm.load("ann/small-gpt")' in card
    local = f'model, tokenizer = charlm.load("{finished}")\n'
    local += 'print(json.dumps(charlm.generate(model, tokenizer, "KING", 40, seed=3)))'
    assert python(GENERATE) == python(local)


def test_a_run_is_pushed_when_it_is_over(train_on_hub, text_file, hub):
    flags = [*SMALL_FLAGS, "--steps", 4, "--data", text_file]
    status, output = train_on_hub("--name", "x", "--push", "ann/mine", "--private", *flags)
    assert (status, f"pushed to {hub.url}/ann/mine" in output) == (0, True)
    assert hub.repo("ann/mine").private


def test_a_run_is_pushed_while_it_trains(train_on_hub, text_file, hub):
    flags = [*SMALL_FLAGS, "--steps", 600, "--eval-interval", 100, "--data", text_file]
    status, _ = train_on_hub("--name", "live", "--push", "--push-every", 2, *flags)
    assert status == 0
    messages = [commit.message for commit in hub.repo("ann/live").commits]
    assert any(message.startswith("Step ") for message in messages)
    assert messages[-1] == "Push live"


def test_an_invalid_repo_id_is_rejected(train_on_hub):
    status, output = train_on_hub("--push", "a b/c")
    assert (status, "cannot be a repository's name" in output) == (2, True)


def test_without_a_token_training_does_not_start(train_on_hub, text_file, train):
    status, output = train_on_hub("--push", "--data", text_file, token=None)
    assert (status, "hf auth login" in output) == (2, True)
    assert not train.checkpoints.exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--private"], "give that, too"),
        (["--push", "--push-every", "-1"], "0 or more"),
    ],
)
def test_invalid_push_flags_are_rejected(here, flags, message):
    status, output = here(*flags)
    assert (status, message in output) == (2, True)


def waits_in(output):
    """Return the seconds in the lines that announce another attempt."""
    return re.findall(r"warning: cannot push .*; trying again in (\d+) s", output)


WAITS = ["10", "30", "60", "120"]
LATER = "push it later with: python train.py --resume --name small-gpt --push"


@pytest.mark.parametrize(
    ("fault", "message", "waits"),
    [
        (("POST /api/repos/create", 403), "needs write access", []),
        (("whoami", 401), "token is not valid", []),
        (("commit", 500), "the Hub answered 500", WAITS),
        (("commit", 429), "asked too often", WAITS),
    ],
)
def test_a_failed_push_keeps_the_model(finished, train_on_hub, hub, fault, message, waits):
    before = {path.name: path.read_bytes() for path in finished.iterdir() if path.is_file()}
    hub.fail(*fault, times=None)
    status, output = train_on_hub(*push_flags())
    assert (status, message in output) == (1, True), output
    assert waits_in(output) == waits
    assert LATER in output
    assert {path.name: path.read_bytes() for path in finished.iterdir() if path.is_file()} == before


def test_the_last_push_is_retried_until_it_succeeds(finished, train_on_hub, hub):
    hub.fail("commit", 503, times=2)
    status, output = train_on_hub(*push_flags())
    assert (status, waits_in(output)) == (0, WAITS[:2])
    assert f"pushed to {hub.url}/ann/small-gpt" in output
    assert hub.files("ann/small-gpt").keys() == FILES


def test_ctrl_c_ends_the_wait_for_the_next_attempt(finished, train, hub, tmp_path):
    env = hub.env(tmp_path / "home", TOKEN) | UNREACHABLE
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    process = preloaded.Process(train.command(*push_flags()), env=env, **pipes)
    line = wait_for_line(process)
    assert waits_in(line) == ["10"], line
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=9)  # the wait takes 10 s
    assert process.returncode == 1
    assert "interrupted; not pushed" in output
    assert LATER in output


def test_training_survives_an_unreachable_hub_but_the_push_fails(train_on_hub, text_file, train):
    flags = [*SMALL_FLAGS, "--steps", 40, "--eval-interval", 10, "--data", text_file]
    flags += ["--push", "--push-every", 1]
    status, output = train_on_hub("--name", "x", *flags, **UNREACHABLE)
    assert status == 1
    assert "warning: cannot push" in output
    assert waits_in(output)[-4:] == WAITS
    assert "--resume --name x --push" in output
    assert (train.checkpoints / "x" / "model.safetensors").exists()


def test_pulling_from_the_hub_and_from_the_cache(hub, pushed, python):
    hub.add("ann/small-gpt", pushed)
    text = python(GENERATE)
    assert python(GENERATE, **UNREACHABLE) == text  # from the cache
    start = time.monotonic()
    (message,) = python(LOAD_ERRORS, "ann/small-gpt", home="fresh", **UNREACHABLE)
    assert "cannot be reached" in message
    assert time.monotonic() - start < 20
    first = hub.repo("ann/small-gpt").commits[-1].sha
    hub.add("ann/small-gpt", {"model.safetensors": b"half"})
    hub.requests.clear()
    assert python(GENERATE.replace('gpt")', f'gpt", revision="{first}")')) == text
    assert not hub.requests  # a commit never changes, so the cache suffices
    no_weights = pushed | {"model.safetensors": None}
    hub.add("ann/none", no_weights)
    hub.add("ann/pickled", no_weights | {"pytorch_model.bin": b"x"})
    half, none, pickled = python(LOAD_ERRORS, "ann/small-gpt", "ann/none", "ann/pickled")
    assert "damaged or not safetensors" in half
    assert "has no model.safetensors" in none
    assert "pickled weights only" in pickled


@pytest.mark.parametrize(
    ("token", "messages"),
    [
        (None, ["or it is private", "gated: ask for access"]),
        ("hf_other", ["or it is private", "gated: ask for access"]),
        ("hf_nobody", ["token is not valid", "gated: ask for access"]),
    ],
)
def test_private_and_gated_repositories(hub, pushed, python, token, messages):
    hub.add("ann/secret", pushed, private=True)
    hub.add("ann/gated", pushed, gated=True)
    errors = python(LOAD_ERRORS, "ann/secret", "ann/gated", token=token)
    for message, error in zip(messages, errors, strict=True):
        assert message in error


def test_with_an_expired_token_public_models_are_fetched(hub, pushed, python):
    hub.add("ann/small-gpt", pushed)
    text = python(GENERATE)
    assert python(GENERATE, token="hf_nobody", home="expired") == text


PASTED = """
    import os, sys
    texts = []
    for source in sys.argv[1:]:
        model, tokenizer = charlm.load(source.replace("HUB", os.environ["HF_ENDPOINT"]))
        texts.append(charlm.generate(model, tokenizer, "KING", 20, seed=3))
    print(json.dumps(texts))
"""


def test_whatever_names_a_model_on_the_hub_is_accepted(hub, pushed, python):
    hub.add("ann/small-gpt", pushed | {"model.safetensors": b"half"})
    hub.add("ann/small-gpt", pushed)
    repo = hub.repo("ann/small-gpt")
    names = ("refs/pr/1", "feature/x", "v1.0+a")
    repo.refs = dict.fromkeys(names, repo.commits[-1].sha)
    hub.add("ann/small-gpt", {"model.safetensors": b"half"})
    sources = [f"ann/small-gpt@{name}" for name in names]
    addresses = ["HUB", "https://huggingface.co", "huggingface.co", "hf.co"]
    sources += [f"{address}/ann/small-gpt/tree/refs%2Fpr%2F1" for address in addresses]
    sources += ["HUB/ann/small-gpt/resolve/refs/pr/1/model.safetensors?download=true#x"]
    assert len(set(python(PASTED, *sources))) == 1
    hub.add("ann/small-gpt", pushed)
    sources = ["HUB/ann/small-gpt", "HUB/ann/small-gpt/tree/main", " hf.co/ann/small-gpt/ "]
    assert len(set(python(PASTED, *sources))) == 1


def test_a_name_that_is_not_a_model_is_reported_as_such(python, trained, tmp_path):
    (tmp_path / "file.txt").write_text("x")
    names = [f"{trained}/nope", f"{tmp_path}/file.txt", "./nope", "a/b/c", "x" * 5000, "a/b@../c"]
    names += ["a/b@", "https://example.com/a/b", "hf.co/datasets/a/b", "http://[", ""]
    messages = python(LOAD_ERRORS, *names)
    assert messages[0] == f"{trained}/nope is not a model directory; there is: small-gpt"
    assert messages[1] == f"{tmp_path}/file.txt is not a model directory"
    for name, message in zip(names[2:], messages[2:], strict=True):
        assert "is not a model directory" in message or "is no Hub model: give its" in message, name


def test_an_interrupted_download(hub, pushed, python):
    hub.add("ann/small-gpt", pushed)
    hub.cut("model.safetensors", 100, times=1, reset=True)
    (message,) = python(LOAD_ERRORS, "ann/small-gpt")
    assert "cannot fetch ann/small-gpt whole" in message
    assert len(python(GENERATE)) > 40


MIXIN = """
    import torch
    model, tokenizer = charlm.load("ann/small-gpt")
    model.push_to_hub("ann/net")
    again = charlm.GPT.from_pretrained("ann/net")
    ids = torch.tensor([tokenizer.encode("the king")])
    same = torch.allclose(model(ids), again(ids), atol=1e-5)
    errors = []
    for repo in ("ann/half", "ann/none"):
        try:
            charlm.GPT.from_pretrained(repo)
        except Exception as error:
            errors.append(f"{type(error).__name__}: {error}")
    print(json.dumps([same, again.training, errors]))
"""


def test_the_model_class_pushes_and_loads_strictly(hub, pushed, python):
    hub.add("ann/small-gpt", pushed)
    tensors = safetensors.torch.load(pushed["model.safetensors"])
    tensors.pop("lm_head.weight")
    hub.add("ann/half", pushed | {"model.safetensors": safetensors.torch.save(tensors)})
    same, training, errors = python(MIXIN)
    assert (same, training) == (True, False)
    assert hub.files("ann/net").keys() >= {"config.json", "model.safetensors"}
    assert "lm_head.weight" in errors[0]
    assert "ann/none" in errors[1]
