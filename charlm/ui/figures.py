"""Figures in words: what a loss or a count means."""

import math


def unsure_between(loss):
    """Return what a loss in nats per character means: its perplexity."""
    return f"as unsure as between {math.exp(min(loss, 30)):,.1f} letters"


def round_figure(number):
    """Return a count as one says it: "2.7 million", "4,225"."""
    return f"{number / 1e6:.1f} million" if number >= 1e6 else f"{number:,}"
