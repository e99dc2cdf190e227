"""The chances that the last letter had, as bars."""

from html import escape

SHOWN = 6  # likeliest characters
NAMES = {" ": "space", "\n": "new line", "\t": "tab"}


def chances_html(alternatives):
    """Return the likeliest characters as bars, and the one that was drawn; "" for None.

    `alternatives`: see inspection.alternatives.
    """
    if not alternatives:
        return ""
    chances, chosen = alternatives["stages"][-1]["chars"], alternatives["chosen"]
    rank = [char for char, _ in chances].index(chosen)
    rows = [bar_html(char, p, char == chosen) for char, p in chances[:SHOWN]]
    others = chances[SHOWN:]
    if rank >= SHOWN:
        rows.append(bar_html(*chances[rank], True))
        others.remove(chances[rank])
    together = percent(sum(p for _, p in others))
    rest = f"; {len(others)} others together: {together}" if others else ""
    return (
        '<figure class="chances"><figcaption>The chances of each letter. A random number drew'
        f" <b>{name(chosen)}</b>{rest}.</figcaption><ol>{''.join(rows)}</ol></figure>"
    )


def bar_html(char, p, chosen):
    """Return a character's row: its name, its bar, and its probability."""
    drawn = ' class="chosen"' if chosen else ""
    mark = " <em>drawn</em>" if chosen else ""
    bar = f'<span class="track"><i style="width:{100 * p:.1f}%"></i></span>'
    return f"<li{drawn}><b>{name(char)}</b>{bar}<span>{percent(p)}{mark}</span></li>"


def name(char):
    """Return what a character is called."""
    return NAMES.get(char) or (escape(char) if char.isprintable() else f"U+{ord(char):04X}")


def percent(p):
    """Return a probability in percent."""
    return "below 0.1 %" if p < 0.001 else f"{100 * p:.1f} %"
