"""The notices of the form that starts a run."""

import pytest

from charlm.ui.watch_events import writing_progress


@pytest.mark.parametrize(
    ("done", "seconds", "progress"),
    [
        (0.0, 3.0, "0%"),
        (0.4, 8.0, "40%, about 12 s left"),
        (0.1, 9.0, "10%, about 1 min 21 s left"),
        (1.0, 20.0, "100%, about 0 s left"),
    ],
)
def test_the_time_left_follows_from_the_time_taken(done, seconds, progress):
    assert writing_progress(done, seconds) == f"A text to learn from is being written: {progress}"
