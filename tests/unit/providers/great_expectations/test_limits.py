"""What a data check may use of the machine is no part of what it is: another limit runs nothing again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mlctl.engine.decide import with_metadata
from mlctl.provider import Desired, Input, Observed, Outcome
from mlctl.providers.great_expectations.data_check import DataCheck
from mlctl.testing.harness import make_context, make_desired, make_record
from mlctl.types.address import ObjectKey
from mlctl.types.change import FieldClass

LIMITS: list[Mapping[str, Any]] = [
    {},
    {"engine": "duckdb"},
    {"engine": {"memory_limit": "2GB"}},
    {"engine": {"type": "duckdb", "memory_limit": "500MB", "threads": 2}},
]


def desired(folder: Path, block: Mapping[str, Any]) -> Desired:
    orders = Input(ObjectKey("datasets.orders", "x"), {"digest": "d"}, "d")
    values = {"dataset": "orders", "rules": [{"unique": {"columns": ["a"]}}], **block}
    return make_desired(DataCheck(), "data_checks.c", values, make_context(folder), {"datasets.orders": orders})


@pytest.mark.parametrize("before", LIMITS)
@pytest.mark.parametrize("after", LIMITS)
def test_another_limit_is_the_same_check_and_is_noted(
    tmp_path: Path, before: Mapping[str, Any], after: Mapping[str, Any]
) -> None:
    made, wanted = desired(tmp_path, before), desired(tmp_path, after)
    assert made.identity == wanted.identity
    record = make_record(made, Outcome(str(made.identity), {"digest": "v"}))
    changes = DataCheck().diff(wanted, record, Observed())
    assert {item.path for item in changes} <= {"engine.memory_limit", "engine.threads"}
    assert all(item.field_class is FieldClass.METADATA for item in changes)
    noted = with_metadata(DataCheck(), record, wanted)
    assert noted.spec == wanted.values
    assert list(DataCheck().diff(wanted, noted, Observed())) == []


def test_another_engine_is_another_check(tmp_path: Path) -> None:
    engines = ["duckdb", "great_expectations", {"type": "great_expectations", "data_docs": True}, "spark"]
    assert len({desired(tmp_path, {"engine": engine}).identity for engine in engines}) == len(engines)
