"""Real servers on this machine that executors talk to: an sshd of our own, and a Slurm of one controller and two nodes."""

from __future__ import annotations

import getpass
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import psutil

from tests.integration.training.project import wait_for

# Slurm's own programs are in `sbin`, which is not on everyone's path.
_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def program(name: str) -> str:
    found = shutil.which(name, path=_PATH)
    assert found is not None, f"{name} is not installed; run scripts/servers"
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class SshServer:
    """An sshd on a free port of the loopback's second address, which mlctl does not take for this machine's own."""

    host = "127.0.0.2"

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.key = folder / "key"
        for name in ("key", "host"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
        (folder / "authorized").write_text((folder / "key.pub").read_text())
        settings = {
            "Port": self.port, "ListenAddress": self.host, "HostKey": folder / "host", "AuthorizedKeysFile": folder / "authorized",
            "PidFile": folder / "pid", "StrictModes": "no", "UsePAM": "no", "PasswordAuthentication": "no", "PermitRootLogin": "yes",
        }  # fmt: skip
        (folder / "sshd_config").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
        # ssh knows the server by this file, which a wrapper on the path names: the user's own is left alone
        key = (folder / "host.pub").read_text().split()
        (folder / "known").write_text(f"[{self.host}]:{self.port} {key[0]} {key[1]}\n")
        self.bin = folder / "bin"
        self.bin.mkdir()
        wrapper = self.bin / "ssh"
        wrapper.write_text(f'#!/bin/sh\nexec {program("ssh")} -o UserKnownHostsFile={folder / "known"} "$@"\n')
        wrapper.chmod(0o755)
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def access(self) -> dict[str, object]:
        return {"user": getpass.getuser(), "key": str(self.key), "port": self.port}

    def start(self) -> None:
        Path("/run/sshd").mkdir(exist_ok=True)  # where it shuts its helper in; it refuses to start without
        command = [program("sshd"), "-D", "-e", "-f", str(self.folder / "sshd_config")]
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(command, stderr=log)
        wait_for(self._listens, 10)

    def stop(self) -> None:
        """The machine is gone: nobody answers, and what was connected is cut off."""
        if self.process is None or self.process.poll() is not None:
            return
        everything = [*psutil.Process(self.process.pid).children(recursive=True), psutil.Process(self.process.pid)]
        for item in everything:
            try:
                item.kill()
            except psutil.NoSuchProcess:
                pass
        self.process.wait()

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((self.host, self.port)) == 0


class SlurmCluster:
    """munged, slurmctld and two slurmd, all with files of their own. The nodes are this machine twice."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))  # sockets allow short paths only
        self.folder.chmod(0o755)
        self.processes: list[subprocess.Popen[bytes]] = []
        self._munge()
        self._slurm()

    @property
    def environment(self) -> Mapping[str, str]:
        """With which the commands of Slurm, and the jobs, find this cluster."""
        return {"SLURM_CONF": str(self.folder / "slurm.conf"), "GLOO_SOCKET_IFNAME": "lo"}

    def run(self, *command: str) -> str:
        done = subprocess.run(
            command, env={**os.environ, **self.environment}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _munge(self) -> None:
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(1024))
        key.chmod(0o400)
        self.socket = self.folder / "munge.socket"
        place = {name: self.folder / f"munge.{name}" for name in ("log", "pid", "seed")}
        self._start(
            program("munged"), "--foreground", "--force", f"--key-file={key}", f"--socket={self.socket}", f"--log-file={place['log']}",
            f"--pid-file={place['pid']}", f"--seed-file={place['seed']}", "--num-threads=2",
        )  # fmt: skip
        wait_for(self.socket.exists, 10)

    def _slurm(self) -> None:
        controller, first, second = free_port(), free_port(), free_port()
        name, user = socket.gethostname(), getpass.getuser()
        for folder in ("state", "spool"):
            (self.folder / folder).mkdir()
        settings = {
            "ClusterName": "here", "SlurmctldHost": f"{name}(127.0.0.1)", "SlurmctldPort": controller, "SlurmUser": user, "SlurmdUser": user,
            "AuthType": "auth/munge", "AuthInfo": f"socket={self.socket}", "CredType": "cred/munge", "MpiDefault": "none",
            "StateSaveLocation": self.folder / "state", "SlurmdSpoolDir": self.folder / "spool" / "%n",
            "SlurmctldPidFile": self.folder / "slurmctld.pid", "SlurmdPidFile": self.folder / "slurmd.%n.pid",
            "SlurmctldLogFile": self.folder / "slurmctld.log", "SlurmdLogFile": self.folder / "slurmd.%n.log",
            "ProctrackType": "proctrack/linuxproc", "TaskPlugin": "task/none", "SwitchType": "switch/none", "JobAcctGatherType": "jobacct_gather/none",
            "SelectType": "select/cons_tres", "SelectTypeParameters": "CR_Core", "ReturnToService": 2, "SchedulerType": "sched/backfill",
            "SlurmdParameters": "config_overrides", "KillWait": 5, "MinJobAge": 300, "InactiveLimit": 0, "SlurmctldTimeout": 30, "SlurmdTimeout": 30,
            "SchedulerParameters": "batch_sched_delay=1,sched_interval=2", "CommunicationParameters": "NoAddrCache", "JobRequeue": 1,
        }  # fmt: skip
        lines = [f"{key}={value}" for key, value in settings.items()]
        lines += [
            f"NodeName=n{index} NodeHostname={name} NodeAddr=127.0.0.1 Port={port} CPUs=2 RealMemory=2000 State=UNKNOWN"
            for index, port in ((1, first), (2, second))
        ]
        lines.append("PartitionName=main Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP")
        (self.folder / "slurm.conf").write_text("\n".join(lines) + "\n")
        self._start(program("slurmctld"), "-D", "-f", str(self.folder / "slurm.conf"))
        for node in ("n1", "n2"):
            self._start(program("slurmd"), "-D", "-N", node, "-f", str(self.folder / "slurm.conf"))
        wait_for(self._idle, 30)

    def _idle(self) -> bool:
        done = subprocess.run(
            ["sinfo", "--noheader", "--format=%T %D"], env={**os.environ, **self.environment}, capture_output=True, text=True, check=False
        )  # fmt: skip
        return done.stdout.split() == ["idle", "2"]

    def _start(self, *command: str) -> None:
        with open(self.folder / f"{Path(command[0]).name}.out", "ab") as log:
            environment = {**os.environ, **self.environment}
            self.processes.append(subprocess.Popen(command, stdout=log, stderr=log, env=environment))
