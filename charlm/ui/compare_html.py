"""The texts of a comparison beside each other, as HTML: what differs, and how each reads each."""

import json
from html import escape

from charlm.models.snapshots import split_step
from charlm.ui.chances_html import chances_html
from charlm.ui.inside_html import letter, part_name
from charlm.ui.play_html import dropped_notice_html, notices_html, status_line
from charlm.ui.text_html import text_html

ARTICLE = 'tabindex="0" aria-label="What {name} wrote; arrow keys select a letter"'
NOTE = "The table counts the letters after the prompt, as each model reads them at temperature 1."


def writer_name(writer):
    """Return what a Writer is called in a sentence: "gpt at step 500 without block 3: mlp"."""
    model, step = split_step(writer.model)
    name = model if step is None else f"{model} at step {step:,}"
    return f"{name} without {part_name(writer.off).removesuffix(': all')}" if writer.off else name


def written_html(written, mark):
    """Return the column of a Written; `mark`: the index of the letter that is marked, or None."""
    name, progress = escape(writer_name(written.writer)), written.progress
    html = f"<h3>{name}</h3>{notices_html([sentence(written.notice)])}"
    if progress:
        html += dropped_notice_html(progress)
        if progress.queue_position:
            html += status_line(f"waits: number {progress.queue_position:,} in the queue")
        text = text_html(progress.text, progress.prompt_length, not written.ended, mark=mark)
        html += text.replace("<article ", f"<article {ARTICLE.format(name=name)} ", 1)
    elif not written.ended:
        html += status_line("loading …") + '<article class="play-text generating"><p>'
    if not written.ended:
        return html
    html += "</article>" if progress else ""
    return f"{html}{notices_html([sentence(written.error)])}{ended_html(progress)}"


def sentence(message):
    """Return a message as a sentence; "" for none."""
    return message and f"{message[:1].upper()}{message[1:]}."


def ended_html(progress):
    """Return how much was written of a text that was ended early; "" if it was not."""
    if not (progress and progress.stopped):
        return ""
    why = "ended by this page's limit of time" if progress.timed_out else "stopped"
    return status_line(f"{progress.new_chars:,} characters, {why}")


def summary_html(wanted, comparison, mark, bits=None):
    """Return what is said below the texts, with the state as JSON for compare.js.

    `wanted`: the ComparisonRequest. `bits`: see comparison.surprises; None until they are known.
    """
    wanted = wanted.with_writers(written.writer for written in comparison.texts)
    lengths = [w.progress.prompt_length if w.progress else 0 for w in comparison.texts]
    state = {"serial": wanted.serial, "query": wanted.query(), "shared": wanted.link.shared()}
    state |= {"writers": [vars(w) for w in wanted.writers], "lengths": lengths}
    html = f'<div data-compared="{escape(json.dumps(state))}"><p>{difference(comparison, mark)}</p>'
    if bits:
        html += bits_html(comparison.texts, bits)
    return f"{html}{status_html(wanted) if comparison.done else ''}</div>"


def difference(comparison, mark):
    """Return a sentence on where the texts first differ."""
    if mark is None:
        if not comparison.done:
            return "The same so far: every letter is drawn with the same random number for all."
        several = sum(bool(written.text) for written in comparison.texts) > 1
        return "The texts do not differ, as far as they go." * several
    wrote = {}
    for written in comparison.texts:
        if char := written.text[mark : mark + 1]:
            wrote.setdefault(char, []).append(f"<b>{escape(writer_name(written.writer))}</b>")
    chose = "; ".join(f"{' and '.join(names)}: {letter(char)}" for char, names in wrote.items())
    return f"They first differ at letter {mark + 1:,}. {chose}. Select a letter to see why."


def status_html(wanted):
    line = f"seed {wanted.link.settings[-1]}, the same random numbers for all"
    if not (query := wanted.query()):
        return status_line(f"{line}; too long for a link")
    return status_line(line, f' · <a class="link" href="{escape(query)}">link to this</a>')


def bits_html(texts, bits):
    """Return a table of what each reader finds surprising, and a sentence on it."""
    names = [writer_name(written.writer) for written in texts]
    numbers = sorted({reader for reader, _ in bits})
    head = "".join(f"<th scope=col>text of {escape(names[n])}</th>" for n in numbers)
    rows = "".join(
        f"<tr><th scope=row>{escape(names[reader])} reads</th>"
        + "".join(cell_html(bits[reader, n][0], reader == n) for n in numbers)
        + "</tr>"
        for reader in numbers
    )
    return (
        f"<p>{escape(most_surprised(names, bits))}</p>"
        '<div class="bits" tabindex="0" role="region" aria-label="Bits per letter"><table>'
        "<caption>Bits per letter: how much a text surprises its reader</caption>"
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
        f"<p class=status>{NOTE}</p>{unknown_html(names, bits)}"
    )


def cell_html(bits, is_own):
    shown = "–" if bits is None else f"{bits:.2f}"
    return f"<td{' class=own' if is_own else ''}>{shown}</td>"


def most_surprised(names, bits):
    """Return a sentence on the reader for whom a text differs most from its own."""
    known = {pair: b for pair, (b, _) in bits.items() if b is not None}
    pairs = [(r, t) for r, t in known if r != t and (r, r) in known]
    if not pairs:
        return ""
    reader, text = max(pairs, key=lambda pair: abs(known[pair] - known[pair[0], pair[0]]))
    other, own = (f"{known[pair]:.2f}" for pair in ((reader, text), (reader, reader)))
    if other == own:
        kind = f"as surprising as its own ({own} bits a letter)"
        return f"{names[reader]} finds {names[text]}’s text {kind}."
    kind = "more" if float(other) > float(own) else "less"
    return (
        f"{names[reader]} finds {names[text]}’s text {kind} surprising ({other} bits a letter) than"
        f" its own ({own})."
    )


def unknown_html(names, bits):
    """Return sentences on the characters that readers do not know."""
    unknown = {}
    for (reader, _), (_, dropped) in bits.items():
        unknown.setdefault(reader, {}).update(dict.fromkeys(dropped))
    return notices_html(
        [
            f"{names[reader]} does not know {shown_chars(chars)}; it read the texts without them."
            for reader, chars in unknown.items()
            if chars
        ]
    )


def shown_chars(chars):
    """Return characters in a sentence, the first 20 of them."""
    first = " ".join(c if c.isprintable() else f"U+{ord(c):04X}" for c in list(chars)[:20])
    return first + " and others" * (len(chars) > 20)


def compared_chances_html(found, texts, index):
    """Return the Chances of a letter beside each other. `texts`: of the writers."""
    columns = "".join(
        f"<div><h3>{escape(writer_name(chances.writer))}</h3>{chances_of_html(chances)}</div>"
        for chances in found
    )
    numbers = {c.alternatives["uniform"] for c in found if c.alternatives}
    count = sum(chances.alternatives is not None for chances in found)
    introduction = contexts(texts, index, count) + random_number(numbers)
    return (
        f'<section class="panel" data-index="{index}"><p class="look-for">{introduction}</p>'
        f'<div class="side-by-side">{columns}</div></section>'
    )


def contexts(texts, index, count):
    """Return a sentence on what the writers had read before a letter."""
    before = {text[:index] for text in texts if text}
    if len(before) == 1:
        every = {2: "both", 3: "all three"}.get(count, "the model")
        return f"Letter {index + 1:,}: {every} had the same text to predict it from."
    return (
        f"Letter {index + 1:,} comes after the first difference: each predicts it from <b>its own"
        " text</b>, so these chances answer different questions."
    )


def random_number(numbers):
    """Return a sentence on the random numbers of a letter; `numbers`: the distinct ones."""
    if not numbers:
        return ""
    if len(numbers) > 1:
        return " Their prompts differ in length, so the random numbers differ."
    return f" The random number is the same, {numbers.pop():.3f}."


def chances_of_html(chances):
    if chances.error:
        return notices_html([sentence(chances.error)])
    inspected = chances.inspected
    vocabulary = inspected.tokenizer.chars
    return chances_html(chances.alternatives, inspected.text, inspected.index, vocabulary, False)
