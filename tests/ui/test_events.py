"""The errors of the page's events."""

import errno

import gradio as gr
import pytest

from charlm.data.corpus import DataError
from charlm.ui.events import visitor_errors


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            DataError("cannot read the text /srv/secret/x.txt: No such file"),
            "text x.txt: No such file",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device", "/srv/secret/x"),
            "cannot write x: No space",
        ),
        (DataError("name is '<b>'"), "name is '&lt;b>'"),
    ],
)
def test_a_visitor_sees_what_is_wrong_and_no_path_or_markup(error, message):
    with pytest.raises(gr.Error) as raised, visitor_errors():
        raise error
    assert message in raised.value.message
    assert "secret" not in raised.value.message
