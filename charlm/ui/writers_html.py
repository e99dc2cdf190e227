"""The form of the mode Compare, in which a visitor chooses the writers, as HTML."""

import json
from html import escape
from types import SimpleNamespace

from charlm.errors import CharlmError
from charlm.models import checkpoint
from charlm.models.parts import parts_of
from charlm.models.snapshots import split_step
from charlm.serving.comparison import Writer
from charlm.serving.library import BUNDLED
from charlm.ui.inside_html import part_name

ORDINALS = ("First", "Second", "Third")
LECTURE = ("bigram", "gpt", "shakespeare")  # the bundled models in the order of the lecture


def default_writers(library, model):
    """Return the Writers of a comparison whose first one is `model`."""
    others = [name for name in BUNDLED if name != model and name in library.names()]
    if others:
        return tuple(map(Writer, [model, *others][: len(ORDINALS)]))
    return Writer(model), Writer(model, next(iter(whole_blocks(library, model)), ""))


def writers_html(library, writers):
    """Return the form with these Writers chosen, and buttons for comparisons worth a look."""
    rows = "".join(
        writer_html(library, n, writers[n] if n < len(writers) else Writer(""))
        for n in range(len(ORDINALS))
    )
    buttons = "".join(
        f'<button type="button" class="pill" data-writers="{escape(json.dumps(preset))}">'
        f"{escape(label)}</button>"
        for label, preset in presets(library, writers[0].model)
    )
    return f'<div class="writers">{rows}</div><div class="presets">{buttons}</div>'


def presets(library, model):
    """Return (label, writers) of comparisons, some of them with the first model."""
    found, names, own = [], library.names(), split_step(model)[0]
    lecture = [name for name in LECTURE if name in names]
    if len(lecture) > 1:
        found.append((", ".join(lecture), [{"model": name} for name in lecture]))
    for block in whole_blocks(library, own)[:1]:
        label = f"{own}, whole and without block {block}"
        found.append((label, [{"model": own}, {"model": own, "off": block}]))
    if run := next((run for run in [own, *names] if len(steps_of(library, run)) > 1), None):
        steps = steps_of(library, run)
        steps = dict.fromkeys((steps[0], steps[len(steps) // 2], steps[-1]))
        label = f"{run} at steps {', '.join(f'{step:,}' for step in steps)}"
        found.append((label, [{"model": f"{run}#{step}"} for step in steps]))
    return found


def writer_html(library, number, writer):
    """Return the choices for one writer; the third is optional."""
    ordinal, names = ORDINALS[number], library.names()
    run, step = split_step(writer.model)
    names += [run] if run and run not in names else []
    models = [(name, name) for name in names]
    if number == len(ORDINALS) - 1:
        models = [("", "no third writer"), *models]
    html = select_html(number, "model", f"{ordinal} writer", run, options_html(models))
    if steps := steps_of(library, run):
        options = [("", "as it is now"), *((str(step), f"at step {step:,}") for step in steps)]
        value = "" if step is None else str(step)
        label = f"{ordinal} writer: step"
        html += select_html(number, "step", label, value, options_html(options))
    if parts := parts_in(library, writer.model):
        options = options_html([("", "nothing switched off")]) + part_options_html(parts)
        html += select_html(number, "off", f"{ordinal} writer: without", writer.off, options)
    return f"<div>{html}</div>"


def select_html(number, key, label, value, options):
    """Return a drop-down list; compare.js sets it to its data-value."""
    return (
        f'<select id="writer-{number}-{key}" data-key="{key}" aria-label="{label}"'
        f' data-value="{escape(value)}">{options}</select>'
    )


def options_html(pairs):
    return "".join(f'<option value="{escape(v)}">{escape(text)}</option>' for v, text in pairs)


def part_options_html(parts):
    """Return the options for the parts that can be off, in groups, one for each block."""
    blocks = {}
    for part in parts:
        blocks.setdefault(part.partition(".")[0], []).append(part)
    return "".join(
        f'<optgroup label="block {block}">'
        + options_html([(p, f"without {part_name(p).removesuffix(': all')}") for p in own])
        + "</optgroup>"
        for block, own in blocks.items()
    )


def steps_of(library, run):
    """Return the steps of a run's snapshots; none for an unknown run."""
    try:
        return library.snapshots(run)
    except CharlmError:  # its column says why
        return ()


def whole_blocks(library, model):
    """Return the blocks of a model, as parts that can be off."""
    return [part for part in parts_in(library, model) if "." not in part]


def parts_in(library, model):
    """Return the parts of a model, without loading it; none if it has none or is unknown."""
    try:
        description = checkpoint.load_description(library.path(model))
    except CharlmError:  # its column says why
        return []
    return parts_of(SimpleNamespace(kind=description.kind, config=description.model))
