"""Figures in words: counts and durations."""


def round_figure(number):
    """Return a count as one says it: "2.7 million", "4,225"."""
    return f"{number / 1e6:.1f} million" if number >= 1e6 else f"{number:,}"


def format_duration(seconds):
    """Return seconds in the largest two units: "12 s", "1 min 05 s", "2 h 30 min"."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02} min"
