import re

import pytest

from charlm.ui.loss_chart import (
    MAX_POINTS,
    Axes,
    Curve,
    fit_axes,
    loss_chart_html,
    loss_ticks,
    round_numbers,
    step_ticks,
    thin,
)

REFERENCES = {"uniform": 4.17, "unigram": 3.3, "bigram": 2.5, "lecture": 1.5492}
FALLING = Curve(
    "fast",
    tuple((n, 4 / (1 + n / 50)) for n in range(10, 501, 10)),
    ((0, 4.17), (250, 1.9), (500, 1.5)),
)


def chart(curves, references, last_step, log_steps=False):
    axes = fit_axes(curves, references, last_step, log_steps)
    return loss_chart_html(curves, references, axes)


def numbers(d):
    return [tuple(map(float, point.split())) for point in re.split("[ML]", d) if point]


def path_of(html, kind):
    return numbers(re.search(rf'<path class="{kind}" d="([^"]*)"', html)[1])


def test_a_falling_loss_is_drawn_from_left_to_right_and_downwards():
    html = chart([FALLING], REFERENCES, 500)
    for kind in ("train", "val"):
        points = path_of(html, kind)
        assert points == sorted(points)
        assert [y for _, y in points] == sorted(y for _, y in points)
        assert all(0 <= v <= 1000 for point in points for v in point)
    assert html.count('<i class="dot"') == 3
    for label in ("blind chance 4.17", "bigram counts 2.50", "the lecture 1.5492"):
        assert label in html
    assert (
        "validation loss from 4.17 at step 0 to 1.5000 at step 500, as unsure as between 4.5"
        in html
    )
    assert 'title="step 250: validation loss 1.9000, as unsure as between 6.7 letters"' in html
    for loss, letters in (("blind chance 4.17", "65"), ("the lecture 1.5492", "4.7"), ("2", "7.4")):
        assert re.search(rf'title="as unsure as between {letters} letters">{loss}</span>', html)


def test_a_run_that_is_half_done_takes_half_the_width():
    half = Curve("fast", tuple(p for p in FALLING.train if p[0] <= 250), FALLING.val[:2])
    assert path_of(chart([half], REFERENCES, 500), "val")[-1][0] == pytest.approx(500)
    assert path_of(chart([half], REFERENCES, 500, True), "val")[-1][0] > 850


@pytest.mark.parametrize(
    "curve",
    [
        Curve("empty", (), ()),
        Curve("one", (), ((0, 4.0),)),
        Curve("flat", ((1, 0.0), (2, 0.0)), ((0, 0.0),)),
        Curve("diverging", ((1, 1e30),), ((0, 4.0), (1, 1e30))),
    ],
)
@pytest.mark.parametrize("references", [{}, REFERENCES])
@pytest.mark.parametrize("log_steps", [False, True])
def test_unusual_curves_are_drawn_without_nan_or_infinity(curve, references, log_steps):
    html = chart([curve, FALLING], references, 0, log_steps)
    assert "nan" not in html.replace("nance", "")
    assert "inf" not in html


def test_run_names_are_escaped():
    html = chart([Curve("<b>x</b>", (), ()), Curve('"><script>', (), ())], {}, 10)
    assert "<b>" not in html
    assert "<script>" not in html


def test_a_long_curve_is_thinned_to_means():
    axes = Axes(100_000, 1.0, 4.0, False)
    points = [(n, 2.0 + (n % 2)) for n in range(100_000)]
    thinned = thin(axes, points)
    assert len(thinned) <= MAX_POINTS + 1
    assert all(loss == pytest.approx(2.5, abs=0.01) for _, loss in thinned)
    long = Curve("long", tuple(points), tuple(points))
    assert len(chart([long], {}, 100_000)) < 20_000


def test_ticks_are_at_round_numbers():
    assert round_numbers(0, 540, 5) == [0, 100, 200, 300, 400, 500]
    assert round_numbers(1.43, 1.62, 5) == [1.45, 1.5, 1.55, 1.6]
    assert loss_ticks(Axes(1, 1.0, 4.5, False)) == [1, 1.5, 2, 3, 4]
    assert step_ticks(Axes(540, 1, 4, False)) == [0, 100, 200, 300, 400, 500]
    assert step_ticks(Axes(540, 1, 4, True)) == [0, 1, 10, 100]


def test_losses_far_above_chance_are_drawn_outside_the_plot():
    axes = fit_axes([Curve("x", ((1, 50.0),), ((0, 4.2),))], REFERENCES, 10, False)
    assert axes.high < 6
    assert axes.y(50.0) < 0
