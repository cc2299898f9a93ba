from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Sequence

import pytest

from mlctl.runtime.server.batcher import Batcher, Overloaded


def double(rows: Sequence[Sequence[float]]) -> list[float]:
    return [row[0] * 2 for row in rows]


def drive(batcher: Batcher, clients: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        working = asyncio.create_task(batcher.run())
        try:
            async with asyncio.timeout(10):
                await clients()
        finally:
            working.cancel()
            batcher.close()

    asyncio.run(main())


def test_rows_that_come_while_the_model_works_share_the_next_batch() -> None:
    sizes: list[int] = []
    first_in, go_on = threading.Event(), threading.Event()

    def slow_at_first(rows: Sequence[Sequence[float]]) -> list[float]:
        if not first_in.is_set():
            first_in.set()
            go_on.wait(5)
        return double(rows)

    batcher = Batcher(slow_at_first, 8, 0.0, sizes.append)

    async def clients() -> None:
        waiting = [asyncio.create_task(batcher.submit([[0.0]]))]
        while not first_in.is_set():
            await asyncio.sleep(0.001)
        waiting += [asyncio.create_task(batcher.submit([[float(number)]])) for number in range(1, 11)]
        await asyncio.sleep(0.01)
        go_on.set()
        assert await asyncio.gather(*waiting) == [[number * 2.0] for number in range(11)]

    drive(batcher, clients)
    assert sizes == [1, 8, 2]


def test_a_batch_is_never_larger_than_asked_for_and_order_is_kept() -> None:
    sizes: list[int] = []
    batcher = Batcher(double, 4, 0.0, sizes.append)

    async def clients() -> None:
        rows = [[float(number)] for number in range(11)]
        first, second = await asyncio.gather(batcher.submit(rows), batcher.submit(rows[:3]))
        assert first == [number * 2.0 for number in range(11)]
        assert second == [0.0, 2.0, 4.0]

    drive(batcher, clients)
    assert max(sizes) <= 4
    assert sum(sizes) == 14


def test_waiting_gathers_rows_and_ends_early_when_full() -> None:
    sizes: list[int] = []
    batcher = Batcher(double, 3, 5.0, sizes.append)

    async def clients() -> None:
        began = time.monotonic()

        async def later(number: int) -> list[float]:
            await asyncio.sleep(number * 0.02)
            return await batcher.submit([[float(number)]])

        assert await asyncio.gather(*(later(number) for number in range(3))) == [[0.0], [2.0], [4.0]]
        assert time.monotonic() - began < 4  # the batch was full: it did not wait on

    drive(batcher, clients)
    assert sizes == [3]


def test_a_row_that_fails_does_not_fail_its_neighbours() -> None:
    def picky(rows: Sequence[Sequence[float]]) -> list[float]:
        if any(row[0] < 0 for row in rows):
            raise ValueError("negative")
        return double(rows)

    batcher = Batcher(picky, 8, 0.05, lambda _: None)

    async def clients() -> None:
        good, bad, other = await asyncio.gather(
            *(batcher.submit([[value]]) for value in (1.0, -1.0, 3.0)), return_exceptions=True
        )
        assert (good, other) == ([2.0], [6.0])
        assert isinstance(bad, ValueError)

    drive(batcher, clients)


def test_who_gave_up_is_left_out_and_too_much_is_refused() -> None:
    seen: list[float] = []
    block = threading.Event()

    def slow(rows: Sequence[Sequence[float]]) -> list[float]:
        block.wait(5)
        seen.extend(row[0] for row in rows)
        return double(rows)

    batcher = Batcher(slow, 1, 0.0, lambda _: None)

    async def clients() -> None:
        first = asyncio.create_task(batcher.submit([[1.0]]))
        await asyncio.sleep(0.01)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await batcher.submit([[2.0]])
        with pytest.raises(Overloaded):
            await batcher.submit([[3.0]] * 8192)
        block.set()
        assert await first == [2.0]
        assert await batcher.submit([[4.0]]) == [8.0]

    drive(batcher, clients)
    assert seen == [1.0, 4.0]
