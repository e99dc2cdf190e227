"""Snapshots wherever a model is named: `run#step`."""

import asyncio
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from small_models import make_model

from charlm.config import SampleConfig
from charlm.errors import CharlmError
from charlm.hub.follow import Follower, HubFollowers
from charlm.hub.pull import PulledModel
from charlm.models.snapshots import save_snapshot, snapshot_steps
from charlm.runs.history import History
from charlm.runs.log import RunLog
from charlm.serving.copied import TrainingTexts
from charlm.serving.generate import TextRequest, generate
from charlm.serving.inspection import ablations, attention_of, next_alternatives, score_text
from charlm.serving.library import Library
from charlm.serving.limits import Limits
from charlm.serving.owners import Visitor
from charlm.serving.snapshots import snapshots_of
from charlm.training.events import Snapshot

SENTENCE = "small has no snapshot of step {}; it has: 0, 5"
MALFORMED = ["", "x", "-1", "05", "5.0", " 5", "5 ", "1e1", "٥", "9" * 30, "../5", "None"]


def add_snapshots(directory, tokenizer, *steps):
    for step in steps:
        model = make_model("today", tokenizer.vocab_size)
        with torch.no_grad():
            for p in model.parameters():
                p.mul_(1 + (step + 1) / 10)
        save_snapshot(directory, model, step)


@pytest.fixture
def library(model_directory, tokenizer):
    add_snapshots(model_directory, tokenizer, 0, 5)
    return Library(model_directory.parent, HubFollowers(), Limits())


def text_of(library, model):
    async def last():
        config = SampleConfig(20, seed=1)
        return [p async for p in generate(library, TextRequest("KING", model, config))][-1]

    return asyncio.run(last()).text


def alternatives_of(library, text, model):
    return asyncio.run(next_alternatives(library, text, model, SampleConfig(1), None))


USES = {
    "generate": lambda library, model: text_of(library, model),
    "score": lambda library, model: score_text(library, "KING", model),
    "attention": lambda library, model: attention_of(library, "KING", model),
    "ablation": lambda library, model: ablations(library, "KING", model),
    "alternatives": lambda library, model: alternatives_of(library, "KING", model),
    "summary": lambda library, model: library.summary(model).kind and library.revision(model),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_every_use_of_a_model_takes_a_snapshot(library, use):
    answers = [use(library, model) for model in ("small", "small#0", "small#5")]
    assert all(a != b for i, a in enumerate(answers) for b in answers[:i])
    assert use(library, "small#5") == answers[2]
    for step in ("7", *MALFORMED):
        with pytest.raises(CharlmError) as error:
            use(library, f"small#{step}")
        assert str(error.value).startswith("small has no snapshot of step ")
        assert str(error.value).endswith("; it has: 0, 5") and "\n" not in str(error.value)
    with pytest.raises(CharlmError, match="there is no model 'nobody#5'; there is: small"):
        use(library, "nobody#5")


def test_a_text_is_compared_with_the_training_text_of_a_snapshots_run(trained_copy, tokenizer):
    run = trained_copy / "small-gpt"
    add_snapshots(run, tokenizer, 0, 5)
    texts = TrainingTexts(Library(trained_copy, HubFollowers(), Limits()))
    found = texts.compare("the king", "small-gpt", Visitor("1.2.3.4"))
    assert found["lengths"] == [8] * 8
    for step in (0, 5):
        assert texts.is_indexed(f"small-gpt#{step}", Visitor("1.2.3.4"))
        assert texts.compare("the king", f"small-gpt#{step}", Visitor("1.2.3.4")) == found
    for step in ("7", *MALFORMED):
        with pytest.raises(CharlmError, match=r"^small-gpt has no snapshot of step .*: 0, 5$"):
            texts.compare("the king", f"small-gpt#{step}", Visitor("1.2.3.4"))


def test_a_run_without_snapshots_says_so(library, model_directory):
    shutil.rmtree(model_directory / "snapshots")
    assert library.snapshots("small") == ()
    with pytest.raises(CharlmError, match="small has no snapshot of step 5; it has none"):
        library.get("small#5")


def test_a_chosen_snapshot_is_listed_behind_its_run(library):
    assert library.names() == ["small"]
    assert library.names("small#5") == ["small", "small#5"]
    assert library.names("small#7") == library.names("x#5") == ["small"]


def test_the_page_can_start_with_a_snapshot(library, model_directory, tmp_path):
    directory = model_directory.parent
    started = Library(directory, HubFollowers(), Limits(), start=f"{model_directory}#5")
    assert started.default() == "small#5"
    assert started.notices() == []
    missing = Library(directory, HubFollowers(), Limits(), start=f"{model_directory}#7")
    assert missing.default() == "small"
    assert missing.notices() == [SENTENCE.format(7)]


def test_snapshots_count_against_the_memory_of_models(model_directory, tokenizer):
    add_snapshots(model_directory, tokenizer, *range(6))
    library = Library(model_directory.parent, HubFollowers(), Limits(max_memory=1))
    library._megabytes = lambda: 0.4 * len(library._loaded)
    for step in range(6):
        library.get(f"small#{step}")
    assert list(library._loaded) == ["small#4", "small#5"]


def test_a_snapshot_that_is_written_again_is_loaded_again(library, model_directory, tokenizer):
    before = next(library.get("small#5")[0].parameters()).clone()
    model = make_model("today", tokenizer.vocab_size)
    save_snapshot(model_directory, model, 5)
    assert not torch.equal(before, next(library.get("small#5")[0].parameters()))


def test_the_losses_of_snapshots_are_listed(trained_copy):
    run = trained_copy / "small-gpt"
    for step in (0, 7, 20, 29):
        (run / "snapshots").mkdir(exist_ok=True)
        (run / "snapshots" / f"{step}.safetensors").write_bytes(b"")
    with RunLog(run) as log:
        log.append(Snapshot(7, 1.0, 2.5))
        log.append(Snapshot(20, 1.0, 2.4))
        log.append(Snapshot(25, 1.0, 2.3, message="no more snapshots are kept"))
    library = Library(trained_copy, HubFollowers(), Limits())
    evals = {step: val for step, _, val in History(run).update().evals}
    assert snapshots_of(library, "small-gpt") == [
        {"step": 0, "val_loss": evals[0], "estimated": False},
        {"step": 7, "val_loss": 2.5, "estimated": True},
        {"step": 20, "val_loss": evals[20], "estimated": False},
        {"step": 29, "val_loss": None, "estimated": True},
    ]
    with pytest.raises(CharlmError, match="there is no model 'nobody'"):
        snapshots_of(library, "nobody")
    with pytest.raises(CharlmError, match="without the step of a snapshot"):
        snapshots_of(library, "small-gpt#7")


def test_the_losses_are_those_of_the_model_to_start_with(trained_copy, tmp_path):
    """A run elsewhere may have the name of another run here."""
    run = trained_copy / "small-gpt"
    (run / "snapshots").mkdir()
    (run / "snapshots" / "20.safetensors").write_bytes(b"")
    elsewhere = Library(tmp_path / "none", HubFollowers(), Limits(), start=run)
    [listed] = snapshots_of(elsewhere, "small-gpt")
    assert (listed["step"], listed["estimated"]) == (20, False) and listed["val_loss"] > 0


def test_a_slow_hub_keeps_nobody_waiting(model_directory, tokenizer, monkeypatch):
    followers, waiting, go_on = HubFollowers(), threading.Event(), threading.Event()
    follower = Follower("ann/small", False, True, lambda follower: follower.pulled, None)
    follower.pulled = PulledModel(model_directory, "ann/small", "0" * 40, snapshots=(5,))
    followers._followers["ann/small"] = follower
    library = Library(model_directory.parent, followers, Limits())

    def download(*args, **options):
        waiting.set()
        assert go_on.wait(60)
        add_snapshots(model_directory, tokenizer, 5)

    monkeypatch.setattr("charlm.hub.snapshots.hf_hub_download", download)
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(library.get, "ann/small#5")
        assert waiting.wait(60)
        assert library._lock.acquire(timeout=10), "others wait for the download"
        library._lock.release()
        assert followers._downloading == ["ann/small"]
        go_on.set()
        loading.result(60)
    assert followers._downloading == []


def test_the_snapshots_of_a_followed_run_are_those_of_its_commit(model_directory, tokenizer):
    add_snapshots(model_directory, tokenizer, 0, 5)
    followers = HubFollowers()
    follower = Follower("ann/small", False, True, lambda follower: follower.pulled, None)
    steps = snapshot_steps(model_directory)
    follower.pulled = PulledModel(model_directory, "ann/small", "0" * 40, snapshots=steps)
    followers._followers["ann/small"] = follower
    library = Library(model_directory.parent / "none", followers, Limits())
    assert library.snapshots("ann/small") == (0, 5)
    assert text_of(library, "ann/small#5") != text_of(library, "ann/small")
    assert library.revision("ann/small#5") == "0" * 40
