"""What the feature server does with requests that no client of good will sends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from mlctl.runtime.features import serve
from mlctl.runtime.features.serve import Refused
from mlctl.types.jobs.features import Key

ANSWERS: Any = SimpleNamespace(keys=[Key(name="user", type="int64")], request={"amount": "float64"})


@pytest.mark.parametrize("value", [10**400, -(10**400), float("nan"), float("inf"), "1", True, [1]])
def test_a_value_that_is_no_number_a_float_can_hold_is_refused(value: object) -> None:
    with pytest.raises(Refused, match="`amount` is a number, or null"):
        serve._row({"user": 1, "amount": value}, ANSWERS)


@pytest.mark.parametrize("value", [None, 0, -1.5, 2**70])
def test_a_number_is_taken(value: float | None) -> None:
    assert serve._row({"user": 1, "amount": value}, ANSWERS) == ({"user": 1}, {"amount": value})


def test_a_body_that_does_not_come_to_its_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "_BODY_SECONDS", 0.05)

    async def trickle() -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(0.01)

    async def ask() -> None:
        await asyncio.wait_for(serve._body(SimpleNamespace(stream=trickle)), 5)

    with pytest.raises(Refused) as refused:
        asyncio.run(ask())
    assert (refused.value.status, refused.value.code) == (408, "features.slow-request")
