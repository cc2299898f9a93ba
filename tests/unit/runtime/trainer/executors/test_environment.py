import pytest

from mlctl.runtime.trainer.executors import environment
from mlctl.runtime.trainer.executors.environment import THREADS_VARIABLE, rank_threads


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(THREADS_VARIABLE, raising=False)
    _gives(monkeypatch, seen=16, usable=16)


def _gives(monkeypatch: pytest.MonkeyPatch, seen: int, usable: int) -> None:
    monkeypatch.setattr(environment, "seen_cores", lambda: seen)
    monkeypatch.setattr(environment, "usable_cores", lambda: usable)


@pytest.mark.parametrize(("ranks", "threads"), [(2, "8"), (3, "5"), (16, "1"), (40, "1")])
def test_ranks_of_a_machine_share_its_cores(ranks: int, threads: str) -> None:
    assert rank_threads(ranks) == {THREADS_VARIABLE: threads}


def test_a_rank_alone_finds_all_cores_by_itself() -> None:
    assert rank_threads(1) == {}


def test_a_rank_alone_starts_no_more_threads_than_a_container_gives_it_time(monkeypatch: pytest.MonkeyPatch) -> None:
    _gives(monkeypatch, seen=64, usable=4)
    assert rank_threads(1) == {THREADS_VARIABLE: "4"}


def test_what_somebody_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(THREADS_VARIABLE, "3")
    assert rank_threads(2) == {}
