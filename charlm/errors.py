"""The base of every error whose message is meant for the user."""


class CharlmError(Exception):
    """Something only the user can mend: the message says what is wrong and what to do."""
