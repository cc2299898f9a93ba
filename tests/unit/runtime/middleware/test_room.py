from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mlctl.runtime.middleware import Limits
from tests.unit.runtime.middleware.client import Answer, around, ask, respond, run


def test_so_many_run_so_many_wait_and_the_rest_are_told_when_to_come_again() -> None:
    most, inside = 0, 0
    go_on = asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        nonlocal most, inside
        inside += 1
        most = max(most, inside)
        await go_on.wait()
        inside -= 1
        await respond(send, {})

    app = around(slow, limits=Limits(max_running=2, max_waiting=3, retry_after_seconds=2.5))

    async def several() -> list[Answer]:
        asked = [asyncio.create_task(ask(app)) for _ in range(7)]
        while sum(task.done() for task in asked) < 2:
            await asyncio.sleep(0.001)
        now = app.counts()["now"]
        assert (now["running"], now["waiting"]) == (2, 3)
        go_on.set()
        return list(await asyncio.gather(*asked))

    answers = run(several())
    assert [answer.status for answer in answers] == [200] * 5 + [503] * 2
    assert (answers[-1].headers["retry-after"], answers[-1].json["code"]) == ("3", "predict.overloaded")
    counts = app.counts()
    assert (most, counts["now"], counts["server"]["rejected"]) == (2, {"running": 0, "waiting": 0}, 2)
    assert sum(counts["variants"]["stable"]["queue"]["counts"]) == 5


def test_who_gives_up_waiting_leaves_no_place_taken() -> None:
    go_on = asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await go_on.wait()
        await respond(send, {})

    app = around(slow, limits=Limits(max_running=1, max_waiting=5))

    async def several() -> None:
        first = asyncio.create_task(ask(app))
        await asyncio.sleep(0)
        waiting = [asyncio.create_task(ask(app)) for _ in range(3)]
        await asyncio.sleep(0.01)
        waiting[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting[0]
        go_on.set()
        assert [answer.status for answer in await asyncio.gather(first, *waiting[1:])] == [200] * 3
        assert (await ask(app)).status == 200

    run(several())
    assert app.counts()["now"] == {"running": 0, "waiting": 0}


def test_waiting_too_long_is_a_504() -> None:
    async def hang(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(5)

    app = around(hang, limits=Limits(max_running=1, max_waiting=1), timeout_seconds=0.05)

    async def both() -> list[int]:
        return [answer.status for answer in await asyncio.gather(ask(app), ask(app))]

    assert run(both()) == [504, 504]
    assert app.counts()["now"] == {"running": 0, "waiting": 0}
