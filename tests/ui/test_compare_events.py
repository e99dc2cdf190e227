"""The events of the mode Compare, without a browser."""

import asyncio
from dataclasses import astuple
from types import SimpleNamespace

import pytest

from charlm.config import SampleConfig
from charlm.hub.follow import HubFollowers
from charlm.serving.clients import NOBODY
from charlm.serving.comparison import Writer
from charlm.serving.library import Library
from charlm.serving.limits import Limits
from charlm.ui import compare_events, readers
from charlm.ui.compare_events import comparison_updates
from charlm.ui.compare_request import ComparisonRequest
from charlm.ui.link import Link


@pytest.mark.parametrize("read", [0, 1, 10**9])
def test_no_text_is_scored_for_a_visitor_who_left(model_directory, monkeypatch, read):
    """`read`: after how many updates they leave."""
    scored, updates = [], []

    async def surprises(*place):
        scored.append(place)
        return {}

    monkeypatch.setattr(compare_events, "surprises", surprises)
    monkeypatch.setattr(readers, "READ_WITHIN", -1)
    reader = SimpleNamespace(is_absent=lambda session: len(updates) >= read)
    library = Library(model_directory.parent, HubFollowers(), Limits())
    link = Link("KING:\n", "small", "", astuple(SampleConfig(200, seed=1)))
    wanted = ComparisonRequest(link, (Writer("small"), Writer("small", "0")))

    async def watch():
        place = library, NOBODY, wanted, lambda: False, reader, "session"
        async for update in comparison_updates(*place):
            updates.append(update)

    asyncio.run(watch())
    assert len(scored) == (read == 10**9)
    assert len(updates) == read or scored
