"""The scheduler's policy, with plain objects for streams."""

import time
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from charlm.generation.scheduler import AdmissionError, Scheduler


@dataclass(eq=False)
class FakeStream:
    name: str
    client: object = None
    session: object = None
    error: Exception | None = None
    ended: bool = False
    stopped: bool = False
    slice_chars: int = 0
    start_time: float | None = None


def make_scheduler(**changes):
    limits = {"max_streams": 2, "max_queue": 3, "time_slice": 10, "max_seconds": 60}
    return Scheduler(SimpleNamespace(**(limits | {"max_per_visitor": 2} | changes)))


def submit(scheduler, names, client=None, session=None):
    streams = [FakeStream(name, client, session) for name in names]
    for stream in streams:
        scheduler.submit(stream)
    return streams


def names(streams):
    return "".join(stream.name for stream in streams)


def test_streams_start_in_the_order_they_came_while_there_is_room():
    scheduler = make_scheduler()
    submit(scheduler, "abc")
    changes = scheduler.schedule(now=1.0)
    assert (names(changes.add), names(changes.remove)) == ("ab", "")
    assert names(scheduler.waiting) == "c"
    assert all(stream.start_time == 1.0 for stream in changes.add)
    assert not any(scheduler.schedule(now=2.0))


def test_an_ended_stream_makes_room():
    scheduler = make_scheduler()
    a, *_ = submit(scheduler, "abc")
    scheduler.schedule(now=0.0)
    a.ended = True
    changes = scheduler.schedule(now=1.0)
    assert (names(changes.remove), names(changes.add)) == ("a", "c")
    assert len(scheduler) == 2


def test_a_stream_is_preempted_after_its_time_slice_if_others_wait():
    scheduler = make_scheduler()
    a, b, c = submit(scheduler, "abc")
    scheduler.schedule(now=0.0)
    b.slice_chars = 10
    changes = scheduler.schedule(now=1.0)
    assert (names(changes.remove), names(changes.add)) == ("b", "c")
    assert names(scheduler.waiting) == "b"
    a.slice_chars = c.slice_chars = 9
    assert not any(scheduler.schedule(now=2.0))
    c.ended = True
    scheduler.schedule(now=3.0)
    assert (b.slice_chars, b.start_time) == (0, 0.0), "a new slice, of the same stream"


def test_no_stream_is_preempted_while_none_waits():
    scheduler = make_scheduler()
    a, _ = submit(scheduler, "ab")
    scheduler.schedule(now=0.0)
    a.slice_chars = 1000
    assert not any(scheduler.schedule(now=1.0))


def test_streams_run_in_rotation():
    scheduler = make_scheduler(max_streams=1, max_queue=10)
    submit(scheduler, "abcd")
    order = ""
    for now in range(12):
        order += names(scheduler.schedule(now=now).add)
        scheduler.running[0].slice_chars = 10
    assert order == "abcd" * 3


def test_a_stream_that_ended_in_the_queue_never_starts():
    scheduler = make_scheduler(max_streams=1)
    _, b, _ = submit(scheduler, "abc")
    b.ended = True
    scheduler.schedule(now=0.0)
    assert names(scheduler.waiting) == "c"


def test_queue_positions_count_from_one():
    scheduler = make_scheduler(max_streams=1)
    a, b, c = submit(scheduler, "abc")
    scheduler.schedule(now=0.0)
    assert [scheduler.queue_position(stream) for stream in (a, b, c)] == [0, 1, 2]


def test_the_queue_is_bounded_by_streams_that_still_wait():
    scheduler = make_scheduler()
    streams = submit(scheduler, "abc")
    with pytest.raises(AdmissionError, match="3 wait in line already"):
        submit(scheduler, "d")
    streams[0].ended = True
    submit(scheduler, "d")


def test_a_client_has_a_bounded_number_of_streams():
    scheduler = make_scheduler()
    first, _ = submit(scheduler, "ab", session="ann")
    with pytest.raises(AdmissionError, match="2 texts are being written for you already"):
        submit(scheduler, "c", session="ann")
    submit(scheduler, "d", session="bob")
    first.ended = True
    scheduler.schedule(now=0.0)
    submit(scheduler, "e", session="ann")


def test_a_stream_is_stopped_after_max_seconds():
    scheduler = make_scheduler()
    (a,) = submit(scheduler, "a")
    scheduler.schedule(now=0.0)
    scheduler.schedule(now=60.0)
    assert not a.stopped
    scheduler.schedule(now=60.1)
    assert a.stopped


def test_clear_returns_every_stream():
    scheduler = make_scheduler()
    submit(scheduler, "abc")
    scheduler.schedule(now=0.0)
    assert sorted(names(scheduler.clear())) == ["a", "b", "c"]
    assert len(scheduler) == 0


def test_clients_and_their_sessions_are_served_in_turn():
    scheduler = make_scheduler(max_streams=1, max_queue=10, max_per_visitor=3)
    submit(scheduler, "abc", "A", 1)
    submit(scheduler, "de", "A", 2)
    submit(scheduler, "x", "B", 3)
    order = ""
    while len(scheduler):
        order += names(scheduler.schedule(now=0.0).add)
        scheduler.running[0].ended = True
        scheduler.schedule(now=0.0) if not scheduler.waiting else None
    assert order == "axdbec"


def test_a_client_alone_uses_all_and_beside_another_its_share():
    scheduler = make_scheduler(max_streams=16, max_queue=100)
    many = submit(scheduler, "a" * 40, "A")
    assert len(scheduler.schedule(now=0.0).add) == 16
    (other,) = submit(scheduler, "x", "B")
    changes = scheduler.schedule(now=1.0)
    assert changes.add == [other]
    assert len(changes.remove) == 14
    assert sum(stream in scheduler.running for stream in many) == 2
    other.ended = True
    scheduler.schedule(now=2.0)
    assert sum(stream in scheduler.running for stream in many) == 16


def test_beside_many_clients_each_runs_one():
    scheduler = make_scheduler(max_streams=4, max_queue=100)
    for client in range(10):
        submit(scheduler, "ab", client)
    assert names(scheduler.schedule(now=0.0).add) == "aaaa"
    for stream in scheduler.running:
        stream.slice_chars = 10
    scheduler.schedule(now=1.0)
    assert [stream.client for stream in scheduler.running] == [4, 5, 6, 7]


def test_a_full_queue_makes_room_for_a_client_that_has_less():
    scheduler = make_scheduler(max_streams=1, max_queue=3)
    *_, newest = submit(scheduler, "abc", "A")
    submit(scheduler, "x", "B")
    assert "from your network at once" in str(newest.error)
    assert names(scheduler.waiting) == "axb"
    with pytest.raises(AdmissionError, match="3 wait in line already"):
        submit(scheduler, "y", "B")
    with pytest.raises(AdmissionError, match="3 wait in line already"):
        submit(scheduler, "d", "A")


def test_a_decision_among_hundreds_takes_little_time():
    scheduler = make_scheduler(max_streams=128, max_queue=400)
    for n in range(400):
        submit(scheduler, "a", n % 7, n)
    scheduler.schedule(now=0.0)
    start = time.perf_counter()
    for _ in range(100):
        scheduler.schedule(now=0.0)
    assert time.perf_counter() - start < 0.2, "two milliseconds each on a busy machine"
