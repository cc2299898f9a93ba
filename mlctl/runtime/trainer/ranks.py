"""Start the ranks of a training, follow them, stop them, and find out why they failed."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlctl.runtime.trainer.lifeline import PARENT_VARIABLE
from mlctl.runtime.trainer.plan import ENDED_FILE, ERRORS_FOLDER, PLAN_FILE, PROGRESS_FILE
from mlctl.types import job as contract
from mlctl.types.diagnostic import Diagnostic, MlctlError

LOGS_FOLDER = "ranks"
_STOP_SECONDS = 35.0  # torchrun gives its ranks 30 s
_LOST_PEER = re.compile(
    r"connection (closed|reset|refused)|broken pipe|timed out|connectFullMesh|recvvalue failed|remote error",
    re.IGNORECASE,
)
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",  # more threads than cores, over all ranks, are slower than one by an order of magnitude
    "OMP_WAIT_POLICY": "PASSIVE",
    "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",  # a store that is shared over attempts hands out addresses of the dead
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # deterministic matrix products on a GPU
}


def how_ended(folder: Path) -> dict[str, Any] | None:
    """What rank 0 left behind as its last act, or None when it did not get that far."""
    try:
        stored: dict[str, Any] = json.loads((folder / ENDED_FILE).read_bytes())
    except (OSError, ValueError):
        return None
    return stored


class Ranks:
    """The processes of one training: a single rank, or torchrun with several. They begin once their plan is written."""

    def __init__(self, folder: Path, strategy: str, processes: int) -> None:
        for name in (ERRORS_FOLDER, LOGS_FOLDER):
            shutil.rmtree(folder / name, ignore_errors=True)
        for name in (ENDED_FILE, PLAN_FILE, PROGRESS_FILE):
            (folder / name).unlink(missing_ok=True)
        self.folder = folder
        worker = ["-m", "mlctl.runtime.trainer.worker", str(folder)]
        command = [sys.executable, *worker]
        if strategy == "ddp":
            logs = ["--log-dir", str(folder / LOGS_FOLDER), "--redirects", "3", "--tee", "3"]
            command = [
                sys.executable,
                "-m",
                "mlctl.runtime.trainer.agent",
                "--standalone",
                "--nproc-per-node",
                str(processes),
                "--max-restarts",
                "0",
                "--monitor-interval",
                "0.1",
                *logs,
                *worker,
            ]
        environment = {**os.environ, **_ENVIRONMENT, PARENT_VARIABLE: str(os.getpid())}
        if sys.platform == "linux":
            environment.setdefault(
                "GLOO_SOCKET_IFNAME", "lo"
            )  # all ranks are on this machine, whose name may not resolve
        # a session of its own, since a signal to ours must reach torchrun once: it takes a second one for impatience
        self.process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, start_new_session=True)

    @property
    def running(self) -> bool:
        """Whether any rank may still be at work."""
        return self.process.poll() is None

    def ask_to_stop(self) -> None:
        """Have all ranks save and leave, or end them if they have nothing to save yet. To be called once."""
        if self.running:
            self.process.send_signal(signal.SIGTERM if (self.folder / PLAN_FILE).exists() else signal.SIGKILL)

    def wait(self) -> None:
        """Wait for the end of ranks that were asked to stop, and end them if they do not."""
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def lines(self) -> Iterator[dict[str, Any] | None]:
        """What rank 0 reports, line by line as it comes; None whenever there is no more for now. Never ends."""
        rest, offset = b"", 0
        path = self.folder / PROGRESS_FILE
        while True:
            if path.exists():
                with open(path, "rb") as stream:
                    stream.seek(offset)
                    data = stream.read()
                offset += len(data)
                *lines, rest = (rest + data).split(b"\n")
                yield from (json.loads(line) for line in lines)
            yield None

    def failure(self) -> MlctlError:
        """Why the ranks ended without a result: the first error that is not the loss of another rank, else their exit codes."""
        errors = sorted(
            (json.loads(path.read_bytes()) for path in (self.folder / ERRORS_FOLDER).glob("rank-*.json")),
            key=lambda item: item["time"],
        )
        own = [error for error in errors if not _LOST_PEER.search(error["message"])]
        log = self.folder / contract.LOG_FILE
        if own:
            cause = own[0]
            summary = f"rank {cause['rank']} failed: {cause['type']}: {cause['message'].strip().splitlines()[0] if cause['message'].strip() else ''}"
            why = f"raised at {cause['at']}; the end of its log:\n{self._tail(cause['rank'])}"
            return MlctlError([Diagnostic("training.rank-failed", summary, why, f"the whole log is in {log}")])
        codes = sorted({int(code) for code in re.findall(r"exitcode\s*:\s*(-?\d+)", self._tail(None, 200))} - {1}) or [
            self.process.returncode
        ]
        why = f"a rank was killed (exit code {codes[0]}), most often for want of memory; the end of the log:\n{self._tail(None)}"
        return MlctlError(
            [
                Diagnostic(
                    "training.rank-died",
                    "a rank of the training ended without a word",
                    why,
                    "free memory or use a smaller `batch_size`; then run `mlctl apply` again: it goes on from the last checkpoint",
                )
            ]
        )

    def _tail(self, rank: int | None, count: int = 12) -> str:
        found = sorted(self.folder.glob(f"{LOGS_FOLDER}/*/attempt_*/{rank}/stderr.log")) if rank is not None else []
        path = found[-1] if found else self.folder / contract.LOG_FILE
        return "\n".join(path.read_text(errors="replace").strip().splitlines()[-count:]) if path.exists() else ""
