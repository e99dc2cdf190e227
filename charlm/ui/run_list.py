"""The list of all runs: their order and their labels, as pure functions of their statuses."""

import math
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from charlm.data.corpus import NAME
from charlm.data.perplexity import unsure_between
from charlm.ui.figures import round_figure

NEWEST, LOWEST = "Newest first", "Lowest loss first"


def in_order(statuses, order):
    """Return statuses by the time at which the runs began, or by loss; unknown ones come last."""
    return sorted(statuses, key=loss_rank if order == LOWEST else age_rank)


def loss_rank(status):
    return math.inf if status.val_loss is None else status.val_loss


def age_rank(status):
    """Return a number that is smaller for newer runs; a run that has not begun is newest."""
    if status.started is None:
        return -math.inf if status.state in ("waiting", "starting") else 0
    return -status.started


def run_label(status, zone, now):
    """Return the entry of a run: its name and state on one line, its details on the next.

    `zone`: the visitor's time zone, "Europe/Berlin"; dates are in UTC if it is unknown. `now`:
    Unix time.
    """
    details = " · ".join(run_details(status, zone, now))
    return f"{status.name} · {run_state(status)}\n{details}".strip()


def run_state(status):
    """Return the state of a run, with its progress and its loss as far as they are known."""
    if status.state == "waiting":
        return f"waits, number {status.queue_position}"
    loss = [] if status.val_loss is None else [f"{status.val_loss:.4f}"]
    if status.state == "finished" and loss:
        return loss[0]
    moving = status.state in ("running", "paused") and status.steps
    progress = [f"{100 * status.step // status.steps} %"] if moving else []
    return ", ".join([status.state, *progress, *loss])


def run_details(status, zone, now):
    """Yield when a run began, on which text, how large its model is, and what its loss means."""
    if status.started is not None:
        yield date_label(status.started, zone, now)
    if status.data_name:
        yield text_name(status.data_name)
    if status.parameters is not None:
        yield f"{round_figure(status.parameters)} parameters"
    if status.val_loss is not None:
        yield unsure_between(status.val_loss)


def text_name(data_name):
    """Return how the page calls a training text, on one line."""
    return "Tiny Shakespeare" if data_name == NAME else " ".join(data_name.split())


def date_label(seconds, zone, now):
    """Return a Unix time as "28 Nov, 13:05"; with the year unless it is that of `now`."""
    try:
        known = ZoneInfo(zone)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        known = UTC
    date, today = (datetime.fromtimestamp(t, known) for t in (seconds, now))
    year = "" if date.year == today.year else f" {date.year}"
    return f"{date.day} {date:%b}{year}, {date:%H:%M}" + " UTC" * (known is UTC)
