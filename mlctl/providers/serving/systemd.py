"""Units for systemd: the controller of a deployment is started with the machine, and again whenever it ends."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from mlctl.processes.environment import QUIET
from mlctl.processes.systemd import plain, quoted
from mlctl.types import job as contract
from mlctl.types.jobs.rollout import WANTED_FILE
from mlctl.types.secret import ENVIRONMENT

_FLOCK = "/usr/bin/flock"


def unit_name(project: str, environment: str, deployment: str) -> str:
    """The name of the file, from letters, digits and dashes alone."""
    parts = [project, *([] if environment == "default" else [environment]), deployment]
    kept = "-".join("".join(char if char.isascii() and char.isalnum() else "-" for char in part) for part in parts)
    return f"mlctl-{kept}.service"


def unit(address: str, folder: Path, root: Path, *, user: bool, secrets: Sequence[str]) -> str:
    """The unit of one controller.

    It takes the lock of the controller's folder as whoever starts one does: while a controller runs that `mlctl apply`
    has started, it waits, and takes over when that one ends. `KillMode=process` leaves the gateway and the servers alone:
    they answer while the controller is restarted. Raises MlctlError for a path that a unit cannot hold.
    """
    command = [
        _FLOCK, "--no-fork", str(folder / contract.LOCK_FILE),
        sys.executable, "-m", "mlctl.runtime", "controller", str(folder),
    ]  # fmt: skip
    environment = {"PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1", "TZ": "UTC", **QUIET}
    lines = [
        "[Unit]",
        f"Description=mlctl controller of {plain(address)}",
        "After=network.target",
        f"ConditionPathExists={plain(str(folder / WANTED_FILE))}",  # after `mlctl destroy` there is nothing to start
        "StartLimitIntervalSec=0",
        "",
        "[Service]",
        "Type=exec",
        f"WorkingDirectory={plain(str(root))}",
        *(f"Environment={quoted(f'{name}={value}')}" for name, value in sorted(environment.items())),
        *_secrets(secrets),
        f"ExecStart={' '.join(quoted(part, command=True) for part in command)}",
        f"StandardOutput=append:{plain(str(folder / contract.LOG_FILE))}",
        "StandardError=inherit",
        "Restart=always",
        "RestartSec=2",
        "KillMode=process",
        "UMask=0077",
        "",
        "[Install]",
        f"WantedBy={'default.target' if user else 'multi-user.target'}",
    ]
    return "\n".join(lines) + "\n"


def _secrets(names: Sequence[str]) -> list[str]:
    if not names:
        return []
    return [
        f'# A file with one line, {ENVIRONMENT}={{"NAME": "VALUE", ...}}, of mode 0600, for: {", ".join(sorted(names))}',
        "EnvironmentFile=%h/.config/mlctl/secrets.env",
    ]
