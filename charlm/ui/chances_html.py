"""The chances that a letter had, as bars, and where the random number fell."""

from html import escape

SHOWN = 6  # likeliest characters
CONTEXT = 16  # last characters of the text before the letter that the caption quotes
MIN_LABEL = 0.04  # probability from which a segment of the strip has room for its name
NAMES = {" ": "space", "\n": "new line", "\t": "tab"}
FILTERS = {"temperature": "the temperature", "top_k": "top-k", "top_p": "top-p", "min_p": "min-p"}


def chances_html(alternatives, text, index, vocabulary, can_branch=True):
    """Return the chances of the letter `text[index]`, or of the next one at the text's end.

    `alternatives`: see inspection.alternatives; "" is returned for None. `vocabulary`: all
    characters, in order. `can_branch`: whether each row has a button that lets the text go on with
    its letter instead, see letters.js.
    """
    if not alternatives:
        return ""
    stages, drawn, actual = alternatives["stages"], alternatives["chosen"], text[index : index + 1]
    actual = actual or drawn
    model, final = (dict(stage["chars"]) for stage in (stages[0], stages[-1]))
    shown = list(model)[:SHOWN]
    shown += [char for char in dict.fromkeys((drawn, actual)) if char not in shown]
    rows = "".join(
        row_html(char, model.get(char, 0), stages, drawn, actual, can_branch) for char in shown
    )
    return (
        f'<figure class="chances" data-index="{index}"><figcaption>{caption(text[:index])}'
        f"{others(final, shown)}{brackets(rows)}</figcaption><ol>{rows}</ol>"
        f"{strip_html(final, drawn, actual, alternatives['uniform'], vocabulary)}</figure>"
    )


def caption(before):
    """Return what the chances are of."""
    if not before:
        return "The chances of the first letter"
    quoted = escape(before[-CONTEXT:].replace("\n", "↵"))
    return f"The chances after “{'…' if len(before) > CONTEXT else ''}{quoted}”"


def others(final, shown):
    """Return a phrase on the characters without a row."""
    rest = [p for char, p in final.items() if char not in shown]
    if not rest:
        return ""
    return f"; {len(rest)} other letter{'s' * (len(rest) > 1)} together {percent(sum(rest))}"


def brackets(rows):
    """Return a phrase on the chances in brackets, if the rows have any."""
    phrase = "; in brackets the model’s own, before the settings"
    return f'<span class="brackets">{phrase}</span>' if "(was" in rows else ""


def row_html(char, raw, stages, drawn, actual, can_branch):
    """Return a character's row: its name, perhaps as a button, its bar, and its probability.

    `raw`: its probability in the model, before the sampler's settings.
    """
    p = dict(stages[-1]["chars"]).get(char, 0)
    classes = [*["chosen"] * (char == drawn == actual), *["removed"] * (not p)]
    draws = "drawn" if drawn == actual else "would be drawn"
    notes = [*[draws] * (char == drawn), *["in the text"] * (char == actual != drawn)]
    if not p:
        kept = (stage["name"] for stage in stages if char not in dict(stage["chars"]))
        notes.append(f"removed by {FILTERS[next(kept)]}" if raw else "impossible")
    before = f" <small>(was {percent(raw)})</small>" if abs(raw - p) >= 0.0005 else ""
    shown = f"<b>{name(char)}</b>"
    if can_branch:
        label = f"Go on with {name(char)}"
        shown = f'<button data-char="{escape(char)}" aria-label="{label}">{name(char)}</button>'
    return (
        f'<li class="{" ".join(classes)}">{shown}'
        f'<span class="track"><i style="width:{100 * p:.1f}%"></i>'
        f'<u style="width:{100 * raw:.1f}%"></u></span>'
        f"<span>{percent(p)}{before} <em>{', '.join(notes)}</em></span></li>"
    )


def strip_html(final, drawn, actual, uniform, vocabulary):
    """Return the chances side by side, in the vocabulary's order, and the number that was drawn."""
    segments = "".join(
        f'<span{" class=chosen" if char == drawn else ""} style="width:{100 * final[char]:.2f}%">'
        f"{name(char) if final[char] >= MIN_LABEL else ''}</span>"
        for char in vocabulary
        if char in final
    )
    fell = "fell" if drawn == actual else "would fall"  # a letter of the prompt was not drawn
    number = f"The random number {uniform:.3f} {fell} on <b>{name(drawn)}</b>"
    if len(final) == 1:
        sentence = f"No other letter than <b>{name(drawn)}</b> is left to choose from."
    else:
        sentence = f"{number}, with the letters in the vocabulary’s order."
    return (
        f'<div class="strip" aria-hidden="true">{segments}<i style="left:{100 * uniform:.2f}%"></i>'
        f"</div><p>{sentence}</p>"
    )


def name(char):
    """Return what a character is called."""
    return NAMES.get(char) or (escape(char) if char.isprintable() else f"U+{ord(char):04X}")


def percent(p):
    """Return a probability in percent."""
    return "0 %" if p == 0 else "below 0.1 %" if p < 0.001 else f"{100 * p:.1f} %"
