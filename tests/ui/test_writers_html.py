"""The choice of the writers of a comparison among the bundled models."""

import re

import pytest
from programs import REPOSITORY

from charlm.hub.follow import HubFollowers
from charlm.serving.comparison import Writer
from charlm.serving.library import BUNDLED, Library
from charlm.serving.limits import Limits
from charlm.ui.compare_request import MAX_WRITERS
from charlm.ui.writers_html import default_writers, presets, writers_html


@pytest.fixture(scope="module")
def library():
    return Library(REPOSITORY / "checkpoints", HubFollowers(), Limits())


@pytest.mark.parametrize("model", [*BUNDLED, "two-minutes#0"])
def test_no_more_than_three_bundled_models_are_chosen(library, model):
    writers = default_writers(library, model)
    assert len(writers) == len(set(writers)) == MAX_WRITERS == 3
    assert writers[0] == Writer(model)
    options = presets(library, model)
    assert all(2 <= len(preset) <= MAX_WRITERS for _, preset in options)
    assert all(library.has(writer["model"]) for _, preset in options for writer in preset)
    lecture = ["bigram", "gpt", "shakespeare"]
    assert options[0] == (", ".join(lecture), [{"model": name} for name in lecture])
    steps = [f"two-minutes#{step}" for step in (0, 38, 540)]
    label = "two-minutes at steps 0, 38, 540"
    assert options[-1] == (label, [{"model": name} for name in steps])


def test_the_steps_of_a_writer_with_snapshots_are_offered(library):
    html = writers_html(library, (Writer("shakespeare"), Writer("two-minutes#38")))
    assert 'id="writer-0-step"' not in html
    select = re.search(r'<select id="writer-1-step".*?</select>', html)[0]
    steps = [str(step) for step in library.snapshots("two-minutes")]
    assert re.findall('value="([^"]*)">', select) == ["38", "", *steps]
    assert len(steps) == 10 and 'id="writer-2-step"' not in html
