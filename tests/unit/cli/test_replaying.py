"""A replay compares to the bit, and a kind that cannot be replayed says so."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mlctl.cli import replaying
from mlctl.testing.harness import make_context
from mlctl.types.decision import Decision
from mlctl.types.diagnostic import MlctlError


def decision(outputs: dict[str, Any], kind: str = "experiment") -> Decision:
    return Decision(
        kind, "experiments.mail", "ship", "a rule", "2026-03-01T12:00:00+00:00", outputs=outputs, code="1 a"
    )


def again(
    outputs: dict[str, Any], kept: dict[str, Any], root: Path, monkeypatch: pytest.MonkeyPatch, code: str = "1 a"
) -> Any:
    module: Any = ModuleType("a_replay")
    module.replay = lambda decision, folder, ctx: outputs
    module.code = lambda: code
    monkeypatch.setitem(sys.modules, "a_replay", module)
    monkeypatch.setattr(replaying, "REPLAYS", {"experiment": "a_replay"})
    return replaying.replay(decision(kept), root, make_context(root))


def test_the_same_is_the_same_in_whatever_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = again({"b": [1, {"c": 0.1}], "a": None}, {"a": None, "b": [1, {"c": 0.1}]}, tmp_path, monkeypatch)
    assert found.same
    assert replaying.text_of(found, decision({})) == "same: ship, to the bit"


@pytest.mark.parametrize(
    ("was", "now", "path"),
    [
        ({"a": 0.1 + 0.2}, {"a": 0.3}, "a"),
        ({"a": [{"b": 1}]}, {"a": [{"b": 1.0}]}, "a[0].b"),
        ({"a": [1, 2]}, {"a": [1]}, "a"),
        ({"a": {"b": True}}, {"a": {"b": 1}}, "a.b"),
        ({"a": 1, "gone": 2}, {"a": 1}, "gone"),
        ({}, {"new": ""}, "new"),
    ],
)
def test_a_bit_that_differs_is_named(
    was: Any, now: Any, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = again(now, was, tmp_path, monkeypatch, code="1 b")
    assert [item[0] for item in found.differences] == [path]
    text = replaying.text_of(found, decision({}))
    assert text.startswith("differs in 1 figure\n")
    assert "the code that decided was 1 a, and is 1 b now" in text


def test_same_figures_by_another_code_are_the_same_and_that_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = again({"a": 1}, {"a": 1}, tmp_path, monkeypatch, code="2 b")
    assert "the code is another one now (2 b, then 1 a)" in replaying.text_of(found, decision({}))


def test_a_kind_without_a_replay_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MlctlError) as caught:
        replaying.replay(decision({}, kind="retrain"), tmp_path, make_context(tmp_path))
    assert caught.value.diagnostics[0].code == "decision.no-replay"


def test_every_module_that_replays_is_there() -> None:
    import importlib

    for name in replaying.REPLAYS.values():
        module = importlib.import_module(name)
        assert callable(module.replay)
        assert isinstance(module.code(), str)
