"""Blocking calls of many clients."""

import asyncio
import threading

import pytest

from charlm.serving import fair_pool
from charlm.serving.clients import Client
from charlm.serving.fair_pool import BusyError, FairPool

A, B = Client("A"), Client("B")


def test_results_and_errors_reach_the_caller():
    async def calls():
        pool = FairPool(2)
        assert await pool.run(A, max, 1, 2) == 2
        with pytest.raises(ZeroDivisionError):
            await pool.run(A, lambda: 1 / 0)
        assert await pool.run(None, len, "abc") == 3

    asyncio.run(calls())


class Gate:
    """Calls that note their names and wait until they are let through."""

    def __init__(self):
        self.begun, self.opened = [], threading.Event()

    def enter(self, name):
        self.begun.append(name)
        assert self.opened.wait(20)
        return name


async def settle():
    for _ in range(50):
        await asyncio.sleep(0.001)


def test_clients_are_served_in_turn():
    async def calls():
        pool, gate = FairPool(1), Gate()
        tasks = [asyncio.create_task(pool.run(A, gate.enter, f"a{n}")) for n in range(30)]
        await settle()
        tasks.append(asyncio.create_task(pool.run(B, gate.enter, "b")))
        await settle()
        gate.opened.set()
        await asyncio.gather(*tasks)
        return gate.begun

    begun = asyncio.run(calls())
    assert begun.index("b") <= 2


def test_slow_calls_of_one_client_leave_threads_to_others():
    async def calls():
        pool, gate = FairPool(4, per_client=2), Gate()
        tasks = [asyncio.create_task(pool.run(A, gate.enter, "a")) for _ in range(10)]
        await settle()
        assert gate.begun == ["a", "a"]
        assert await pool.run(B, len, "abc") == 3
        gate.opened.set()
        await asyncio.gather(*tasks)

    asyncio.run(calls())


def test_a_full_queue_drops_the_client_that_waits_most(monkeypatch):
    monkeypatch.setattr(fair_pool, "MAX_WAITING", 3)

    async def calls():
        pool, gate = FairPool(1), Gate()
        tasks = [asyncio.create_task(pool.run(A, gate.enter, f"a{n}")) for n in range(4)]
        await settle()
        with pytest.raises(BusyError, match="busy"):
            await pool.run(A, len, "")
        other = asyncio.create_task(pool.run(B, len, "abc"))
        await settle()
        with pytest.raises(BusyError, match="from your network"):
            await tasks[-1]
        gate.opened.set()
        assert await other == 3
        assert await asyncio.gather(*tasks[:-1]) == ["a0", "a1", "a2"]

    asyncio.run(calls())


def test_a_call_whose_caller_left_is_not_made():
    async def calls():
        pool, gate = FairPool(1), Gate()
        first = asyncio.create_task(pool.run(A, gate.enter, "first"))
        second = asyncio.create_task(pool.run(A, gate.enter, "second"))
        await settle()
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        gate.opened.set()
        await first
        assert await pool.run(A, len, "") == 0
        return gate.begun

    assert asyncio.run(calls()) == ["first"]
