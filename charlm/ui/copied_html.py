"""What of a text is copied, as HTML: the share, the pieces, and where each comes from."""

import json
from html import escape

from charlm.errors import without_directories
from charlm.inspection.copying import CONTEXT, shortened

MAX_PIECES = 100  # in the list
QUOTED = 60  # characters of a piece in the list
NUMBERS = {1: "once", 2: "twice"}


def copied_html(found, text, model, serial):
    """Return the share of a text that is copied, and the pieces with their places.

    `found`: see TrainingTexts.compare. Pieces that unseen text might share, too, are left out. The
    rarest come first, of these the longest. `serial`: of the request.
    """
    most = found["unseen"]["p95"]
    pieces = [span for span in found["spans"] if span["end"] - span["start"] > most]
    listed = [span for span in pieces if "context" in span]
    listed.sort(key=lambda span: (span["count"], span["start"] - span["end"], span["start"]))
    del listed[MAX_PIECES:]
    share = share_html(found, model)
    body = "".join(piece_html(span, text, i) for i, span in enumerate(listed))
    if body:
        body = f"<ol>{body}</ol>"
    if len(pieces) > len(listed):
        body += f"<p>{len(pieces) - len(listed):,} more pieces are not listed.</p>"
    places = [[span["start"], span["end"]] for span in listed]
    return section_html(share + body, serial, places)


def share_html(found, model):
    """Return sentences on how much of a text is copied, and on what chance explains."""
    lengths, unseen = found["lengths"], found["unseen"]
    n, corpus = sum(length > unseen["p95"] for length in lengths), escape(found["corpus"])
    there = f"word for word in the text that {escape(model)} was trained on ({corpus})"
    if n:
        said = f"<b>{percent(n, len(lengths))}</b> of this text stands {there}, in pieces of more"
        said += f" than {letters(unseen['p95'])}."
    else:
        said = f"<b>Nothing</b> here is copied: the longest piece that stands {there} has"
        said += f" {letters(max(lengths, default=0))}."
    chance = f"Shorter pieces are no sign of copying. The last tenth of {corpus}, which the model"
    chance += " never saw, shares such pieces with the rest, too: half of its letters stand in one"
    chance += f" of up to {letters(unseen['median'])}, 95 % in one of up to {unseen['p95']:,}. Up"
    chance += " to 5 % may be chance."
    return f'<p class="share">{said}</p><p class="look-for">{chance}</p>'


def percent(n, total):
    """Return a share of more than zero in percent."""
    share = 100 * n / total
    return f"{share:.0f} %" if share >= 0.95 else f"{share:.1f} %"


def letters(n):
    return "1 letter" if n == 1 else f"{n:,} letters"


def piece_html(span, text, i):
    """Return an entry of the list: a button that quotes a piece, and the place it comes from."""
    piece = text[span["start"] : span["end"]]
    quoted = piece.replace("\n", "↵")
    quoted = quoted if len(quoted) <= QUOTED else f"{quoted[:QUOTED]}…"
    times = NUMBERS.get(span["count"], f"{span['count']:,} times")
    attributes = f'data-piece="{i}" aria-expanded="false" aria-controls="place-{i}"'
    facts = f"<small>{letters(len(piece))}, there {times}</small>"
    return (
        f'<li><button type="button" {attributes}><q><bdi>{escape(quoted)}</bdi></q> {facts}'
        f"</button>{place_html(span, shortened(piece), i)}</li>"
    )


def place_html(span, piece, i):
    """Return where a `shortened` piece comes from: the training text around it, with it marked."""
    start, context = min(CONTEXT, span["offset"]), span["context"]
    before, after = context[:start], context[start + len(piece) :]
    before = f"… {before}" if span["offset"] > CONTEXT else before
    after = f"{after} …" if len(after) == CONTEXT else after
    first = "the first of them " if span["count"] > 1 else ""
    return (
        f'<figure id="place-{i}" hidden><blockquote>{escape(before)}<mark>{escape(piece)}</mark>'
        f"{escape(after)}</blockquote><figcaption>In the training text, {first}from letter"
        f" {span['offset'] + 1:,} on.</figcaption></figure>"
    )


def missing_html(error, serial):
    """Return that a training text is missing, with a button that fetches it if one can.

    `error`: the MissingTextError.
    """
    button = '<button type="button" class="pill" data-fetch>Fetch Tiny Shakespeare</button>'
    if not error.can_fetch:
        return notice_html(str(error), serial)
    return section_html(
        "<p>To find copied pieces, this page needs the text that the model was trained on, which"
        f" is not on this machine.</p><p>{button} <small>about 1 MB, once</small></p>",
        serial,
    )


def notice_html(message, serial):
    """Return a sentence in place of an answer."""
    message = without_directories(message)
    message = f"{message[:1].upper()}{message[1:]}"
    message += "" if message.endswith("…") else "."
    return section_html(f"<p>{escape(message)}</p>", serial)


def section_html(body, serial, places=()):
    """Return what copied.js shows if it still wants the answer to its request `serial`.

    `places`: the [start, end] of each piece, in code points of the text.
    """
    return (
        f'<section class="copied panel" data-serial="{serial}" data-pieces="{json.dumps(places)}">'
        f"<h3>Copied?</h3>{body}</section>"
    )
