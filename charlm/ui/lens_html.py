"""When it made up its mind: the likeliest letters after each block."""

from bisect import bisect

from charlm.ui.chances_html import name, percent
from charlm.ui.inside_html import LEVELS, letter, panel_html

INTRODUCTION = (
    "Every block <b>adds</b> to the residual stream. The last norm and the output layer turn the"
    " stream into chances; applied after each block, they show what the model would write if it"
    " ended there. Look for the block from which on the letter stays on top. The letter of the"
    " text is framed."
)
TABLE = "This model has no blocks: its table gives the chances at once."


def lens_html(inspected, lens):
    """Return the likeliest letters after each block; `lens`: see inspection.attention."""
    rows = ["the embedding", *(f"block {i}" for i in range(len(lens) - 1))]
    introduction, verdict = INTRODUCTION, f"<p>{when(inspected, lens, rows)}</p>"
    if len(lens) == 1:
        rows, introduction, verdict = ["the table"], TABLE, ""
    body = "".join(
        row_html(title, top, inspected.char) for title, top in zip(rows, lens, strict=True)
    )
    table = f'<table class="lens"><tbody>{body}</tbody></table>'
    return panel_html("lens", introduction, verdict + table)


def row_html(title, top, char):
    cells = "".join(
        f'<td class="w{bisect(LEVELS, p)}{" chosen" * (c == char)}"><b>'
        f"{name(c) if c.isalnum() else letter(c).removeprefix('a ')}</b>"
        f" <small>{percent(p)}</small></td>"
        for c, p in top
    )
    return f"<tr><th scope=row>{title.removeprefix('the ')}</th>{cells}</tr>"


def when(inspected, lens, rows):
    """Return a sentence on where in the network the model decided; `rows`: names of the places."""
    firsts = [top[0][0] for top in lens]
    final = firsts[-1]
    since = next(i for i in range(len(firsts)) if set(firsts[i:]) == {final})
    place = f"Only after {rows[since]}" if since == len(rows) - 1 else f"From {rows[since]} on"
    sentence = f"{place}, {letter(final)} is the likeliest."
    if inspected.char and inspected.char != final:
        were = [rows[i] for i, first in enumerate(firsts) if first == inspected.char]
        sentence += f" The text has {letter(inspected.char)}, which "
        sentence += f"is it only after {', '.join(were)}." if were else "never is."
    return sentence
