"""The ranks of a training on several machines: one torchrun a host, started here or through ssh.

This program alone decides which hosts take part in an attempt. When a host is lost the attempt is over; the next one begins from
the newest checkpoint with the hosts that answer, if those are enough, and when the lost one is back, the ranks are asked to save
and are started on all hosts again. So it makes no difference which host is lost, that of the rendezvous included.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from mlctl.runtime.trainer.executors.agent import STOP, TOLD
from mlctl.runtime.trainer.executors.environment import rank_environment, rank_threads, travelling
from mlctl.runtime.trainer.executors.failures import End, end_of
from mlctl.runtime.trainer.executors.hosts import Probe, free_port, is_loopback, is_own, ssh_command
from mlctl.runtime.trainer.executors.lifeline import PARENT_VARIABLE, end_descendants, take_in_orphans
from mlctl.runtime.trainer.executors.local import AGENT, STOP_SECONDS, shared, torchrun_arguments
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.executors import TorchrunExecutor
from mlctl.types.jobs.train import TrainJob

_PORT = 29500
_LOOK_SECONDS = 10.0  # between two looks at a host that was lost


def executor(job: TrainJob) -> Torchrun:
    """The hosts that a job names."""
    assert isinstance(job.executor, TorchrunExecutor)  # noqa: S101
    return Torchrun(job, job.executor)


class Torchrun:
    """Starts one agent a host. They end with this program, so there are none to be found again."""

    stop_seconds = STOP_SECONDS
    outlives = False
    needs_plan = False

    def __init__(self, job: TrainJob, asked: TorchrunExecutor) -> None:
        self.restarts = asked.restarts
        self._asked = asked
        self._per_host = shared(job.recipe.layout.processes, len(asked.hosts))
        self._base = getattr(job.recipe.model, "base", None)
        self._attempts = 0
        take_in_orphans()

    def start(self, folder: Path) -> Nodes:
        """One agent on each host that answers. Raises MlctlError when those are not enough."""
        probes = {host: Probe(host, self._asked.ssh, folder) for host in self._asked.hosts if not is_own(host)}
        lost = {host: problem for host, probe in probes.items() if (problem := probe.problem()) is not None}
        hosts = [host for host in self._asked.hosts if host not in lost]
        if len(hosts) < self._asked.min_nodes:
            reasons = "; ".join(f"{host}: {problem}" for host, problem in lost.items())
            raise MlctlError.of(
                "executor.hosts-lost",
                f"{len(hosts)} of {len(self._asked.hosts)} hosts can be used, and {self._asked.min_nodes} are needed",
                reasons,
                "see that `ssh HOST` works without a password; then run `mlctl apply` again: it goes on from the last checkpoint",
            )
        self._attempts += 1
        master = hosts[0]
        port = self._asked.port or (free_port() if is_own(master) else _PORT)
        agents = [self._agent(folder, hosts, index, port) for index in range(len(hosts))]
        return Nodes(folder, agents, [Lost(host, self._asked, folder) for host in lost])

    def rejoin(self, folder: Path) -> None:
        """There is nothing to find."""

    def _agent(self, folder: Path, hosts: list[str], index: int, port: int) -> subprocess.Popen[bytes]:
        """torchrun on one host. What it is told comes through its input, as does the end of this program."""
        place = folder.resolve()
        command = [sys.executable, "-m", AGENT, str(place), str(index), TOLD]
        command += ["--nnodes", str(len(hosts)), "--node-rank", str(index)]
        command += ["--master-addr", hosts[0], "--master-port", str(port)]
        command += torchrun_arguments(place, self._per_host, f"attempt-{self._attempts}/node-{index}")
        told = rank_environment(self._base)
        if all(is_loopback(host) for host in hosts):
            told["GLOO_SOCKET_IFNAME"] = "lo"
        environment: Mapping[str, str] = os.environ
        if is_own(hosts[index]):
            environment = {**os.environ, PARENT_VARIABLE: str(os.getpid())}
            told |= rank_threads(self._per_host * sum(map(is_own, hosts)))  # agents here share this machine's cores
        else:
            command = ssh_command(hosts[index], self._asked.ssh, command)
            told = travelling({**os.environ, **told})
        agent = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, start_new_session=True)
        _tell(agent, json.dumps(told))
        return agent


class Lost:
    """A host that did not answer: looked at now and then, in case it is back."""

    def __init__(self, host: str, asked: TorchrunExecutor, folder: Path) -> None:
        self._host, self._asked, self._folder = host, asked, folder
        self._probe: Probe | None = None
        self._next = time.monotonic() + _LOOK_SECONDS

    def back(self) -> bool:
        """Whether it answers again."""
        if self._probe is not None and self._probe.answered:
            problem, self._probe = self._probe.problem(), None
            return problem is None
        if self._probe is None and time.monotonic() > self._next:
            self._next = time.monotonic() + _LOOK_SECONDS
            self._probe = Probe(self._host, self._asked.ssh, self._folder)
        return False


class Nodes:
    """The agents of one attempt. The first one to fail ends it for all."""

    word = ""

    def __init__(self, folder: Path, agents: list[subprocess.Popen[bytes]], lost: list[Lost]) -> None:
        self._folder, self._agents, self._lost = folder, agents, lost
        self._asked = False
        self._first: dict[int, int] | None = None  # exit codes of the agents that failed before others were ended

    @property
    def running(self) -> bool:
        """Whether any agent lives. Where one has failed the others are ended, and a host that is back ends the attempt."""
        codes = [agent.poll() for agent in self._agents]
        failed = {index: code for index, code in enumerate(codes) if code}
        if failed and self._first is None and not self._asked:
            self._first = failed
            self._end_others()
        if not self._asked and not failed and any(host.back() for host in self._lost):
            self.ask_to_stop()
        return None in codes and any(agent.poll() is None for agent in self._agents)

    def ask_to_stop(self) -> None:
        """`stop` to every agent, which passes it on to its ranks."""
        self._asked = True
        for agent in self._agents:
            if agent.poll() is None:
                _tell(agent, STOP)

    def kill(self) -> None:
        """End every agent; one on another host ends when its input does."""
        for agent in self._agents:
            if agent.stdin is not None:
                agent.stdin.close()
        for agent in self._agents:
            try:
                agent.wait(5)
            except subprocess.TimeoutExpired:
                agent.kill()
                agent.wait()
        end_descendants()

    def end(self) -> End:
        """By the words of the ranks, else by the exit codes of the agents."""
        codes = self._first or {index: agent.wait() for index, agent in enumerate(self._agents)}
        return end_of(self._folder, codes, several=len(self._agents) > 1)

    def _end_others(self) -> None:
        """Ranks that lost another one find out by themselves, but some only after minutes."""
        deadline = time.monotonic() + 3.0
        while time.monotonic() < deadline and any(agent.poll() is None for agent in self._agents):
            time.sleep(0.05)
        self.kill()


def _tell(agent: subprocess.Popen[bytes], text: str) -> None:
    assert agent.stdin is not None  # noqa: S101
    try:
        agent.stdin.write(text.encode() + b"\n")
        agent.stdin.flush()
    except (BrokenPipeError, ValueError):  # it is gone already, which its exit code tells
        pass
