"""A kind may be anybody's: whatever its methods raise or give, the reader is told which kind it was and about what."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlctl.provider import Context, Desired, Observed
from mlctl.spec import asking
from mlctl.testing.fake import FakeTool, fake_kinds
from mlctl.testing.harness import make_context
from mlctl.types.address import Address, ObjectKey
from mlctl.types.diagnostic import MlctlError
from mlctl.types.state import Record

ADDRESS = Address("builds", "a")
RECORD = Record(ObjectKey(ADDRESS, "1"))


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    return make_context(tmp_path)


def kind_that(method: str, do: Callable[..., Any]) -> Any:
    kind = next(kind for kind in fake_kinds(FakeTool()) if kind.section == "builds")
    setattr(kind, method, do)
    return kind


def ask(method: str, kind: Any, ctx: Context) -> Any:
    desired = Desired(ADDRESS, kind.spec(), {}, {}, {}, "1")
    calls: dict[str, Callable[[], Any]] = {
        "check": lambda: asking.check(kind, ADDRESS, desired.spec, ctx),
        "parts": lambda: asking.parts(kind, ADDRESS, desired.spec, ctx),
        "read": lambda: asking.read(kind, RECORD, ctx),
        "diff": lambda: asking.diff(kind, desired, RECORD, Observed()),
        "describe": lambda: asking.describe(kind, RECORD),
    }
    return calls[method]()


def raises(error: Exception) -> Callable[..., Any]:
    def method(*given: Any) -> Any:
        raise error

    return method


@pytest.mark.parametrize("method", ["check", "parts", "read", "diff", "describe"])
def test_what_a_kind_raises_names_it_and_the_resource(method: str, ctx: Context) -> None:
    with pytest.raises(MlctlError) as error:
        ask(method, kind_that(method, raises(ZeroDivisionError("by nothing"))), ctx)
    (found,) = error.value.diagnostics
    assert (found.code, found.address) == ("bug.kind", "builds.a")
    assert f".{method}` of `builds`" in found.summary
    assert "ZeroDivisionError: by nothing" in found.summary
    assert "test_asking.py:" in found.why


@pytest.mark.parametrize(
    ("method", "given"),
    [
        ("check", ["no such field"]),
        ("check", None),
        ("parts", {"file": 5}),
        ("parts", None),
        ("read", True),
        ("diff", [("value", 1, 2)]),
        ("describe", None),
    ],
    ids=str,
)
def test_what_a_kind_gives_of_another_type_is_told_before_it_is_used(method: str, given: Any, ctx: Context) -> None:
    with pytest.raises(MlctlError, match=r"bug\.kind"):
        ask(method, kind_that(method, lambda *rest: given), ctx)


def test_what_the_system_refuses_is_no_bug(ctx: Context) -> None:
    with pytest.raises(MlctlError, match=r"system\.refused"):
        ask("read", kind_that("read", raises(PermissionError(13, "Permission denied", "/x"))), ctx)


def test_what_a_kind_says_itself_is_left_as_it_is(ctx: Context) -> None:
    with pytest.raises(MlctlError, match=r"tool\.down"):
        ask("read", kind_that("read", raises(MlctlError.of("tool.down", "it is down"))), ctx)
