"""Standard output and error that no program depends on: output that cannot be written is dropped.

A stream may be closed, full, gone with its terminal or the reader of its pipe, of an encoding that
lacks characters, or an object of another program that has a `write` and nothing else.
"""

import contextlib
import functools
import os
import sys


class Console:
    """A text stream that never raises. Its other attributes are those of the stream behind it."""

    def __init__(self, stream):
        self.stream = stream  # None if the program was started without it

    @property
    def encoding(self):
        return getattr(self.stream, "encoding", None) or "utf-8"

    def write(self, text):
        """Write a text, with "?" for characters that the stream's encoding lacks."""
        with contextlib.suppress(Exception):
            try:
                self.stream.write(text)
            except UnicodeEncodeError:
                self.stream.write(text.encode(self.encoding, "replace").decode(self.encoding))
        return len(text)

    def writelines(self, lines):
        for line in lines:
            self.write(line)

    def flush(self):
        with contextlib.suppress(Exception):
            self.stream.flush()

    def isatty(self):
        try:
            return bool(self.stream.isatty())
        except Exception:
            return False

    def __getattr__(self, name):
        return getattr(self.stream, name)


def protect_output():
    """Make sys.stdout and sys.stderr a Console each, for the rest of the program."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:  # it is closed: the next file would get its number, and foreign output
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        if not isinstance(getattr(sys, name), Console):
            setattr(sys, name, Console(getattr(sys, name)))


@functools.cache
def warn_once(message):
    """Print a warning to sys.stderr, once in the life of the program."""
    print(f"warning: {message}", file=sys.stderr, flush=True)
