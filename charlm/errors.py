"""The base of every error whose message is meant for the user."""


class CharlmError(Exception):
    """An error that the user can fix. The message states the problem and the remedy."""


QUOTED_CHARS = 60


def quote(value):
    """Return a value for a message: as Python writes it, printable, cut to QUOTED_CHARS."""
    if isinstance(value, list | tuple | dict):
        return "an object" if isinstance(value, dict) else "a list"
    if isinstance(value, int) and abs(value) >= 10**QUOTED_CHARS:
        return "a number of more than 60 digits"
    text = repr(value[:QUOTED_CHARS] if isinstance(value, str) else value)
    text = text.encode("utf-8", "backslashreplace").decode()  # lone surrogates
    return text if len(text) <= QUOTED_CHARS else text[: QUOTED_CHARS - 1] + "…"
