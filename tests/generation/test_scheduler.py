"""The scheduler's policy, with plain objects for streams."""

import time
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charlm.generation.scheduler import FIRST_SLICE, AdmissionError, Scheduler


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
    context_length: int = 0


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
    assert len(changes.remove) == 15
    assert sum(stream in scheduler.running for stream in many) == 1
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
    start = time.process_time()
    for _ in range(100):
        scheduler.schedule(now=0.0)
    assert time.process_time() - start < 0.2, "two milliseconds each"


def test_slices_are_short_while_a_stream_waits_that_has_never_run():
    scheduler = make_scheduler(max_streams=1, time_slice=500)
    a, b = submit(scheduler, "ab")
    scheduler.schedule(now=0.0)
    a.slice_chars, a.context_length = FIRST_SLICE, FIRST_SLICE + 7
    assert names(scheduler.schedule(now=1.0).add) == "b"
    b.slice_chars, b.context_length = 499, 256
    assert not any(scheduler.schedule(now=2.0)), "the other one has its first characters"
    b.slice_chars = 500
    assert names(scheduler.schedule(now=3.0).add) == "a"


def test_a_short_slice_is_worth_reading_its_context():
    scheduler = make_scheduler(max_streams=1, time_slice=500)
    a, _ = submit(scheduler, "ab")
    scheduler.schedule(now=0.0)
    a.slice_chars, a.context_length = 99, 199
    assert not any(scheduler.schedule(now=1.0))
    a.slice_chars, a.context_length = 100, 200
    assert names(scheduler.schedule(now=2.0).add) == "b"


def test_a_new_stream_of_a_client_is_not_held_up_by_an_old_one():
    scheduler = make_scheduler(max_streams=1, time_slice=500, max_queue=9)
    a, b = submit(scheduler, "ab", "A", 1)
    scheduler.schedule(now=0.0)
    a.slice_chars = FIRST_SLICE
    scheduler.schedule(now=1.0)
    submit(scheduler, "c", "A", 2)
    assert names(scheduler.waiting) == "ac"
    b.slice_chars = FIRST_SLICE
    assert names(scheduler.schedule(now=2.0).add) == "c"


CONTEXT = 256  # characters


def simulate(scheduler, arrivals, prompt, length):
    """Generate a character of each running stream per step until all have `length`.

    `arrivals`: (step, client) of each. Returns (steps until its first character of each stream,
    characters that were read because a stream was preempted).
    """
    streams = {}  # -> its (step of arrival, characters, step of the first one)
    arrivals, read_again, step = sorted(arrivals), 0, 0
    while arrivals or len(scheduler):
        while arrivals and arrivals[0][0] <= step:
            began, client = arrivals.pop(0)
            stream = FakeStream("s", client, len(arrivals))
            scheduler.submit(stream)
            streams[stream] = [began, 0, None]
        for stream in scheduler.schedule(now=0.0).add:
            again = streams[stream][2] is not None
            stream.context_length = min(CONTEXT, prompt + streams[stream][1])
            read_again += stream.context_length if again else 0
        for stream in scheduler.running:
            state = streams[stream]
            state[1] += 1
            state[2] = step if state[2] is None else state[2]
            stream.slice_chars += 1
            stream.context_length = min(CONTEXT, stream.context_length + 1)
            stream.ended = state[1] >= length
        step += 1
        assert step < 100_000
    return [first - began for began, _, first in streams.values()], read_again


@given(
    arrivals=st.lists(st.tuples(st.integers(0, 300), st.integers(0, 5)), min_size=1, max_size=80),
    prompt=st.integers(1, CONTEXT),
    length=st.integers(1, 600),
)
@settings(max_examples=40, deadline=None)
def test_everybody_sees_text_soon_and_little_is_read_again(arrivals, prompt, length):
    scheduler = make_scheduler(max_streams=16, max_queue=100, time_slice=500)
    waits, read_again = simulate(scheduler, arrivals, prompt, length)
    clients = len({client for _, client in arrivals})
    at_a_time = 16 if clients == 1 else max(1, 16 // (8 * clients))
    rounds = len(arrivals) // at_a_time + 1
    assert max(waits) <= rounds * (max(FIRST_SLICE, prompt) + 1)
    if clients == 1:  # another one that comes may preempt at any time
        assert read_again <= 2 * len(arrivals) * length


def test_forty_visitors_with_room_for_sixteen_see_text_long_before_a_text_ends():
    scheduler = make_scheduler(max_streams=16, max_queue=100, time_slice=500)
    waits, read_again = simulate(scheduler, [(0, "school")] * 40, 7, 300)
    assert max(waits) == 2 * FIRST_SLICE
    assert read_again < 40 * 100
