"""The ledger of decisions: whole or not at all, found by the beginning of a name, never changed."""

from pathlib import Path

import pytest

from mlctl.files import decisions
from mlctl.types.decision import Decision
from mlctl.types.diagnostic import MlctlError


def decision(verdict: str = "ship", second: int = 1) -> Decision:
    return Decision(
        "experiment", "experiments.offer", verdict, "one metric superior", f"2026-05-01T10:00:{second:02}.5+00:00"
    )


def test_a_decision_is_read_as_it_was_kept_with_its_files(tmp_path: Path) -> None:
    made = decision()
    name = decisions.keep(tmp_path, made, {"moments.json": b"{}"})
    found, folder = decisions.find(tmp_path, name)
    assert found == made
    assert (folder / "moments.json").read_bytes() == b"{}"
    assert (folder / "decision.json").stat().st_mode & 0o777 == 0o600
    assert name.startswith("20260501T100001Z-")


def test_a_repeat_changes_nothing(tmp_path: Path) -> None:
    name = decisions.keep(tmp_path, decision())
    assert decisions.keep(tmp_path, decision(), {"late": b"x"}) == name
    assert [path.name for path in (tmp_path / "decisions" / name).iterdir()] == ["decision.json"]


def test_decisions_are_told_oldest_first_and_what_a_kill_left_is_passed_over(tmp_path: Path) -> None:
    decisions.keep(tmp_path, decision("stop", 9))
    decisions.keep(tmp_path, decision("ship", 2))
    (tmp_path / "decisions" / ".new-x").mkdir()
    (tmp_path / "decisions" / "20270101T000000Z-torn").mkdir()
    assert [item.verdict for item in decisions.kept(tmp_path)] == ["ship", "stop"]


def test_a_name_that_is_none_or_several_is_refused(tmp_path: Path) -> None:
    for second in (1, 2):
        decisions.keep(tmp_path, decision(second=second))
    with pytest.raises(MlctlError, match=r"decision\.ambiguous"):
        decisions.find(tmp_path, "2026")
    with pytest.raises(MlctlError, match=r"decision\.unknown"):
        decisions.find(tmp_path, "2027")
    assert decisions.find(tmp_path, "20260501T100001")[0] == decision()


def test_of_what_nothing_follows_from_the_newest_are_kept(tmp_path: Path) -> None:
    for second in range(1, 6):
        decisions.keep(tmp_path, decision("ok", second))
    decisions.keep(tmp_path, decision("alarm", 0))
    decisions.forget(tmp_path, "experiment", "experiments.offer", "ok", 2)
    assert [(item.verdict, item.at[17:19]) for item in decisions.kept(tmp_path)] == [
        ("alarm", "00"),
        ("ok", "04"),
        ("ok", "05"),
    ]
    decisions.forget(tmp_path, "experiment", "experiments.other", "ok", 0)
    assert len(list(decisions.kept(tmp_path))) == 3
