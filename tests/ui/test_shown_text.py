"""The text that the page shows, and the requests that go on from it."""

import json
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.errors import CharlmError
from charlm.serving.limits import Limits
from charlm.ui.link import Link, link_from_query
from charlm.ui.shown_text import (
    BRANCH,
    CONTINUE,
    GENERATE,
    LETTER,
    LINK,
    LOOK,
    MAX_TEXT_CHARS,
    TEXT_ACTIONS,
    Shown,
    link_request,
    next_text,
    parse_request,
    shown_json,
)

LIMITS = Limits()
ALL = (*TEXT_ACTIONS, LETTER, LOOK)
SETTINGS = (300, 0.8, 0, 0.0, 0.0)


def link(prompt="KING:", seed=5, settings=SETTINGS, **changes):
    return Link(prompt, "gpt", "r1", (*settings, seed), **changes)


def sent(action, link, text, prompt_length):
    """Return what the browser sends back, parsed."""
    parts = json.loads(shown_json(link, prompt_length))
    return parse_request(json.dumps({"action": action, "text": text, **parts}), LIMITS, ALL)


SHOWN = Shown(link(), "KING:\nHo", 5)


def test_the_browser_sends_back_the_text_that_it_shows():
    assert sent(CONTINUE, link(), "KING:\nHo", 5) == (CONTINUE, SHOWN)
    assert SHOWN.written == "\nHo"
    assert parse_request("", LIMITS, ALL) == (GENERATE, None)
    assert parse_request('{"action": "letter"}', LIMITS, ALL) == (LETTER, None)


def test_the_browser_is_sent_numbers_as_the_address_spells_them():
    """It would turn 0.0 into 0, and round a seed of 19 digits."""
    shown = link(seed=2**63 - 1)
    parts = json.loads(shown_json(shown, 5))
    parts.pop("prompt_length")
    assert parts == dict(parse_qsl(shown.query().removeprefix("?")))
    assert all(isinstance(value, str) for value in parts.values())
    assert sent(CONTINUE, shown, "KING:\nHo", 5)[1].link == shown


@pytest.mark.parametrize("action", [CONTINUE, LETTER])
@pytest.mark.parametrize("seed", [-1, 5])
def test_a_text_goes_on_with_its_seed(action, seed):
    fields = link(seed=seed, settings=(200, *SETTINGS[1:]))
    new, request = next_text(action, fields, SHOWN)
    assert new == link(settings=(200, *SETTINGS[1:]))
    assert (request.prompt, request.written, request.config.seed) == ("KING:", "\nHo", 5)
    assert request.config.max_new_chars == (1 if action == LETTER else 200)
    assert request.keep_alternatives == (action == LETTER)


CHANGED = [
    link(seed=6),
    link(settings=(300, 0.5, 0, 0.0, 0.0)),
    link(settings=(300, 0.8, 3, 0.0, 0.0)),
    Link("KING:", "bigram", "r1", (*SETTINGS, -1)),
    Link("KING:", "gpt", "r2", (*SETTINGS, -1)),
]


@pytest.mark.parametrize("action", [CONTINUE, LETTER])
@pytest.mark.parametrize("fields", CHANGED)
def test_a_text_goes_on_with_other_settings_as_their_prompt(action, fields):
    new, request = next_text(action, fields, SHOWN)
    assert (request.prompt, request.written) == (new.prompt, "") == ("KING:\nHo", "")
    assert (request.model, new.revision) == (fields.model, fields.revision)
    assert request.config.seed == (fields.settings[-1] if fields.settings[-1] == 6 else 5)
    assert request.config.top_k == fields.settings[2]


def test_a_new_prompt_begins_a_new_text_letter_by_letter_but_not_with_continue():
    fields = link(prompt="QUEEN:", seed=-1)
    new, request = next_text(LETTER, fields, SHOWN)
    assert (request.prompt, request.written, request.config.max_new_chars) == ("QUEEN:", "", 1)
    assert new.settings[-1] == request.config.seed >= 0
    assert next_text(CONTINUE, fields, SHOWN)[1].prompt == "KING:"


def test_generate_and_a_first_letter_begin_with_the_prompt():
    for action, length in ((GENERATE, 300), (CONTINUE, 300), (LETTER, 1)):
        new, request = next_text(action, link(), None)
        assert new == link()
        assert (request.prompt, request.written) == ("KING:", "")
        assert request.config.max_new_chars == length


def test_a_link_shows_as_many_characters_as_were_written():
    written = link().with_written(320)
    params = dict(pair.split("=") for pair in written.query()[1:].split("&"))
    assert params["written"] == "320"
    assert "written" not in link().with_written(300).query()
    action, shown = parse_request(link_request(written), LIMITS, ALL)
    new, request = next_text(action, Link("typed since", "gpt", "r2", (*SETTINGS, -1)), shown)
    assert action == LINK
    assert (request.prompt, request.config.max_new_chars, request.config.seed) == ("KING:", 320, 5)
    assert (new.prompt, new.revision, new.settings) == ("KING:", "r2", (*SETTINGS, 5))


def test_invalid_parts_of_an_address_are_named_and_the_rest_applies():
    params = {"temperature": "9", "seed": "x", "prompt": "KING:", "top_k": "4", "written": "10"}
    found, problems = link_from_query(params, "gpt", LIMITS)
    assert found == Link("KING:", "gpt", "", (500, 0.8, 4, 0.0, 0.0, -1), 10)
    assert problems == [
        "In this address, temperature is '9'; it must be a number from 0 to 2.",
        f"In this address, seed is 'x'; it must be a whole number from -1 to {2**63 - 1:,}.",
    ]
    assert link_from_query({"tab": "watch"}, "gpt", LIMITS) == (None, [])


HOSTILE = ["[]", "1", "{", '{"action": "drop"}', "[" * 100_000, '{"a":' * 50_000, "9" * 10_000]


@pytest.mark.parametrize("text", HOSTILE)
def test_other_requests_are_refused(text):
    with pytest.raises(CharlmError, match=r"not a request of the page|action must be one of"):
        parse_request(text, LIMITS, ALL)


json_values = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)


names = [*sorted(json.loads(link_request(link()))), "index", "char", "query"]


@given(st.sampled_from(names), json_values | st.just([{}]), st.sampled_from(ALL))
def test_every_part_of_a_request_is_checked(name, value, action):
    parts = json.loads(link_request(link())) | {"action": action, name: value}
    try:
        action, shown = parse_request(json.dumps(parts), LIMITS, ALL)
    except CharlmError:
        return
    _, request = next_text(action, link(), shown)
    assert isinstance(request.prompt, str)
    assert 1 <= request.config.max_new_chars <= LIMITS.max_new_chars


def test_a_text_beyond_the_limit_is_not_continued():
    with pytest.raises(CharlmError, match="at most 20,000"):
        sent(CONTINUE, link(), "x" * (MAX_TEXT_CHARS + 1), 5)


def test_an_event_takes_only_its_own_actions():
    for allowed in ([LOOK], [LETTER]):
        with pytest.raises(CharlmError, match="action must be one of"):
            parse_request('{"action": "generate"}', LIMITS, allowed)


def test_a_selected_letter_is_written_once_more_with_what_was_before_it():
    for index, prompt, written in (
        (6, "KING:", "\n"),
        (5, "KING:", ""),
        (2, "KI", ""),
        (0, "", ""),
    ):
        shown = Shown(link(), SHOWN.text, SHOWN.prompt_length, index)
        same, request = next_text(LOOK, link(seed=9), shown)
        assert same == link()
        assert (request.prompt, request.written, request.config.seed) == (prompt, written, 5)
        assert request.config.max_new_chars == 1 and request.keep_alternatives


def test_a_branch_has_the_other_letter_and_the_same_seed():
    shown = Shown(link(), SHOWN.text, SHOWN.prompt_length, 6, "e")
    new, request = next_text(BRANCH, link(seed=9), shown)
    assert new == link(prompt="KING:\ne")
    assert (request.prompt, request.config.max_new_chars) == ("KING:\ne", 300)


def test_an_address_is_shown_again():
    parts = {"action": "address", "query": link().with_written(320).query()}
    action, shown = parse_request(json.dumps(parts), LIMITS, TEXT_ACTIONS)
    assert (action, shown.link) == (LINK, link().with_written(320))
    with pytest.raises(CharlmError, match="holds no text"):
        parse_request('{"action": "address", "query": "?tab=watch"}', LIMITS, TEXT_ACTIONS)
