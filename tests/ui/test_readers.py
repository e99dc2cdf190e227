"""Unread answers: which are kept, and which are dropped."""

import asyncio

import pytest

from charlm.ui import readers
from charlm.ui.readers import Readers


class Queue:
    """The part of Gradio's queue that Readers uses, with the messages of some sessions."""

    def __init__(self, sessions):
        self.pending_messages_per_session = dict.fromkeys(sessions)
        self.pending_event_ids_session = {}

    async def clean_events(self, session_hash):
        pass


def kept(answers):
    """Return the sessions that are kept after (session, client, answer) each, and who left."""
    queue, left = Queue(session for session, _, _ in answers), []

    async def expect():
        waiting = Readers(lambda: queue, left.append)
        for answer in answers:
            waiting.expect(*answer)
        await asyncio.sleep(0.01)

    asyncio.run(expect())
    return list(queue.pending_messages_per_session), left


LARGE = "x" * (readers.MAX_UNREAD // 2 - 10)


def test_small_answers_of_a_class_behind_one_address_are_kept():
    answers = [(f"s{n}", "1.2.3.4", ["text" * 100]) for n in range(1000)]
    assert kept(answers) == ([session for session, _, _ in answers], [])


@pytest.mark.parametrize("sessions", [["a", "b", "c"], ["a", "a", "a"]])
def test_the_oldest_of_a_clients_large_answers_are_dropped(sessions):
    left = ["a"]
    remaining = [session for session in dict.fromkeys(sessions) if session not in left]
    assert kept([(session, "1.2.3.4", LARGE) for session in sessions]) == (remaining, left)


def test_large_answers_of_one_client_do_not_touch_another():
    answers = [("honest", "1.1.1.1", LARGE), *((f"s{n}", "2.2.2.2", LARGE) for n in range(9))]
    assert kept(answers)[0] == ["honest", "s7", "s8"]


def test_an_answer_that_nobody_begins_to_read_is_dropped(monkeypatch):
    monkeypatch.setattr(readers, "READ_WITHIN", 0)
    assert kept([("a", "1.2.3.4", None)]) == ([], ["a"])


def test_a_later_answer_of_a_session_has_its_own_time(monkeypatch):
    monkeypatch.setattr(readers, "READ_WITHIN", 0.2)
    queue, left = Queue(["a"]), []

    async def read_once():
        waiting = Readers(lambda: queue, left.append)
        waiting.expect("a", "1.2.3.4", "first")
        await asyncio.sleep(0.15)
        async with waiting.reading("a", asyncio.Event().wait):
            pass
        waiting.expect("a", "1.2.3.4", "second")
        await asyncio.sleep(0.1)  # the first one's time would be over
        assert left == []
        await asyncio.sleep(0.15)
        assert left == ["a"]

    asyncio.run(read_once())
