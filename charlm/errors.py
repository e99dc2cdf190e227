"""The base of every error whose message is meant for the user, and how messages quote values."""

import os
import re
import reprlib

QUOTED = 60  # characters of a value that a message shows
# the directories of an absolute path, which no quotation mark precedes: users sent those
ABOVE_FILE = re.compile(r"(?<![^\s(])/(?:[^/\n;:()]+/)*(?=[^/\s])")


class CharlmError(Exception):
    """An error that the user can fix. The message states the problem and the remedy."""


def quote(value):
    """Return a value as messages show it: like repr, on one line, of at most QUOTED characters.

    The result is plain printable text: line ends and lone surrogates are escaped. Never raises.
    """
    try:
        if isinstance(value, (str, bytes)):
            text = repr(value[: QUOTED + 1])
        elif type(value) is int and value.bit_length() > 10_000:  # too long for repr
            text = f"a number of about {value.bit_length() * 3 // 10} digits"
        elif isinstance(value, (bool, int, float)) or value is None:
            text = repr(value)
        else:
            text = reprlib.repr(value)
    except Exception:  # a repr may raise anything
        text = f"a {type(value).__name__}"
    text = "".join(char if char.isprintable() else " " for char in text)
    return text if len(text) <= QUOTED else text[: QUOTED - 2] + " …"


def explain_os_error(error):
    """Return the message of an OSError: the file, if it names one, and the system's reason."""
    reason = error.strerror or str(error) or type(error).__name__
    if not error.filename:
        return f"the system refused a request: {reason}"
    file = os.fsdecode(error.filename) if isinstance(error.filename, bytes) else error.filename
    action = "read" if isinstance(error, (FileNotFoundError, IsADirectoryError)) else "write"
    return f"cannot {action} {file}: {reason}"


def without_directories(message):
    """Return a message with only the names of files whose absolute paths it has.

    Visitors of a page learn nothing about the server's disk.
    """
    return ABOVE_FILE.sub("", message)


def name_files(message, directory, name):
    """Return a message with "config.json of user/repo" in place of a file's path in a directory."""
    inside = re.compile(re.escape(str(directory)) + r"[/\\]([\w.-]+)")
    return inside.sub(lambda path: f"{path[1]} of {name}", message).replace(str(directory), name)
