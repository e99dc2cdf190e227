"""Loss curves as HTML: a pure function of what runs tell, drawn to any width without a script.

Lines are SVG in a box of 1000 by 1000 that is stretched to whatever room there is; words and dots
are HTML laid over it, which keep their size.
"""

import math
from dataclasses import dataclass
from html import escape

BUCKETS = 240  # points of a curve, at most
REFERENCES = {
    "uniform": "blind chance",
    "unigram": "character frequencies",
    "bigram": "bigram counts",
    "lecture": "the lecture",
}


@dataclass(frozen=True)
class Curve:
    """A run's losses, in nats per character, as tuples of (step, loss)."""

    name: str
    train: tuple
    val: tuple


@dataclass(frozen=True)
class Frame:
    """Where on the plot, in shares of its width and height, a step and a loss are.

    Losses are drawn by their logarithm: a tenth less is as far at the end as at the beginning.
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
        share = math.log(self.high / max(loss, 1e-9)) / math.log(self.high / self.low)
        return min(1.02, max(-0.02, share))


def loss_chart_html(curves, references, last_step, log_steps=False):
    """Runs laid over each other, the first one in full, the others' validation loss alone.

    `references`: losses by the names in REFERENCES. `last_step`: where the first run will end.
    """
    frame = frame_of(curves, references, last_step, log_steps)
    main, *others = curves
    lines = [
        *(f'<path class="reference" d="{level(frame, loss)}"/>' for loss in references.values()),
        f'<path class="train" d="{path(frame, thin(frame, main.train))}"/>',
        *(
            f'<path class="val other-{i % 4}" d="{path(frame, thin(frame, other.val))}"/>'
            for i, other in enumerate(others)
        ),
        f'<path class="val" d="{path(frame, thin(frame, main.val))}"/>',
    ]
    labels = [reference_label(frame, name, loss) for name, loss in references.items()]
    few = main.val if len(main.val) <= BUCKETS else ()
    dots = [dot(frame, step, loss) for step, loss in few]
    return (
        f'<figure class="curve"><div class="plot" role="img" aria-label="{escape(summary(main))}">'
        f'<svg viewBox="0 0 1000 1000" preserveAspectRatio="none" aria-hidden="true">'
        f"{''.join(lines)}</svg>{''.join([*axis_labels(frame), *labels, *dots])}</div>"
        f"<figcaption>{legend(main, others)}</figcaption></figure>"
    )


def frame_of(curves, references, last_step, log_steps):
    """A Frame with room for all curves, but for losses far above chance or close to nothing."""
    steps = [step for curve in curves for step, _ in (*curve.train, *curve.val)]
    losses = [loss for curve in curves for _, loss in (*curve.train, *curve.val)]
    losses += references.values()
    high = 1.06 * min(max(losses, default=4.0), 1.25 * references.get("uniform", math.inf))
    low = max(min(losses, default=1.0), high / 40) / 1.06
    return Frame(max(1, last_step, *steps), min(low, high / 1.5), high, log_steps)


def thin(frame, points):
    """At most BUCKETS points, each the mean of those that would be drawn at about its place."""
    buckets = {}
    for step, loss in points:
        buckets.setdefault(int(frame.x(step) * BUCKETS), []).append((step, loss))
    return [
        (sum(s for s, _ in inside) / len(inside), sum(v for _, v in inside) / len(inside))
        for inside in buckets.values()
    ]


def path(frame, points):
    """An SVG path through (step, loss)."""
    places = (f"{1000 * frame.x(s):.1f} {1000 * frame.y(loss):.1f}" for s, loss in points)
    return "M" + "L".join(places) if points else ""


def level(frame, loss):
    y = 1000 * frame.y(loss)
    return f"M0 {y:.1f}L1000 {y:.1f}"


def reference_label(frame, name, loss):
    told = (
        f"{REFERENCES[name]} {loss:.4f}" if name == "lecture" else f"{REFERENCES[name]} {loss:.2f}"
    )
    return f'<span class="reference" style="top:{100 * frame.y(loss):.2f}%">{escape(told)}</span>'


def dot(frame, step, loss):
    place = f"left:{100 * frame.x(step):.2f}%;top:{100 * frame.y(loss):.2f}%"
    return f'<i class="dot" style="{place}" title="step {step:,}: validation loss {loss:.4f}"></i>'


def axis_labels(frame):
    """Steps below and losses at the left, at round numbers."""
    for step in step_ticks(frame):
        place = f"left:{100 * frame.x(step):.2f}%"
        yield f'<span class="step" style="{place}">{step:,}</span>'
    for loss in loss_ticks(frame):
        yield f'<span class="loss" style="top:{100 * frame.y(loss):.2f}%">{loss:g}</span>'


def step_ticks(frame):
    if not frame.log_steps:
        return [round(s) for s in round_numbers(0, frame.last_step, 5) if s == round(s)]
    return [0, *(10**n for n in range(int(math.log10(frame.last_step)) + 1))]


def loss_ticks(frame):
    """Numbers that are round and far enough apart on a logarithmic axis."""
    if frame.high / frame.low < 2:
        return round_numbers(frame.low, frame.high, 5)
    steps = (1, 1.5, 2, 3, 4, 5, 7) if frame.high / frame.low < 10 else (1, 2, 5)
    ticks = [round(10.0**power * step, 10) for power in range(-3, 3) for step in steps]
    return [tick for tick in ticks if frame.low <= tick <= frame.high]


def round_numbers(low, high, about):
    """Multiples of 1, 2 or 5 times a power of ten from `low` to `high`, some `about` of them."""
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= rough * 0.7)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(n * step, 10) for n in range(first, last + 1)]


def legend(main, others):
    entries = [("train", "training loss"), ("val", "validation loss")]
    if others:
        entries[1] = ("val", f"validation loss of {main.name}")
        entries += [(f"val other-{i % 4}", other.name) for i, other in enumerate(others)]
    drawn = (
        f'<span><svg viewBox="0 0 30 10" aria-hidden="true"><path class="{kind}" d="M0 5L30 5"/>'
        f"</svg>{escape(told)}</span>"
        for kind, told in entries
    )
    return "".join(drawn) + "<span>nats per character, by step</span>"


def summary(curve):
    """The curve in words, for whoever cannot see it."""
    if not curve.val:
        return f"{curve.name}: no evaluation yet"
    (first, before), (last, after) = curve.val[0], curve.val[-1]
    return (
        f"{curve.name}: validation loss from {before:.2f} at step {first:,}"
        f" to {after:.4f} at step {last:,}"
    )
