"""The base of every error whose message is meant for the user."""


class CharlmError(Exception):
    """An error that the user can fix. The message states the problem and the remedy."""
