"""The training texts of models: where they are found, whose they are, and how many are kept."""

import asyncio
import json
import time

import pytest

from charlm.data import corpus as corpus_module
from charlm.data.corpus import SHA256, DataError
from charlm.errors import CharlmError
from charlm.hub.follow import Follower, HubFollowers
from charlm.hub.pull import PulledModel
from charlm.inspection.copying import TrainingIndex, baseline
from charlm.inspection.copying import copied as copied_from
from charlm.models import checkpoint
from charlm.models.snapshots import save_snapshot
from charlm.serving import copied
from charlm.serving.clients import Client
from charlm.serving.copied import MAX_INDEXES, MissingTextError, TrainingTexts
from charlm.serving.job import Job, save_job, save_text
from charlm.serving.job_store import JobStore
from charlm.serving.library import Library
from charlm.serving.limits import Limits
from charlm.serving.owners import Visitor

STRANGER, OWNER = Visitor("1.2.3.4"), Visitor("5.6.7.8", "a secret of the browser")
PRIVATE = "small-gpt was trained on a text that a visitor gave; only that visitor can compare"


@pytest.fixture
def texts(trained_copy, monkeypatch, tmp_path):
    """The TrainingTexts of a page with the run `small-gpt`, whose text is not in the repository."""
    monkeypatch.delenv("CHARLM_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(corpus_module, "download", fail_to_download)
    library = Library(trained_copy, HubFollowers(), Limits())
    return TrainingTexts(library)


def fail_to_download():
    raise DataError("cannot download Tiny Shakespeare")


def change(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def move_text(texts, path, name="small-gpt"):
    """Make a run remember another path of its text."""
    change(texts.library.directory / name / "resume" / "state.json", data_path=path and str(path))


def give_text(texts, corpus):
    """Make `small-gpt` a run that OWNER started on the page, with a text of their own."""
    folder = JobStore(texts.library.directory).folder / "small-gpt"
    move_text(texts, save_text(folder, "small-gpt.txt", corpus.text.encode()))
    save_job(folder, Job("small-gpt", [], True, 30, time.time(), owner=OWNER.owner))


def copy_model(texts, directory, **data):
    """Make a model directory without a run, which claims a text as its own."""
    source, target = (texts.library.directory / n for n in ("small-gpt", directory))
    target.mkdir()
    for file in ("config.json", "model.safetensors", "tokenizer.json"):
        (target / file).write_bytes((source / file).read_bytes())
    config = target / "config.json"
    change(config, data=json.loads(config.read_text())["data"] | data)


def test_a_text_is_compared_with_the_first_nine_tenths_of_the_runs_text(texts, corpus):
    n = int(0.9 * len(corpus.text))
    text = corpus.text[100:180] + "😀" + corpus.text[-60:]
    assert not texts.is_indexed("small-gpt", STRANGER)
    found = texts.compare(text, "small-gpt", STRANGER)
    index = TrainingIndex(corpus.text[:n])
    expected = copied_from(index, text, baseline(index, corpus.text[n:]))
    assert found == expected | {"corpus": "small.txt"}
    assert found["lengths"][:81] == [80] * 80 + [0]
    assert found["spans"][0]["offset"] == 100
    assert texts.is_indexed("small-gpt", STRANGER)


@pytest.mark.parametrize("name", ["nobody", "", "../small-gpt", "small-gpt/", None])
def test_an_unknown_model_is_refused(texts, name):
    with pytest.raises(CharlmError, match="there is no model"):
        texts.compare("the king", name, STRANGER)


def test_a_missing_text_is_an_error_that_says_what_to_do(texts, text_file, monkeypatch):
    for path in (None, "/nowhere/small.txt"):
        move_text(texts, path)
        with pytest.raises(MissingTextError) as error:
            texts.compare("the king", "small-gpt", STRANGER)
        assert str(error.value) == (
            "the text that small-gpt was trained on, small.txt, is not on this machine; start the"
            " page with CHARLM_DATA=FILE"
        )
        assert not error.value.can_fetch
    monkeypatch.setenv("CHARLM_DATA", str(text_file))
    assert texts.compare("the king", "small-gpt", STRANGER)["corpus"] == "small.txt"


def test_another_text_at_the_place_is_not_used(texts, text_file, tmp_path):
    other = tmp_path / "other.txt"
    other.write_text(text_file.read_text() + "the end\n")
    move_text(texts, other)
    with pytest.raises(MissingTextError):
        texts.compare("the king", "small-gpt", STRANGER)


def test_a_visitors_own_text_is_compared_for_this_visitor_only(
    texts, corpus, text_file, monkeypatch
):
    give_text(texts, corpus)
    for _ in range(2):  # also when the text is indexed
        with pytest.raises(CharlmError, match=PRIVATE):
            texts.compare("the king", "small-gpt", STRANGER)
        with pytest.raises(CharlmError, match=PRIVATE):
            texts.compare("the king", "small-gpt", Visitor(OWNER.address, "another browser here"))
        assert not texts.is_indexed("small-gpt", STRANGER)
        assert texts.compare("the king", "small-gpt", OWNER)["lengths"] == [8] * 8
    # a model that claims the same text, whose hash all can read in the run's log
    copy_model(texts, "claims")
    for by in (STRANGER, OWNER):
        with pytest.raises(MissingTextError):
            texts.compare("the king", "claims", by)
    monkeypatch.setenv("CHARLM_DATA", str(text_file))  # whoever runs the page gave it the text
    assert texts.compare("the king", "small-gpt", STRANGER)["lengths"] == [8] * 8


def test_a_text_of_a_deleted_or_unknown_owner_is_nobodys(texts, corpus):
    give_text(texts, corpus)
    (JobStore(texts.library.directory).folder / "small-gpt" / "job.json").unlink()
    with pytest.raises(CharlmError, match=PRIVATE):
        texts.compare("the king", "small-gpt", OWNER)


def test_a_hub_model_names_no_file_of_this_machine(texts):
    """Nor do its snapshots, although its directory could have a resume state that does."""
    directory = texts.library.directory / "small-gpt"
    save_snapshot(directory, checkpoint.load(directory)[0], 5)
    pulled = PulledModel(directory, "ann/small", "0" * 40, snapshots=(5,))
    follower = Follower("ann/small", False, True, lambda follower: pulled, None)
    follower.pulled = pulled
    texts.library.followers._followers["ann/small"] = follower
    for name in ("ann/small", "ann/small#5"):
        with pytest.raises(MissingTextError, match=f"the text that {name} was trained on"):
            texts.compare("the king", name, STRANGER)
    assert texts.compare("the king", "small-gpt#5", STRANGER)["lengths"] == [8] * 8


def test_tiny_shakespeare_is_downloaded_only_on_request(texts, corpus, monkeypatch):
    copy_model(texts, "gpt", name="tinyshakespeare", sha256=SHA256)
    with pytest.raises(MissingTextError) as error:
        texts.compare("the king", "gpt", STRANGER)
    assert error.value.can_fetch and "Copied?" in str(error.value)
    with pytest.raises(DataError, match="cannot download"):
        texts.fetch("gpt", STRANGER)
    downloads = []
    monkeypatch.setattr(corpus_module, "download", lambda: downloads.append(1))
    texts.fetch("gpt", STRANGER)
    move_text(texts, None)
    with pytest.raises(DataError, match="was not found"):
        texts.fetch("small-gpt", STRANGER)
    assert downloads == [1]


def test_a_text_is_indexed_once_for_visitors_who_ask_at_once(texts, monkeypatch):
    indexed = []

    def index(text):
        indexed.append(text)
        time.sleep(0.1)
        return TrainingIndex(text)

    monkeypatch.setattr(copied, "TrainingIndex", index)
    pool = texts.library.pools.copying

    async def ask():
        clients = [Client(f"1.1.1.{i}") for i in range(4)]
        calls = [pool.run(c, texts.compare, "the king", "small-gpt", STRANGER) for c in clients]
        began, ticks = asyncio.ensure_future(asyncio.gather(*calls)), 0
        while not began.done():
            await asyncio.sleep(0.01)
            ticks += 1
            assert ticks < 6000, "the texts are still compared after a minute"
        return await began, ticks

    answers, ticks = asyncio.run(ask())
    assert len(indexed) == 1 and answers[1:] == answers[:-1]
    assert ticks > 5  # meanwhile, the page answers others


def test_the_least_recently_used_index_is_dropped(texts, tmp_path, corpus):
    names = [f"model-{i}" for i in range(MAX_INDEXES + 1)]
    for i, name in enumerate(names):
        path = tmp_path / f"{name}.txt"
        path.write_text(corpus.text + f"{i}\n")
        digest = corpus_module.read_corpus(path).sha256
        copy_model(texts, name, name=path.name, sha256=digest)
        (texts.library.directory / name / "resume").mkdir()
        (texts.library.directory / name / "resume" / "state.json").write_text("{}")
        move_text(texts, path, name)
    for name in [*names[:MAX_INDEXES], names[0], names[-1]]:
        texts.compare("the king", name, STRANGER)
    assert [texts.is_indexed(name, STRANGER) for name in names] == [True, False, True]


def test_a_text_that_is_too_long_is_refused(texts, corpus, monkeypatch):
    monkeypatch.setattr(copied, "MAX_CHARS", 2_000)
    with pytest.raises(CharlmError) as error:
        texts.compare("the king", "small-gpt", STRANGER)
    assert str(error.value) == (
        f"the text that small-gpt was trained on has {len(corpus.text):,} characters; at most 2,000"
        " are compared with others"
    )
