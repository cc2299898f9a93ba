"""Why the ranks of a training failed, from the words that each of them left behind."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlctl.runtime.trainer import errors
from mlctl.runtime.trainer.plan import ERRORS_FOLDER
from mlctl.types import job as contract
from mlctl.types.diagnostic import Diagnostic, ExitCode, MlctlError
from mlctl.types.spoken import spoken_seconds

_LOST_PEER = re.compile(
    r"connection (closed|reset|refused)|broken pipe|timed out|connectFullMesh|recvvalue failed|remote error"
    r"|rendezvous|DistStoreError|failed to recv|wait timeout",
    re.IGNORECASE,
)
_TAIL_LINES = 12
SSH_LOST = 255  # ssh's own exit code when it could not connect, or lost the connection


@dataclass(frozen=True, slots=True)
class End:
    """How ranks ended that wrote no result. `died`: not by an error of the code, so another try may do better."""

    died: bool
    why: str  # half a sentence for a person: `rank 1 was ended by SIGKILL`
    final: bool = False  # tried again often enough by others
    limit: float | None = None  # seconds that the budget allows, where it is what ended them


def own_error(folder: Path) -> dict[str, Any] | None:
    """The first error of a rank that is not the loss of another one: {rank, time, type, message, at}."""
    return next((error for error in errors.told(folder) if not _lost_peer(error)), None)


def end_of(folder: Path, agents: Mapping[int, int], *, several: bool = False) -> End:
    """How ranks ended. `agents` are the exit codes of the processes that were started, by their number: of one machine, or of
    `several`."""
    failed, told = exits(folder), {error["rank"] for error in errors.told(folder)}
    lost = {number: code for number, code in agents.items() if code < 0 or code == SSH_LOST}
    if several and lost:
        number, code = next(iter(lost.items()))
        return End(True, f"the agent of host {number + 1} {in_words(code)}")
    first = next(iter(failed), None)
    if first is not None and (failed[first] < 0 or first not in told):
        return End(failed[first] < 0, f"rank {first} {in_words(failed[first])}")
    if lost:
        return End(True, f"the ranks' process {in_words(next(iter(lost.values())))}")
    gone = [rank for rank in errors.left(folder) if rank not in failed]
    if gone and not several:  # of several machines, one may have been lost whole
        return End(False, f"rank {gone[0]} left with exit code {0 if failed else max(agents.values())}")
    if told:
        return End(True, f"rank {min(told) if first is None else first} lost its peers")
    return End(False, f"the ranks left with exit code {max(agents.values(), default=0)}")


def exits(folder: Path) -> dict[int, int]:
    """The exit codes of ranks that failed under torchrun, the first to fail first. Negative: ended by that signal."""
    notes = filter(None, map(_read, (folder / ERRORS_FOLDER).glob("node-*.json")))
    found = sorted((item for note in notes for item in note["failures"]), key=lambda item: item["time"])
    return {item["rank"]: item["code"] for item in found}


def _lost_peer(error: Mapping[str, Any]) -> bool:
    return "diagnostic" not in error and bool(_LOST_PEER.search(f"{error['type']}: {error['message']}"))


def in_words(code: int) -> str:
    """How a process ended, by its exit code: `was ended by SIGKILL`, `left with exit code 3`."""
    if code >= 0:
        return f"left with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


def spent(seconds: float) -> MlctlError:
    """The error of a training that had all the time which the budget allows."""
    return MlctlError.of(
        "budget.reached",
        f"it was ended after {spoken_seconds(seconds)}: the budget allows no more",
        "what it had learnt is in its last checkpoint",
        "raise the limit under `budget`, and apply again: it goes on from the checkpoint, and what it took so far counts",
        exit_code=ExitCode.POLICY,
    )


def explained(folder: Path, end: End) -> MlctlError:
    """The error for a person, with the end of the log that belongs to it."""
    log = folder / contract.LOG_FILE
    cause = own_error(folder)
    if cause is not None and "diagnostic" in cause:
        return MlctlError([Diagnostic(**cause["diagnostic"])])
    if cause is not None:
        first = next(iter(cause["message"].strip().splitlines()), "")
        return MlctlError.of(
            "training.rank-failed",
            f"rank {cause['rank']} failed: {cause['type']}: {first}",
            f"raised at {cause['at']}; the end of its log:\n{tail(folder, cause['rank'])}",
            f"the whole log is in {log}",
        )
    if not end.died:
        return MlctlError.of(
            "training.rank-left",
            "the ranks of the training left before the end",
            f"{end.why}; the end of the log:\n{tail(folder, None)}",
            f"look for what ends the process, such as `os._exit` in code that it runs; the whole log is in {log}",
        )
    return MlctlError.of(
        "training.rank-died",
        "the ranks of the training were ended",
        f"{end.why}{'; that comes most often for want of memory' if 'SIGKILL' in end.why else ''}; the end of the log:\n{tail(folder, None)}",
        "free memory, or use a smaller `batch_size` or `micro_batch_size`; then run `mlctl apply` again: it goes on from the last checkpoint",
    )


def tail(folder: Path, rank: int | None) -> str:
    """The last lines that a rank wrote, or all of them together."""
    path = folder / contract.LOG_FILE
    if rank is not None:
        logs = sorted(folder.glob(f"ranks/**/{rank}/stderr.log"), key=lambda item: item.stat().st_mtime)
        path = next((log for log in reversed(logs) if log.stat().st_size), path)
    if not path.exists():
        return ""
    with open(path, "rb") as stream:  # of megabytes, only the end
        stream.seek(max(path.stat().st_size - 20_000, 0))
        text = stream.read().decode(errors="replace")
    return "\n".join(line[:400] for line in text.strip().splitlines()[-_TAIL_LINES:])


def _read(path: Path) -> dict[str, Any] | None:
    """What a process noted, or None when it was killed while it did."""
    try:
        stored = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return stored if isinstance(stored, dict) else None
