"""Passages for Shannon's game: a text to read, and the letters after it to guess."""

import re
import secrets
from contextlib import aclosing
from dataclasses import dataclass

from charlm.config import SampleConfig
from charlm.data.corpus import DataError
from charlm.data.speakers import is_speaker
from charlm.errors import CharlmError, quote
from charlm.inspection.shannon import entropy_bounds, guesses, symbol_of, symbols_of
from charlm.models.checkpoint import load_description
from charlm.models.snapshots import split_step
from charlm.serving.generate import TextRequest, generate, random_seed
from charlm.serving.training_text import training_text_of

CONTEXT = 240  # characters that are shown before the first letter to guess
TYPICAL_LETTERS = 50  # to guess, and those up to the end of a word
MAX_LETTERS, MIN_LETTERS = 60, 20  # to guess
ROOM = 600  # characters from which a passage is cut: more than it takes
MAX_SYMBOLS = 64  # on the page's keyboard
DIGEST = 12  # digits of a SHA-256 that name a text or a model's weights
WRITERS = ("gpt", "shakespeare", "bigram")  # preferred in this order, if they do not play


@dataclass(frozen=True)
class Validation:
    """A place in the validation part of the players' training text."""

    digest: str  # of the training text
    offset: int  # characters


@dataclass(frozen=True)
class Written:
    """The beginning of what a model writes without a prompt."""

    model: str
    revision: str  # the first DIGEST digits, see Library.revision
    seed: int


@dataclass(frozen=True)
class Typed:
    """A text that a visitor typed."""

    text: str


@dataclass(frozen=True)
class Player:
    """A model that guesses the letters, too."""

    name: str
    network: object
    tokenizer: object


@dataclass(frozen=True)
class Passage:
    """A passage and what the players make of it."""

    source: object  # a Validation, Written, or Typed; from it alone, others get the same passage
    origin: str  # a sentence that says where the text comes from
    text: str
    places: list  # indices of the letters to guess; the characters between them are shown
    symbols: tuple  # that are guessed: see inspection.shannon
    players: list  # {"name", "ranks", "bits", "bounds"}, the one to beat first

    @property
    def context(self):
        """The text before the first letter to guess."""
        return self.text[: self.places[0]]


async def find_passage(library, client, source=None, other_than=None):
    """Return the Passage at a source, or at a new one of the best kind that there is.

    A new source differs from `other_than`. Raises CharlmError if the source is not on this machine,
    or too short.
    """
    loading = library.pools.loading
    players = await loading.run(client, choose_players, library)
    if source is None:
        source = await loading.run(client, new_source, library, players, other_than)
    if isinstance(source, Written):
        text, origin = await written_text(library, client, source, players)
    else:
        text, origin = await loading.run(client, text_of, library, players, source)
    text, dropped = players[0].tokenizer.clean(text)
    if dropped:
        origin += f" {players[0].name} does not know {quote(dropped)}: left out."
    text = text.lstrip("\n")[:ROOM]
    if isinstance(source, Typed):
        source = Typed(text)
    text, places = cut(text)
    results = [await library.pools.scoring.run(client, play, p, text, places) for p in players]
    return Passage(source, origin, text, places, symbols_of(players[0].tokenizer), results)


def choose_players(library):
    """Return the Players: the model that the page starts with, and the bigram model beside it.

    Beside a bigram model, it is the best bundled one. Models of another alphabet or another
    training text cannot play together. Raises CharlmError if there is no model.
    """
    default = library.default()
    bigram = split_step(default)[0] == "bigram"
    names = ("shakespeare", default) if bigram else (default, "bigram")
    there = [name for name in names if name == default or library.has(name)]
    players = [Player(name, *library.get(name)) for name in there]
    first = players[0]
    if len(symbols_of(first.tokenizer)) > MAX_SYMBOLS:
        raise CharlmError(
            f"{first.name} knows more than {MAX_SYMBOLS} letters, too many for the game; start the"
            " page with another model"
        )
    described = {p.name: load_description(library.path(p.name)).data["sha256"] for p in players}
    return [p for p in players if fits(p, first) and described[p.name] == described[first.name]]


def fits(player, first):
    return player.tokenizer.chars == first.tokenizer.chars


def new_source(library, players, other_than):
    """Return a random source: a Validation, or a Written if the text is not on this machine.

    It differs from the source `other_than`, however short the text is.
    """
    corpus = corpus_of(library, players[0].name)
    text = corpus.validation_part if corpus else ""
    last = len(text) - ROOM
    starts = [match.end() for match in re.finditer(r"\n+", text)]
    speeches = [end for end in starts if text.endswith("\n\n", 0, end)]
    for candidates in (speeches, starts, [0]):
        places = (Validation(corpus.sha256[:DIGEST], at) for at in candidates if at <= last)
        if new := [place for place in places if place != other_than]:
            return secrets.choice(new)
    writer = choose_writer(library, players)
    return Written(writer, library.revision(writer)[:DIGEST], random_seed())


def choose_writer(library, players):
    """Return the name of a model that writes for the Players: another one, if there is any."""
    playing, available = [player.name for player in players], library.names()
    for name in WRITERS:
        if name in available and name not in playing:
            writer = Player(name, *library.get(name))
            if fits(writer, players[0]):
                return name
    return playing[0]


def corpus_of(library, name):
    """Return the Corpus that a model was trained on; None if there is none for everybody here."""
    try:
        return training_text_of(library, name).read()
    except DataError:
        return None


def text_of(library, players, source):
    """Return (text, origin) of a Validation or a Typed. Raises CharlmError."""
    if isinstance(source, Typed):
        return source.text, "A text that a visitor typed: none of the models wrote it."
    corpus = corpus_of(library, players[0].name)
    if corpus is None or not corpus.sha256.startswith(source.digest):
        raise CharlmError(
            "the passage of this address is from the last tenth of a text that is not on this"
            " machine, or not the one that the models here learned from; choose another passage"
        )
    text = corpus.validation_part
    if source.offset >= len(text):
        raise CharlmError(f"the passage of this address begins beyond the end of {corpus.name}")
    origin = f"From the last tenth of {corpus.name}, which no model here was trained on."
    return text[source.offset : source.offset + 2 * ROOM], origin


async def written_text(library, client, source, players):
    """Return (text, origin) of a Written. Raises CharlmError."""
    name, loading = source.model, library.pools.loading
    revision = await loading.run(client, library.revision, name)
    if not revision.startswith(source.revision):
        raise CharlmError(
            f"this link is from when {name} had other weights: it would write another passage here"
        )
    length = min(ROOM, library.limits.max_new_chars)
    request = TextRequest("", name, SampleConfig(length, seed=source.seed))
    async with aclosing(generate(library, request, client)) as updates:
        async for progress in updates:
            last = progress
    if last.stopped:
        raise CharlmError("the page ended the text before it was complete; try again")
    plays = name in [player.name for player in players]
    note = "which also plays, and knows its own habits" if plays else "which does not play"
    return last.text, f"Written by {name}, {note}."


def cut(text):
    """Return (text, places): the part of a text that is played, and the letters to guess.

    The text to read before them ends with a word; of a short text, it is the first third. The
    letters begin a word, and end with one if it ends in time. Names of speakers, which readers of
    the play guess easily, are shown, as is all that is no letter or space. Raises CharlmError if
    there are too few letters.
    """
    first = len(text) // 3 if len(text) < ROOM else CONTEXT
    ends = (match.end() for match in re.finditer(r"\s+", text))
    first = next((end for end in ends if end >= first), first)
    shown, places = speakers(text), []
    for i in range(first, len(text)):
        if len(places) >= TYPICAL_LETTERS and not text[i].isalpha():
            break
        if len(places) == MAX_LETTERS:
            break
        if symbol_of(text[i]) and i not in shown:
            places.append(i)
    if len(places) < MIN_LETTERS:
        raise CharlmError(
            f"this text is too short: it leaves {len(places)} letters to guess after its beginning,"
            f" of at least {MIN_LETTERS}"
        )
    return text[: places[-1] + 1], places


def speakers(text):
    """Return the indices of the characters of all lines that name a speaker, as a set."""
    found, start, after_gap = set(), 0, True
    for line in text.split("\n"):
        if after_gap and is_speaker(line):
            found.update(range(start, start + len(line)))
        after_gap, start = not line, start + len(line) + 1
    return found


def play(player, text, places):
    """Return the ranks and bits of a Player, and its bounds after each letter, for the page."""
    ranks, bits = guesses(player.network, player.tokenizer, text, places)
    bounds = [entropy_bounds(ranks[: n + 1]) for n in range(len(ranks))]
    bounds = [[round(bound, 4) for bound in pair] for pair in bounds]
    bits = [round(surprise, 4) for surprise in bits]
    return {"name": player.name, "ranks": ranks, "bits": bits, "bounds": bounds}
