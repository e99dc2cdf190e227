"""The bundled models: complete, small enough, with the losses that they claim."""

import re

import pytest
import torch
import torch.nn.functional as F
from programs import REPOSITORY

import charlm
from charlm.data.batches import windows
from charlm.data.corpus import SHA256
from charlm.models import checkpoint
from charlm.models.snapshots import snapshot_steps
from charlm.runs.history import History
from charlm.runs.log import read_events

# upper bounds of the loss, nats
BUNDLED = {"bigram": 2.52, "gpt": 1.56, "shakespeare": 1.38, "two-minutes": 1.56}
FILES = {"model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"}
FILES |= {"run.jsonl", "README.md"}


@pytest.fixture(scope="module", params=BUNDLED)
def directory(request):
    return REPOSITORY / "checkpoints" / request.param


def test_the_directory_is_complete_and_small(directory):
    assert {p.name for p in directory.iterdir()} >= FILES
    sizes = [path.stat().st_size for path in directory.rglob("*") if path.is_file()]
    assert max(sizes) < 10_000_000 and sum(sizes) <= 20_000_000
    model, tokenizer = charlm.load(directory)
    assert tokenizer.vocab_size == model.config.vocab_size == 65


def test_one_of_them_has_snapshots_of_its_whole_training():
    directory = REPOSITORY / "checkpoints" / "two-minutes"
    steps = snapshot_steps(directory)
    assert len(steps) >= 10
    assert (steps[0], steps[-1]) == (0, checkpoint.load_description(directory).training.steps)
    history = History(directory).update()
    assert [step for step, _ in history.snapshots] == list(steps)
    assert {name for name, _, _ in history.text_milestones()} == {"words", "lines", "speaker"}
    texts = set()
    for step in steps:
        model, tokenizer = charlm.load(f"{directory}#{step}")
        texts.add(charlm.generate(model, tokenizer, "ROMEO:\n", 50, seed=1))
    assert len(texts) == len(steps)


def test_the_log_has_the_whole_run(directory):
    events, _ = read_events(directory)
    description = checkpoint.load_description(directory)
    assert events[0]["event"] == "start"
    assert (events[-1]["event"], events[-1]["reason"]) == ("end", "finished")
    assert events[-1]["step"] == description.training.steps
    assert description.data["sha256"] == SHA256
    losses = [e["val_loss"] for e in events if e["event"] == "eval"]
    assert losses[-1] < BUNDLED[directory.name] < losses[0]
    assert f"its validation loss is {losses[-1]:.4f}" in (directory / "README.md").read_text()


@pytest.mark.slow
@torch.no_grad()
def test_the_weights_have_the_logged_loss(directory, tinyshakespeare):
    model, tokenizer = charlm.load(directory)
    _, ids = tinyshakespeare.split(tokenizer)
    total = 0.0
    for x, y in windows(ids, model.config.block_size, 8):  # more leave the caches
        logits = model(x)
        total += F.cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="sum").item()
    events, _ = read_events(directory)
    logged = [e["val_loss"] for e in events if e["event"] == "eval"][-1]
    assert total / (len(ids) - 1) == pytest.approx(logged, abs=2e-3)


@pytest.mark.slow
def test_most_generated_words_occur_in_the_corpus(tinyshakespeare):
    """At least 85 % of the words with three letters or more do."""
    model, tokenizer = charlm.load(REPOSITORY / "checkpoints" / "shakespeare")
    known = set(words_of(tinyshakespeare.text))
    words = [
        word
        for seed in range(3)
        for word in words_of(charlm.generate(model, tokenizer, "ROMEO:\n", 1000, 0.8, seed=seed))
    ]
    assert len(words) > 200
    fraction = sum(word in known for word in words) / len(words)
    print(f"{fraction:.1%} of {len(words)} words occur in the corpus")
    assert fraction >= 0.85


def words_of(text):
    return re.findall(r"[a-z]{3,}", text.lower())
