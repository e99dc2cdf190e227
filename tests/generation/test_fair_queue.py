"""The order in which a FairQueue serves."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.generation.fair_queue import FairQueue


def make_queue(*entries):
    """Return a queue of (item, client, session)."""
    queue = FairQueue()
    for entry in entries:
        queue.push(*entry)
    return queue


def drain(queue):
    return [queue.pop() for _ in range(len(queue))]


def test_clients_come_in_turn_and_so_do_their_sessions():
    queue = make_queue(
        *((f"a{n}", "A", 1) for n in range(3)), ("b0", "A", 2), ("x0", "B", 3), ("x1", "B", 3)
    )
    expected = ["a0", "x0", "b0", "x1", "a1", "a2"]
    assert list(queue) == expected
    assert [queue.position(item) for item in expected] == [1, 2, 3, 4, 5, 6]
    assert drain(queue) == expected
    assert len(queue) == 0 == queue.position("a0")


def test_what_is_taken_out_of_turn_counts_as_served():
    queue = make_queue(("a0", "A"), ("a1", "A"), ("b0", "B"), ("b1", "B"))
    queue.take("b0")
    assert list(queue) == ["a0", "b1", "a1"]
    queue.remove("a0")
    assert list(queue) == ["a1", "b1"]


def test_the_newest_of_the_largest_makes_room():
    queue = make_queue(("a0", "A"), ("a1", "A"), ("a2", "A"), ("b0", "B"))
    assert queue.displaced_by("C") == "a2"
    assert queue.displaced_by("B") == "a2"
    assert queue.displaced_by("A") is None
    queue.remove("a2")
    assert queue.displaced_by("B") is None
    assert FairQueue().displaced_by("A") is None


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=30))
def test_nobody_waits_longer_than_the_turns_before(owners):
    queue = make_queue(*((n, *owner) for n, owner in enumerate(owners)))
    order = list(queue)
    assert sorted(order) == list(range(len(owners)))
    assert drain(queue) == order
    served = [owners[n][0] for n in order]
    for client in set(served):  # between two of a client's items, every other one has one at most
        places = [i for i, other in enumerate(served) if other == client]
        for a, b in itertools.pairwise(places):
            between = served[a + 1 : b]
            assert len(between) == len(set(between))


def test_an_unknown_item_cannot_be_taken():
    with pytest.raises(KeyError):
        FairQueue().take("x")
