"""What it saw: the context of a letter, the chances that the model computed, and the die."""

import math

from charlm.ui.chances_html import chances_html, percent
from charlm.ui.inside_html import described, panel_html, unsure

DIE = "Then a die is rolled: a random number chooses, likelier letters more often."
NO_DIE = "At temperature 0 no die is rolled: the likeliest letter is taken."


def context_html(inspected, alternatives):
    """Return what the model saw; `alternatives`: those of the letter, see inspection."""
    die = DIE if inspected.config.temperature else NO_DIE
    computed = f"From them it computes a chance for every letter it knows. {die}"
    if not inspected.index:
        computed = f"It computes a chance for every letter it knows. {die}"
    body = f"<p>{seen_html(inspected)} {computed}</p>{letter_chances_html(inspected, alternatives)}"
    body += certainty_html(inspected, alternatives["stages"][0])
    return panel_html("context", introduction(inspected), body)


def introduction(inspected):
    if inspected.network.kind == "bigram":
        return "This model is a table of pairs: it sees one letter, and nothing before it."
    most = inspected.network.config.block_size
    return (
        f"The <b>context</b>: the model predicts a letter from those before it, at most {most:,} of"
        " them (<code>block_size</code>). It cannot see the grey letters: those too far back, and"
        " those after."
    )


def seen_html(inspected):
    """Return sentences on the letters that the model saw."""
    n, start = inspected.index - inspected.start, inspected.start
    if not inspected.index:
        return f"Before {described(inspected)} there is nothing; the model is given a new line."
    sentence = (
        f"To predict {described(inspected)}, it saw {'1 letter' if n == 1 else f'{n:,} letters'}."
    )
    if start and inspected.network.kind != "bigram":
        sentence += f" The first {start:,} are out of its sight: whenever the context is full, its"
        sentence += " older three quarters are dropped."
    return sentence


def letter_chances_html(inspected, alternatives):
    """Return the chances of the letter, see chances_html."""
    vocabulary = inspected.tokenizer.chars
    return chances_html(alternatives, inspected.text, inspected.index, vocabulary, False)


def certainty_html(inspected, stage):
    """Return sentences on how sure the model was; `stage`: its own chances."""
    entropy = stage["entropy_bits"]
    sentence = f"Before the die ({entropy:.2f} bits), the model is {unsure(entropy, inspected)}."
    p = dict(stage["chars"]).get(inspected.char)
    if p:
        bits = f"{-math.log2(p):.1f} bits (a chance of {percent(p)})"
        sentence += f" The text goes on with {described(inspected)}, which surprised it by {bits}."
    return f"<p>{sentence}</p>"
