"""Lines that name who speaks next, as plays have them."""

import unicodedata

MAX_SPEAKER = 32  # characters


def is_speaker(line):
    """Return whether a line may name who speaks next: "ROMEO:" or "First Citizen:", in any script.

    It has letters, with their marks, apostrophes, spaces and hyphens, and no lower-case one first.
    """
    name, colon = line[:-1], line[-1:]
    if colon not in (":", "：") or not 0 < len(name) < MAX_SPEAKER:
        return False
    if not name[0].isalpha() or name[0].islower():
        return False
    return all(c.isalpha() or c in "’' -" or unicodedata.category(c)[0] == "M" for c in name)
