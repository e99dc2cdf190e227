"""A text and a letter of it, and what a model does there, for the page."""

import hashlib
from dataclasses import dataclass, replace

from charlm.config import SampleConfig
from charlm.generation.stream import context_start
from charlm.inspection.ablation import ablation
from charlm.inspection.attention import attention, lens
from charlm.inspection.changes import changes
from charlm.inspection.scores import score
from charlm.serving.generate import TextRequest, generate
from charlm.serving.inspection import MAX_ABLATION_CHARS, last_alternatives


@dataclass(frozen=True)
class InspectedText:
    """A text in a model's characters, and the index of the letter that the model predicts."""

    network: object
    tokenizer: object
    model: str  # its name in the Library
    config: SampleConfig  # that the letter is drawn with
    text: str
    prompt_length: int  # characters of `text` that the model did not write
    index: int  # of the letter; that of the next one is the text's length
    off: tuple = ()  # the parts of the model that are switched off, see models.parts
    dropped: str = ""  # distinct characters that the model does not know

    @property
    def context(self):
        """The characters from which the model predicts the letter."""
        # as in generation, a text without a prompt follows the start character
        start = "" if min(self.index, self.prompt_length) else self.tokenizer.start_char
        return start + self.text[: self.index]

    @property
    def start(self):
        """The index of the first character that the model sees; `index` if it sees none."""
        if self.network.kind == "bigram":
            return max(0, self.index - 1)
        shift = len(self.context) - self.index
        first = context_start(len(self.context), self.network.config.block_size)
        return max(0, first - shift)

    @property
    def char(self):
        """The letter; "" if it is the next one."""
        return self.text[self.index : self.index + 1]

    @property
    def scored(self):
        """The part of the text that is read without each part of the model."""
        end = max(self.index, MAX_ABLATION_CHARS)
        return self.text[max(0, end - MAX_ABLATION_CHARS) : end]

    @property
    def scored_digest(self):
        """A digest of the model's name and of `scored`."""
        return hashlib.sha256(f"{self.model}\n{self.scored}".encode()).hexdigest()[:16]

    def request(self, length, off, **options):
        """Return the TextRequest that writes on from before the letter, with parts `off`."""
        start = min(self.index, self.prompt_length)
        before, written = self.text[:start], self.text[start : self.index]
        config = replace(self.config, max_new_chars=length)
        return TextRequest(before, self.model, config, written, ",".join(off), **options)


def inspected_text(library, text, prompt_length, index, model, config):
    """Return the InspectedText of a text; unknown characters are replaced or dropped.

    Raises CharlmError if the model is unknown.
    """
    network, tokenizer = library.get(model)
    known, dropped = tokenizer.clean(text)
    before, prompt = (tokenizer.clean(text[:n]).text for n in (index, prompt_length))
    index, prompt_length = (min(len(part), len(known)) for part in (before, prompt))
    place = known, prompt_length, index
    return InspectedText(network, tokenizer, model, config, *place, dropped=dropped)


async def chances(library, client, inspected, off):
    """Return the alternatives of the letter with parts `off`: see inspection.alternatives."""
    request = inspected.request(1, off, keep_alternatives=True)
    return await last_alternatives(library, request, client)


async def continuation(library, client, inspected, off, length, stop_requested=lambda: False):
    """Return `length` characters that the model writes from the letter on, with parts `off`.

    There are fewer if stop_requested() returns true before the end.
    """
    request = inspected.request(length, off)
    async for progress in generate(library, request, client, stop_requested):
        last = progress
    return last.text[last.earlier_length :]


async def attention_at(library, client, inspected):
    """Return what the model looks at to predict the letter: see inspection.attention."""
    arguments = inspected.network, inspected.tokenizer, inspected.context, inspected.off
    return await library.pools.scoring.run(client, attention, *arguments)


async def lens_at(library, client, inspected):
    """Return the likeliest letters after each block: see inspection.attention."""
    arguments = inspected.network, inspected.tokenizer, inspected.context, inspected.off
    return await library.pools.scoring.run(client, lens, *arguments)


async def changed_by(library, client, inspected, index, char):
    """Return what another letter at `index` of the context changes: see inspection.changes."""
    arguments = inspected.network, inspected.tokenizer, inspected.context, index, char
    return await library.pools.scoring.run(client, changes, *arguments, inspected.off)


async def part_costs(library, client, inspected):
    """Yield {part: bits per character of the text without it} for some parts: see ablation."""
    groups = ablation(inspected.network, inspected.tokenizer, inspected.scored)
    # a call for each, so that others take turns
    while (group := await library.pools.scoring.run(client, next, groups, None)) is not None:
        yield group


async def bits_without(library, client, inspected):
    """Return the bits per character of the text with the parts off."""
    arguments = inspected.network, inspected.tokenizer, inspected.scored, inspected.off
    return (await library.pools.scoring.run(client, score, *arguments))["bits_per_char"]
