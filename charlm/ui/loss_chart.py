"""Loss curves as HTML: pure functions that draw without a script, at any width.

The lines are an SVG of 1000 by 1000 units, stretched to the width available. Labels and dots are
HTML elements placed over it, so they keep their size.
"""

import math
from dataclasses import dataclass
from html import escape

from charlm.data.perplexity import unsure_between

MAX_POINTS = 240  # of a curve
REFERENCES = {
    "uniform": "blind chance",
    "unigram": "character frequencies",
    "bigram": "bigram counts",
    "lecture": "the lecture",
    "teachers": "its teachers together",
}


@dataclass(frozen=True)
class Curve:
    """A run's losses, in nats per character, as tuples of (step, loss)."""

    name: str
    train: tuple
    val: tuple
    estimates: tuple = ()  # of the validation loss, where it was not measured

    @property
    def all_val(self):
        """The validation losses, measured and estimated, by step."""
        return tuple(sorted({**dict(self.estimates), **dict(self.val)}.items()))


@dataclass(frozen=True)
class Axes:
    """Map steps and losses to fractions of the plot's width and height, from the top left.

    The loss axis is logarithmic: a drop of a tenth is as high at the end as at the beginning.
    """

    last_step: int
    low: float
    high: float
    log_steps: bool

    def x(self, step):
        if self.log_steps:
            return math.log1p(step) / math.log1p(self.last_step)
        return step / self.last_step

    def y(self, loss):
        fraction = math.log(self.high / max(loss, 1e-9)) / math.log(self.high / self.low)
        return min(1.02, max(-0.02, fraction))


def loss_chart_html(curves, references, axes):
    """Return a chart of the first curve in full, and of the others' validation losses.

    `references`: losses by the names in REFERENCES. `axes`: see fit_axes.
    """
    main, *others = curves
    lines = [
        *(f'<path class="reference" d="{level_path(axes, y)}"/>' for y in references.values()),
        f'<path class="train" d="{curve_path(axes, thin(axes, main.train))}"/>',
        *(
            f'<path class="val other-{i % 4}" d="{curve_path(axes, thin(axes, other.all_val))}"/>'
            for i, other in enumerate(others)
        ),
        f'<path class="val" d="{curve_path(axes, thin(axes, main.all_val))}"/>',
    ]
    labels = [reference_label(axes, name, loss) for name, loss in references.items()]
    dotted = main.all_val if len(main.all_val) <= MAX_POINTS else ()
    dots = [dot(axes, step, loss, (step, loss) in main.val) for step, loss in dotted]
    return (
        f'<figure class="curve"><div class="plot" role="img" aria-label="{escape(alt_text(main))}">'
        f'<svg viewBox="0 0 1000 1000" preserveAspectRatio="none" aria-hidden="true">'
        f"{''.join(lines)}</svg>{''.join([*axis_labels(axes), *labels, *dots])}</div>"
        f"<figcaption>{legend(main, others)}</figcaption></figure>"
    )


def fit_axes(curves, references, last_step, log_steps):
    """Return Axes with room for all curves, except losses far above chance or close to zero.

    `last_step`: the step at which the first run will end.
    """
    steps = [step for curve in curves for step, _ in (*curve.train, *curve.all_val)]
    losses = [loss for curve in curves for _, loss in (*curve.train, *curve.all_val)]
    losses += references.values()
    high = 1.06 * min(max(losses, default=4.0), 1.25 * references.get("uniform", math.inf))
    high = max(high, 1e-3)  # a log may hold no loss above zero
    low = max(min(losses, default=1.0), high / 40) / 1.06
    return Axes(max(1, last_step, *steps), min(low, high / 1.5), high, log_steps)


def thin(axes, points):
    """Return at most MAX_POINTS points, each the mean of neighbours that would overlap."""
    buckets = {}
    for step, loss in points:
        buckets.setdefault(int(axes.x(step) * MAX_POINTS), []).append((step, loss))
    return [
        (sum(s for s, _ in inside) / len(inside), sum(v for _, v in inside) / len(inside))
        for inside in buckets.values()
    ]


def curve_path(axes, points):
    """Return the SVG path through (step, loss) points."""
    coordinates = (f"{1000 * axes.x(s):.1f} {1000 * axes.y(loss):.1f}" for s, loss in points)
    return "M" + "L".join(coordinates) if points else ""


def level_path(axes, loss):
    y = 1000 * axes.y(loss)
    return f"M0 {y:.1f}L1000 {y:.1f}"


def reference_label(axes, name, loss):
    digits = 4 if name == "lecture" else 2
    label = escape(f"{REFERENCES[name]} {loss:.{digits}f}")
    style = f"top:{100 * axes.y(loss):.2f}%"
    return f'<span class="reference" style="{style}"{title(loss)}>{label}</span>'


def title(loss, before=""):
    """Return the attribute with which a loss is said in words when it is pointed at."""
    return f' title="{before}{unsure_between(loss)}"'


def dot(axes, step, loss, is_measured):
    position = f"left:{100 * axes.x(step):.2f}%;top:{100 * axes.y(loss):.2f}%"
    kind, figure = ("dot", f"{loss:.4f}") if is_measured else ("dot about", f"about {loss:.2f}")
    words = title(loss, f"step {step:,}: validation loss {figure}, ")
    return f'<i class="{kind}" style="{position}"{words}></i>'


def axis_labels(axes):
    """Yield labels at round numbers: steps below the plot, losses at its left."""
    for step in step_ticks(axes):
        yield f'<span class="step" style="left:{100 * axes.x(step):.2f}%">{step:,}</span>'
    for loss in loss_ticks(axes):
        style = f"top:{100 * axes.y(loss):.2f}%"
        yield f'<span class="loss" style="{style}"{title(loss)}>{loss:g}</span>'


def step_ticks(axes):
    if not axes.log_steps:
        return [round(s) for s in round_numbers(0, axes.last_step, 5) if s == round(s)]
    return [0, *(10**n for n in range(int(math.log10(axes.last_step)) + 1))]


def loss_ticks(axes):
    """Return round numbers that are far enough apart on a logarithmic axis."""
    if axes.high / axes.low < 2:
        return round_numbers(axes.low, axes.high, 5)
    multiples = (1, 1.5, 2, 3, 4, 5, 7) if axes.high / axes.low < 10 else (1, 2, 5)
    ticks = [round(10.0**power * multiple, 10) for power in range(-3, 3) for multiple in multiples]
    return [tick for tick in ticks if axes.low <= tick <= axes.high]


def round_numbers(low, high, count):
    """Return about `count` multiples of 1, 2 or 5 times a power of ten, from `low` to `high`."""
    rough_step = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough_step))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= rough_step * 0.7)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(n * step, 10) for n in range(first, last + 1)]


def legend(main, others):
    entries = [("train", "training loss"), ("val", "validation loss")]
    if others:
        entries[1] = ("val", f"validation loss of {main.name}")
        entries += [(f"val other-{i % 4}", other.name) for i, other in enumerate(others)]
    spans = (
        f'<span><svg viewBox="0 0 30 10" aria-hidden="true"><path class="{kind}" d="M0 5L30 5"/>'
        f"</svg>{escape(label)}</span>"
        for kind, label in entries
    )
    estimated = '<span><i class="dot about"></i>estimated</span>' if main.estimates else ""
    return "".join(spans) + estimated + "<span>nats per character, by step</span>"


def alt_text(curve):
    """Return the curve in words, for screen readers."""
    if not curve.val:
        return f"{curve.name}: no evaluation yet"
    (first, before), (last, after) = curve.val[0], curve.val[-1]
    return (
        f"{curve.name}: validation loss from {before:.2f} at step {first:,}"
        f" to {after:.4f} at step {last:,}, {unsure_between(after)}"
    )
