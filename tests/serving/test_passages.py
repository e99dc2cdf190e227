"""Passages of Shannon's game: where they come from, and which letters are guessed."""

import asyncio
import shutil
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_models import describe, make_model, make_text

from charlm.data.corpus import read_corpus
from charlm.data.tokenizer import CharTokenizer
from charlm.errors import CharlmError
from charlm.hub.follow import HubFollowers
from charlm.inspection.shannon import entropy_bounds, guesses, symbol_of
from charlm.models import checkpoint
from charlm.models.snapshots import save_snapshot
from charlm.runs.directory import create_run_directory
from charlm.serving import training_text
from charlm.serving.job import save_text
from charlm.serving.library import Library
from charlm.serving.limits import Limits
from charlm.serving.passages import (
    DIGEST,
    MAX_LETTERS,
    MIN_LETTERS,
    ROOM,
    TYPICAL_LETTERS,
    Typed,
    Validation,
    Written,
    choose_players,
    cut,
    find_passage,
    speakers,
)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "models"


@pytest.fixture
def data(tmp_path, monkeypatch):
    """The path of a text whose validation part is long enough, as CHARLM_DATA names it."""
    path = tmp_path / "play.txt"
    path.write_text(make_text(300), encoding="utf-8")
    monkeypatch.setenv("CHARLM_DATA", str(path))
    return path


def add(folder, name, text, sha256="0" * 64, kind="today", saved=None):
    """Add a model that knows the characters of a text."""
    tokenizer = CharTokenizer.fit(text)
    description = describe(kind, tokenizer.vocab_size)
    description = replace(description, data={"name": "play.txt", "sha256": sha256})
    folder.mkdir(exist_ok=True)
    model = make_model(kind, tokenizer.vocab_size)
    create_run_directory(folder / name, description, model, tokenizer, saved)


def make_library(folder, start=None, limits=None):
    return Library(folder, HubFollowers(), limits or Limits(), start)


def find(library, *sources):
    return asyncio.run(find_passage(library, None, *sources))


def names(passage):
    return [player["name"] for player in passage.players]


def test_a_passage_is_of_the_validation_part_if_the_text_is_here(folder, data, monkeypatch):
    corpus = read_corpus(data)
    for name, kind in (("shakespeare", "today"), ("bigram", "bigram"), ("gpt", "lecture")):
        add(folder, name, corpus.text, corpus.sha256, kind)
    library = make_library(folder)
    passage = find(library)
    assert passage.source == Validation(corpus.sha256[:DIGEST], passage.source.offset)
    assert "last tenth of play.txt" in passage.origin
    held_out = corpus.text[int(0.9 * len(corpus.text)) :]
    assert held_out[passage.source.offset :].startswith(passage.text)
    assert held_out[: passage.source.offset].endswith("\n\n")  # where someone begins to speak
    assert names(passage) == ["shakespeare", "bigram"]
    for player in passage.players:
        network, tokenizer = library.get(player["name"])
        ranks, bits = guesses(network, tokenizer, passage.text, passage.places)
        assert player["ranks"] == ranks
        assert player["bits"] == pytest.approx(bits, abs=1e-3)
        assert player["bounds"][-1] == pytest.approx(entropy_bounds(ranks), abs=1e-3)
        assert len(player["bounds"]) == len(passage.places)
    assert find(make_library(folder), passage.source) == passage
    for _ in range(20):
        assert find(library, None, passage.source).source != passage.source

    with pytest.raises(CharlmError, match=r"beyond the end of play\.txt"):
        find(library, Validation(corpus.sha256[:DIGEST], len(held_out)))
    with pytest.raises(CharlmError, match="not the one that the models here learned from"):
        find(library, Validation("0" * DIGEST, 0))
    monkeypatch.delenv("CHARLM_DATA")
    with pytest.raises(CharlmError, match="a text that is not on this machine"):
        find(library, passage.source)


def test_another_passage_is_another_one_however_short_the_text_is(folder, tmp_path, monkeypatch):
    path = tmp_path / "one-line.txt"
    path.write_text("all the world and a stage " * 300, encoding="utf-8")
    monkeypatch.setenv("CHARLM_DATA", str(path))
    corpus = read_corpus(path)
    add(folder, "mine", corpus.text, corpus.sha256)
    library = make_library(folder)
    only = Validation(corpus.sha256[:DIGEST], 0)
    assert find(library).source == only
    written = find(library, None, only).source
    assert isinstance(written, Written)
    assert find(library, None, written).source == only


def test_without_the_text_a_model_that_does_not_play_writes(folder, monkeypatch):
    monkeypatch.delenv("CHARLM_DATA", raising=False)
    for name, kind in (("shakespeare", "today"), ("bigram", "bigram"), ("gpt", "lecture")):
        add(folder, name, make_text(), kind=kind)
    library = make_library(folder)
    passage = find(library)
    source = passage.source
    assert (source.model, source.revision) == ("gpt", library.revision("gpt")[:DIGEST])
    assert passage.origin == "Written by gpt, which does not play."
    assert find(make_library(folder), source) == passage
    assert find(library, replace(source, seed=1)).text != passage.text
    with pytest.raises(CharlmError, match="from when gpt had other weights"):
        find(library, replace(source, revision="0" * DIGEST))
    with pytest.raises(CharlmError, match="there is no model 'nobody'"):
        find(library, Written("nobody", "", 1))


def test_a_model_alone_writes_for_itself_and_the_page_says_so(folder, monkeypatch):
    monkeypatch.delenv("CHARLM_DATA", raising=False)
    add(folder, "mine", make_text())
    passage = find(make_library(folder))
    assert passage.origin == "Written by mine, which also plays, and knows its own habits."
    assert names(passage) == ["mine"]
    with pytest.raises(CharlmError, match=r"too short: it leaves \d+ letters"):
        find(make_library(folder, limits=Limits(max_new_chars=20)))


def test_who_plays(folder):
    text = make_text()
    add(folder, "bigram", text, kind="bigram")
    assert [p.name for p in choose_players(make_library(folder))] == ["bigram"]
    add(folder, "shakespeare", text)
    add(folder, "other-text", text, sha256="1" * 64)
    add(folder, "cyrillic", "Да, нет; друзья мои.\n" * 9)
    for start, players in (
        (None, ["shakespeare", "bigram"]),
        ("bigram", ["shakespeare", "bigram"]),
        ("other-text", ["other-text"]),
        ("cyrillic", ["cyrillic"]),
    ):
        library = make_library(folder, start and folder / start)
        assert [p.name for p in choose_players(library)] == players
    add(folder, "large", "".join(map(chr, range(0x4E00, 0x4E00 + 65))))
    with pytest.raises(CharlmError, match="large knows more than 64 letters"):
        choose_players(make_library(folder, folder / "large"))


def test_a_snapshot_that_the_page_starts_with_plays(folder, monkeypatch):
    monkeypatch.delenv("CHARLM_DATA", raising=False)
    for name, kind in (("mine", "today"), ("bigram", "bigram"), ("shakespeare", "today")):
        add(folder, name, make_text(), kind=kind)
        save_snapshot(folder / name, checkpoint.load(folder / name)[0], 5)
    for start, players in (
        ("mine#5", ["mine#5", "bigram"]),
        ("bigram#5", ["shakespeare", "bigram#5"]),
    ):
        library = make_library(folder, f"{folder / start}")
        passage = find(library)
        assert names(passage) == players
        assert find(library, passage.source) == passage


def test_the_only_model_may_have_been_deleted_meanwhile(folder, monkeypatch):
    add(folder, "mine", make_text())
    library = make_library(folder)
    monkeypatch.setattr(library, "default", lambda: "deleted")
    with pytest.raises(CharlmError, match="there is no model 'deleted'; there is: mine"):
        choose_players(library)
    with pytest.raises(CharlmError, match="there is no model in"):
        choose_players(make_library(folder / "nowhere"))


def test_the_saved_path_of_a_run_is_read_only_if_the_page_starts_with_it(folder, data, monkeypatch):
    """Other runs may have a text that a visitor pasted."""
    corpus = read_corpus(data)
    monkeypatch.delenv("CHARLM_DATA")
    add(folder, "mine", corpus.text, corpus.sha256, saved=str(data))
    assert isinstance(find(make_library(folder)).source, Written)
    passage = find(make_library(folder, folder / "mine"))
    assert isinstance(passage.source, Validation)
    shutil.rmtree(folder / "mine" / "resume")
    assert isinstance(find(make_library(folder, folder / "mine")).source, Written)


def test_a_text_that_a_visitor_gave_is_in_no_game(folder, data, monkeypatch):
    """Not even if the page starts with the model that was trained on it."""
    corpus = read_corpus(data)
    monkeypatch.delenv("CHARLM_DATA")
    given = save_text(folder / ".jobs" / "mine", "play.txt", corpus.text.encode())
    add(folder, "mine", corpus.text, corpus.sha256, saved=str(given))
    library = make_library(folder, folder / "mine")
    assert isinstance(find(library).source, Written)
    with pytest.raises(CharlmError, match="a text that is not on this machine"):
        find(library, Validation(corpus.sha256[:DIGEST], 0))


def test_the_text_is_read_once_until_it_changes(folder, data, monkeypatch):
    corpus, read = read_corpus(data), []
    monkeypatch.setattr(
        training_text, "read_corpus", lambda path: read.append(path) or read_corpus(path)
    )
    add(folder, "mine", corpus.text, corpus.sha256)
    for _ in range(2):
        assert isinstance(find(make_library(folder)).source, Validation)
    assert read == [data]
    data.write_text(f"{corpus.text}the end\n")
    assert isinstance(find(make_library(folder)).source, Written)
    assert read == [data, data]


def test_a_typed_text_is_cleaned_and_carried_by_its_source(folder):
    add(folder, "mine", make_text())
    text = "\n\nThe king’s crown 😀 of all our love and war\n" * 3 + "and all the rest " * 20
    passage = find(make_library(folder), Typed(text))
    assert "mine does not know '’😀'" in passage.origin
    assert passage.source.text.startswith(passage.text)
    assert len(passage.source.text) <= ROOM < len(text) + 200
    assert passage.text.startswith("The kings crown  of") and "rest" in passage.text
    again = find(make_library(folder), passage.source)
    assert (again.text, again.places) == (passage.text, passage.places)
    with pytest.raises(
        CharlmError, match="it leaves 2 letters to guess after its beginning, of at least 20"
    ):
        find(make_library(folder), Typed("the"))


def test_other_alphabets_are_guessed_in_their_letters(folder):
    text = "Да, друзья мои, нет и не было другой земли на свете для нас; одна она.\n"
    add(folder, "cyrillic", text * 5)
    passage = find(make_library(folder), Typed(text * 5))
    assert set(passage.symbols) == {c.lower() for c in text if c.isalpha() or c == " "}
    assert {symbol_of(passage.text[i]) for i in passage.places} <= set(passage.symbols)


@given(st.text("aB \n.:,'é3", max_size=900))
def test_the_letters_of_any_text(text):
    """All are letters or spaces, none of a speaker's name; what comes between them is neither."""
    try:
        played, places = cut(text)
    except CharlmError as error:
        assert f"of at least {MIN_LETTERS}" in str(error)
        return
    assert text.startswith(played)
    assert MIN_LETTERS <= len(places) <= MAX_LETTERS and places == sorted(set(places))
    assert played[places[-1] + 1 :] == ""
    shown = speakers(text)
    for i in range(places[0], len(played)):
        assert (i in places) == (bool(symbol_of(played[i])) and i not in shown)


def test_a_passage_begins_and_ends_with_a_word():
    text = make_text()
    played, places = cut(text)
    assert played[: places[0]][-1].isspace()
    assert TYPICAL_LETTERS <= len(places) <= MAX_LETTERS
    assert not text[len(played)].isalpha()
    assert "KING:" in text and not {text[i] for i in places} & set(":\n.")
    assert speakers("a\n\nKING:\nno: Queen:\nX:\n") == {3, 4, 5, 6, 7}
