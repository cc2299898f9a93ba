"""Where the ranks of a training write their logs, below the folder of its job."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mlctl.types import job as contract
from mlctl.types.jobs.search import TRIALS

_LOGS = "ranks"  # `NAME/.../RANK/{stdout,stderr}.log` of each attempt


def rank_logs(folder: Path, rank: int) -> Sequence[Path]:
    """The files of one rank of the last attempt that wrote any; of a search, of its last trial."""
    trials = sorted((folder / TRIALS).glob(f"*/{_LOGS}"))
    place = trials[-1] if trials else folder / _LOGS
    files = [path for path in place.glob(f"**/{rank}/std*.log") if path.stat().st_size]
    if not files:
        whole = folder / contract.LOG_FILE
        return [whole] if rank == 0 and not place.exists() and whole.exists() else []
    last = max(files, key=lambda path: path.stat().st_mtime).parent
    return sorted(path for path in files if path.parent == last)
