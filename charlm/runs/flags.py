"""Command line flags for the options of a config."""

import argparse
import dataclasses

FROM_THE_TEXT = {"vocab_size"}  # options that the text determines


def add_option_flags(group, config_class):
    """Add a flag for every option of a config; without the flag, `args` lacks the attribute."""
    for field in dataclasses.fields(config_class):
        if field.name in FROM_THE_TEXT:
            continue
        names = [f"--{field.name}"]
        if "_" in field.name:
            names.insert(0, "--" + field.name.replace("_", "-"))
        if field.type is bool:
            kind = {"action": argparse.BooleanOptionalAction}
        elif choices := field.metadata["choices"]:
            kind = {"choices": choices}
        else:
            kind = {"type": field.type, "metavar": field.type.__name__.upper()}
        note = field.metadata["note"]
        group.add_argument(*names, default=argparse.SUPPRESS, help=note, **kind)


def minutes(text):
    """Parse a positive number of minutes, as an argparse type."""
    if not 0 < float(text) < 1e6:
        raise ValueError
    return float(text)


def not_empty(text):
    """Return an argument unless it is empty, as a variable of a script may be; an argparse type."""
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty; leave the flag out for the default")
    return text
