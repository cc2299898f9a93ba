from pathlib import Path

import pytest

from mlctl.estimate import host


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's groups of processes: an own one, `a/b`, below the root. The machine has 64 cores."""
    root, own = tmp_path / "groups", tmp_path / "own"
    (root / "a" / "b").mkdir(parents=True)
    own.write_text("9:name=systemd:/\n0::/a/b\n")
    monkeypatch.setattr(host, "_GROUPS", str(root))
    monkeypatch.setattr(host, "_OWN_GROUP", str(own))
    monkeypatch.setattr(host, "seen_cores", lambda: 64)
    monkeypatch.delenv(host.SLURM_VARIABLE, raising=False)
    return root


def test_a_machine_without_limits_gives_all_cores_that_are_seen(groups: Path) -> None:
    (groups / "cpu.max").write_text("max 100000\n")
    assert host.usable_cores() == 64


@pytest.mark.parametrize("where", [".", "a", "a/b"])
def test_the_tightest_group_above_a_process_decides(groups: Path, where: str) -> None:
    (groups / "cpu.max").write_text("3200000 100000\n")
    (groups / where / "cpu.max").write_text("450000 100000\n")
    assert host.usable_cores() == 4


def test_less_than_a_core_is_one(groups: Path) -> None:
    (groups / "cpu.max").write_text("50000 100000\n")
    assert host.usable_cores() == 1


def test_groups_of_the_first_version_limit_too(groups: Path) -> None:
    (groups / "cpu").mkdir()
    (groups / "cpu" / "cpu.cfs_quota_us").write_text("800000\n")
    (groups / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert host.usable_cores() == 8
    (groups / "cpu" / "cpu.cfs_quota_us").write_text("-1\n")
    assert host.usable_cores() == 64


def test_what_slurm_allots_counts_where_it_binds_nobody(groups: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(host.SLURM_VARIABLE, "6")
    assert host.usable_cores() == 6


def test_memory_is_that_of_the_tightest_group(groups: Path) -> None:
    (groups / "memory.max").write_text("max\n")
    assert host.memory() > 2**28
    (groups / "a" / "memory.max").write_text(f"{2**27}\n")
    assert host.memory() == 2**27
