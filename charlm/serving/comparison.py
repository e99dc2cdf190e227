"""Models that write from the same prompt with the same random numbers, and read each other."""

import asyncio
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial

from charlm.errors import CharlmError, explain_os_error
from charlm.inspection.scores import score
from charlm.models.parts import parse_parts
from charlm.serving.generate import (
    FIRST_UPDATE_SECONDS,
    UPDATE_SECONDS,
    Progress,
    TextRequest,
    generate,
)
from charlm.serving.inspected_text import InspectedText, chances, inspected_text


@dataclass(frozen=True)
class Writer:
    """A model that writes a text of a comparison."""

    model: str  # its name in the Library
    off: str = ""  # the part of the model that is switched off, see models.parts
    revision: str = ""  # that the model is expected to have, see Library.revision; "" accepts any


@dataclass(frozen=True)
class Written:
    """The state of one writer's text."""

    writer: Writer
    progress: Progress | None = None  # None until it begins
    notice: str = ""  # a sentence about the model
    error: str = ""  # that ended it
    ended: bool = False

    @property
    def text(self):
        """The prompt and the characters written so far; "" before it begins."""
        return self.progress.text if self.progress else ""


@dataclass(frozen=True)
class Comparison:
    """The state of all texts of a comparison."""

    texts: tuple  # of Written, one for each writer

    @property
    def done(self):
        """Whether no text goes on."""
        return all(written.ended for written in self.texts)

    @property
    def new_chars(self):
        """The number of characters that were written in all."""
        return sum(written.progress.new_chars for written in self.texts if written.progress)


@dataclass(frozen=True)
class Chances:
    """What one writer could have written in place of a letter of its text."""

    writer: Writer
    inspected: InspectedText | None = None
    alternatives: dict | None = None  # see inspection.alternatives
    error: str = ""  # why there are none


async def compare(library, writers, prompt, config, client, find, stop_requested=lambda: False):
    """Yield the Comparison of texts that Writers write with one SampleConfig, until it is done.

    A sampled character is a function of the seed and its position, so each text is the one that
    `generate` yields. Texts are written at the same time, as many as one visitor may have. An error
    ends the text of its writer only. All texts end early when stop_requested() returns true or the
    caller closes the generator. `find`: an async function from a Writer to (Writer, notice), with
    the name and the revision that its model has here.
    """
    states = [Written(writer) for writer in writers]
    at_a_time = asyncio.Semaphore(library.limits.max_per_visitor)

    async def write(number):
        def show(**changes):
            states[number] = replace(states[number], **changes)

        writer = writers[number]
        try:
            writer, notice = await find(writer)
            show(writer=writer, notice=notice)
            request = TextRequest(prompt, writer.model, config, off=writer.off)
            async with at_a_time:
                if not stop_requested():
                    updates = generate(library, request, client, stop_requested)
                    async with aclosing(updates):
                        async for progress in updates:
                            show(progress=progress)
        except (CharlmError, OSError) as error:
            show(error=message_of(error))
        show(ended=True)

    tasks = [asyncio.ensure_future(write(number)) for number in range(len(writers))]
    interval = partial(library.update_interval, client)
    async with aclosing(updates_until_done(tasks, interval)) as updates:
        async for _ in updates:
            yield Comparison(tuple(states))


async def updates_until_done(tasks, interval):
    """Yield whenever the page shall be updated, until all tasks are done, whose errors are raised.

    `interval()`: the least seconds between two updates. The tasks end when the caller does.
    """
    try:
        pending, seconds = tasks, 0
        while pending:
            _, pending = await asyncio.wait(pending, timeout=seconds)
            yield
            seconds = max(UPDATE_SECONDS, interval()) if seconds else FIRST_UPDATE_SECONDS
        for task in tasks:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def message_of(error):
    """Return what a visitor reads of a CharlmError or OSError."""
    return explain_os_error(error) if isinstance(error, OSError) else str(error)


def first_difference(texts):
    """Return the index of the first character in which two texts differ that both have, or None."""
    for index in range(max(map(len, texts), default=0)):
        if len({text[index] for text in texts if index < len(text)}) > 1:
            return index
    return None


async def surprises(library, comparison, client):
    """Return {(reader, text): (bits per character, characters that the reader does not know)}.

    Readers and texts are named by their numbers in the Comparison; those with an error are left
    out. Only the characters after the prompt count. The bits are None if the reader knows none.
    """
    there = [n for n, written in enumerate(comparison.texts) if not written.error and written.text]
    found = {}
    for reader in there:
        for number in there:
            written = comparison.texts[number].progress
            arguments = comparison.texts[reader].writer, written.text, written.prompt_length
            # a call for each, so that others take turns
            run = library.pools.scoring.run(client, surprise, library, *arguments)
            found[reader, number] = await run
    return found


def surprise(library, reader, text, prompt_length):
    """Return (bits per character after the prompt for a Writer, characters that it does not know).

    Characters that the model does not know are replaced by similar ones or left out.
    """
    network, tokenizer = library.get(reader.model)
    known, dropped = tokenizer.clean(text)
    start = len(tokenizer.clean(text[:prompt_length]).text)
    if start >= len(known):
        return None, dropped
    chars = score(network, tokenizer, known, parse_parts(network, reader.off))["chars"][start:]
    return sum(char["bits"] for char in chars) / len(chars), dropped


async def compared_chances(library, client, writers, config, texts, index):
    """Return the Chances of the letter `index`, each on the writer's own text.

    `texts`: (text, length of its prompt) of each Writer. They are those of /alternatives.
    """
    at_a_time = asyncio.Semaphore(library.limits.max_per_visitor)

    async def look(writer, text, prompt_length):
        place = text, prompt_length, index, writer.model, config
        try:
            loading = library.pools.loading
            inspected = await loading.run(client, inspected_text, library, *place)
            if inspected.index < index:
                return Chances(writer, error="its text has no such letter")
            off = parse_parts(inspected.network, writer.off)
            inspected = replace(inspected, off=off)
            async with at_a_time:
                return Chances(writer, inspected, await chances(library, client, inspected, off))
        except (CharlmError, OSError) as error:
            return Chances(writer, error=message_of(error))

    looks = (look(writer, *text) for writer, text in zip(writers, texts, strict=True))
    return await asyncio.gather(*looks)
