"""A loss in words: its perplexity, a number of letters that are as hard to choose between."""

import math

LARGEST = 30  # nats, beyond which a loss has diverged and its perplexity says nothing


def unsure_between(loss, vocab_size=None):
    """Return what a loss in nats per character means: "as unsure as between 4.2 letters".

    `vocab_size`: of the model; if it is given, the phrase goes on with "; guessing blindly is 65",
    the perplexity of a uniform distribution.
    """
    blind = f"; guessing blindly is {vocab_size:,}" if vocab_size else ""
    return f"as unsure as between {letters(loss)}{blind}"


def letters(loss):
    """Return the perplexity of a loss in nats per character, in two digits or more: "4.2 letters".

    It is e to the loss, or 2 to the bits per character.
    """
    perplexity = math.exp(min(loss, LARGEST))
    digits = 1 if perplexity < 9.95 else 0
    return f"{perplexity:,.{digits}f} letters"
