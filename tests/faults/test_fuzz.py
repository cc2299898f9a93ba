"""Spoiled input never gives a traceback, never hangs, and never changes the state. The long run is scripts/fuzz.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import fuzz, fuzz_arena

pytestmark = pytest.mark.tools
SEED = 20_261_122
COUNTS = {"spec": 120, "state": 100, "journal": 60, "job": 40, "cache": 30, "plan": 60}


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> fuzz_arena.Arena:
    return fuzz_arena.Arena.make(tmp_path_factory.mktemp("fuzz"))


@pytest.mark.parametrize("kind", fuzz_arena.KINDS)
def test_spoiled_input_is_answered_in_words(arena: fuzz_arena.Arena, kind: str, tmp_path: Path) -> None:
    for number in range(COUNTS[kind]):
        finding = fuzz.run_case(arena, fuzz_arena.Case(kind, SEED, number))
        if finding is not None:
            kept = fuzz.keep(arena, finding, tmp_path)
            pytest.fail(f"{finding.what}\n  cd {kept} && mlctl {' '.join(finding.command)}\n{finding.output[-3000:]}")


def test_the_same_case_is_the_same_input(arena: fuzz_arena.Arena) -> None:
    case = fuzz_arena.Case("spec", SEED, 1)
    assert fuzz_arena.KINDS["spec"](arena, case.rng) == fuzz_arena.KINDS["spec"](arena, case.rng)


def test_a_bug_is_found(arena: fuzz_arena.Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(arguments: list[str]) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr(fuzz.main, "run", broken)
    finding = fuzz.run_case(arena, fuzz_arena.Case("spec", SEED, 1))
    assert finding is not None
    assert "ZeroDivisionError" in finding.what


def test_a_hang_is_found(arena: fuzz_arena.Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "LIMIT_SECONDS", 0.05)
    monkeypatch.setattr(fuzz.main, "run", lambda arguments: [None for _ in iter(int, 1)])
    finding = fuzz.run_case(arena, fuzz_arena.Case("spec", SEED, 1))
    assert finding is not None
    assert "longer than" in finding.what


def test_a_journal_is_played_over_the_state(arena: fuzz_arena.Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else nothing that is done to one could ever be found."""
    gone = fuzz_arena.sealed(b'{"key": "entities.shop#", "record": null}')
    data = b"\n".join([*arena.journal.splitlines(), gone, b""])
    monkeypatch.setitem(fuzz_arena.KINDS, "journal", lambda arena, rng: (fuzz_arena.JOURNAL, data))
    with arena.spoiled(fuzz_arena.Case("journal", SEED, 0)):
        _, output, _ = fuzz.run_command(arena.root, ("state", "list"))
    assert "entities.visitor#" in output
    assert "entities.shop#" not in output


def test_a_state_of_the_first_format_is_read(arena: fuzz_arena.Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz_arena.spoil, "spoil_json", lambda data, rng: data)
    monkeypatch.setattr(fuzz_arena, "_json_text", lambda data, rng: data)
    for number in range(5):
        with arena.spoiled(fuzz_arena.Case("state", SEED, number)):
            code, output, _ = fuzz.run_command(arena.root, ("state", "list"))
        assert code == 0, output
        assert "entities.shop#" in output
