"""The list of runs: labels and order."""

from dataclasses import replace

import pytest

from charlm.runs.status import Status
from charlm.ui.run_list import LOWEST, NEWEST, in_order, run_label

MAY = 1_780_000_000  # 28 May 2026, 20:26:40 UTC
RUN = Status("fast", "finished", 9, 9, val_loss=1.5432, started=MAY, parameters=2_690_000)
RUN = replace(RUN, data_name="tinyshakespeare")


@pytest.mark.parametrize(
    ("changes", "label"),
    [
        ({}, "fast · 1.5432\n28 May, 22:26 · Tiny Shakespeare · 2.7 million parameters"),
        (
            {"started": None, "parameters": 4225},
            "fast · 1.5432\nTiny Shakespeare · 4,225 parameters",
        ),
        ({"state": "running", "step": 4}, "fast · running, 44 %, 1.5432\n28 May"),
        ({"state": "paused", "val_loss": None}, "fast · paused, 100 %\n28 May"),
        ({"state": "stopped"}, "fast · stopped, 1.5432\n28 May"),
        ({"parameters": None}, "fast · 1.5432\n28 May, 22:26 · Tiny Shakespeare · as unsure as b"),
        ({"data_name": "two\nlines"}, "fast · 1.5432\n28 May, 22:26 · two lines · 2.7"),
    ],
)
def test_a_label_has_the_state_on_its_first_line_and_the_details_on_its_second(changes, label):
    assert run_label(replace(RUN, **changes), "Europe/Berlin", MAY).startswith(label)


def test_a_run_without_details_has_one_line():
    waiting = Status("fast", "waiting", 0, 9, queue_position=2)
    assert run_label(waiting, "Europe/Berlin", MAY) == "fast · waits, number 2"
    assert run_label(Status("bad", "failed", 0, 0), "", MAY) == "bad · failed"


@pytest.mark.parametrize(
    ("zone", "date"),
    [
        ("Asia/Tokyo", "\n29 May, 05:26 ·"),
        ("", "\n28 May, 20:26 UTC ·"),
        ("Mars/Olympus", "\n28 May, 20:26 UTC ·"),
        ("../../etc/passwd", "\n28 May, 20:26 UTC ·"),
        ("a\0b", "\n28 May, 20:26 UTC ·"),
    ],
)
def test_dates_are_in_the_visitors_time_zone_if_it_is_known(zone, date):
    assert date in run_label(RUN, zone, MAY)


def test_a_date_of_another_year_has_its_year():
    assert "\n28 May 2026, 22:26 ·" in run_label(RUN, "Europe/Berlin", MAY + 365 * 86400)
    new_year = 1_798_750_000  # 2027 in Tokyo, 2026 in Berlin
    assert " 2026," in run_label(RUN, "Asia/Tokyo", new_year)
    assert " 2026," not in run_label(RUN, "Europe/Berlin", new_year)


def test_the_runs_are_sorted_by_their_beginning_or_their_loss():
    unknown = Status("unknown", "finished", 9, 9, val_loss=1.2)
    old = Status("old", "stopped", 9, 9, started=MAY - 9, val_loss=1.4)
    new = Status("new", "running", 1, 9, started=MAY)
    waiting = Status("waiting", "waiting", 0, 9, queue_position=1)
    runs = [unknown, old, new, waiting]
    assert in_order(runs, NEWEST) == [waiting, new, old, unknown]
    assert in_order(runs, LOWEST) == [unknown, old, new, waiting]
