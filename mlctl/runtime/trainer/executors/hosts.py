"""The machines of a training: which of them is this one, which answer, and how a program is started there."""

from __future__ import annotations

import ipaddress
import os
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import psutil

from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.executors import SshAccess

_PROBE_SECONDS = 12.0
_NO_PYTHON, _NO_FOLDER = 41, 42
_REASONS = {
    _NO_PYTHON: f"it has no {sys.executable}: the same Python is needed on every host, under the same path",
    _NO_FOLDER: "it does not see the project's folder under the same path: a disk that all hosts share is needed",
}
# Who answers must be known already, and is never asked for a password; a machine that fell silent is noticed within 15 s.
_OPTIONS = (
    "BatchMode=yes",
    "ConnectTimeout=5",
    "ServerAliveInterval=5",
    "ServerAliveCountMax=3",
    "LogLevel=ERROR",
)


def is_own(host: str) -> bool:
    """Whether a host is this machine: by an address of its network cards, or by its name."""
    name = socket.gethostname()
    own = {item.address for items in psutil.net_if_addrs().values() for item in items}
    return host in own or host.lower() in {"localhost", name.lower(), socket.getfqdn().lower()}


def is_loopback(host: str) -> bool:
    """Whether a host is reached without leaving this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def free_port() -> int:
    """A port of this machine that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def ssh_command(host: str, access: SshAccess, remote: list[str]) -> list[str]:
    """The command that runs another one on a host, in this process's working directory. No shell sees a value unquoted."""
    command = ["ssh", *(part for option in _OPTIONS for part in ("-o", option))]
    for flag, value in (("-l", access.user), ("-i", access.key), ("-p", access.port)):
        command += [flag, str(value)] if value is not None else []
    return [*command, "--", host, f"cd {shlex.quote(os.getcwd())} && exec {shlex.join(remote)}"]


class Probe:
    """The question to a host whether ranks can run there, asked without waiting for the answer."""

    def __init__(self, host: str, access: SshAccess, folder: Path) -> None:
        self.host = host
        python, place = shlex.quote(sys.executable), shlex.quote(str(folder.resolve()))
        script = f"test -x {python} || exit {_NO_PYTHON}; test -d {place} || exit {_NO_FOLDER}"
        command = ssh_command(host, access, ["sh", "-c", script])
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
            )
        except FileNotFoundError as error:
            raise MlctlError.of(
                "executor.no-ssh",
                "`ssh` is not installed here",
                f"`executor.hosts` names {host}, which is another machine and is reached by ssh alone",
                "install the client of OpenSSH, or train on this machine",
            ) from error

    @property
    def answered(self) -> bool:
        """Whether it is known by now."""
        return self._process.poll() is not None

    def problem(self) -> str | None:
        """Why ranks cannot run there, or None when they can. Waits for the answer."""
        try:
            _, said = self._process.communicate(timeout=_PROBE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            return f"it did not answer within {_PROBE_SECONDS:.0f} s"
        code = self._process.returncode
        if code == 0:
            return None
        return _REASONS.get(code) or said.decode(errors="replace").strip() or f"ssh left with exit code {code}"
