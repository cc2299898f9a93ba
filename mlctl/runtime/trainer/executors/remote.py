"""One machine of a training that shares no disk with whoever started it: all it gets and gives goes through a bucket.

`python -m mlctl.runtime.trainer.executors.remote s3://bucket/PLACE --attempt ID [OPTIONS] -- ARGUMENTS OF TORCHRUN`

It fetches what the ranks need and the newest checkpoint, runs torchrun in a folder of its own, and sends on progress, logs and
checkpoints while it does, and at last the weights. An object `stop` asks for a checkpoint and the end, as SIGTERM does.
Exit code 0: it is told how the training ended; 65: a rank raised an error, and would again; 75: start me anew, it goes on.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from blake3 import blake3

from mlctl.runtime import process
from mlctl.runtime.trainer.checkpoint_nodes import NodeCopies
from mlctl.runtime.trainer.executors import failures
from mlctl.runtime.trainer.executors.environment import rank_environment
from mlctl.runtime.trainer.executors.lifeline import PARENT_VARIABLE
from mlctl.runtime.trainer.executors.meter import Meter
from mlctl.runtime.trainer.executors.parcel import receive
from mlctl.runtime.trainer.executors.ranks import LOGS_FOLDER, how_ended
from mlctl.runtime.trainer.executors.stream import Outgoing
from mlctl.runtime.trainer.objects import Objects, below
from mlctl.runtime.trainer.plan import ENDED_FILE, ERRORS_FOLDER, PROGRESS_FILE, RankPlan
from mlctl.runtime.trainer.stop import StopSignal
from mlctl.runtime.trainer.storage import CheckpointCopies, fetch_newest, fetch_recent
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.recipe import Storage
from mlctl.types.jobs.train import CHECKPOINTS

DONE, FAILED, AGAIN = 0, 65, 75
WEIGHTS, CURVE_FILE, LOG_FILE = "weights", "curve.bin", "log.txt"
_NODE_VARIABLES = ("PET_NODE_RANK", "SKYPILOT_NODE_RANK", "JOB_COMPLETION_INDEX")
_POLL_SECONDS, _SEND_SECONDS = 0.2, 1.0
_LEAVE_SECONDS = 35.0  # torchrun gives its ranks 30 s
_RECENT = 2  # checkpoints that each of several machines fetches: one of them may have missed the last
_FLUSH_SECONDS = 900.0  # for the last checkpoint to arrive in the bucket


class Machine:
    """This machine's part of one attempt."""

    def __init__(self, options: argparse.Namespace, torchrun: Sequence[str]) -> None:
        storage = Storage(url=options.place, endpoint_url=options.endpoint_url, region=options.region)
        self.job = Objects(storage)
        self.run = Objects(below(storage, "run", options.attempt))
        self.node, self.nodes = options.node_rank, options.nodes
        self._torchrun = list(torchrun)
        self._scratch = Path(options.scratch)
        self._stop = StopSignal()
        self._asked = False  # by the one who started the training, who is told how it ended
        self.folder = self._scratch / "job"
        self._meter = Meter(self.run, options.max_seconds) if self.node == 0 else None

    def work(self) -> int:
        """From the first file that is fetched to the last that is sent. Raises MlctlError."""
        manifest = self.run.get_json("manifest.json")
        if manifest is None:
            raise MlctlError.of("training.remote-empty", f"there is no training in {self.run.storage.url}")
        ended = self.run.get_json("ended.json")
        if ended is not None:  # by a life of this job before
            return DONE
        if self._meter is not None and self._meter.over:  # and it was not told so: it was lost right then
            return self._end(None)
        self.folder = receive(self.job, manifest, self._scratch)
        for name in (ENDED_FILE, PROGRESS_FILE, LOG_FILE):
            (self.folder / name).unlink(missing_ok=True)
        checkpoints = Objects(below(self.job.storage, CHECKPOINTS))
        if self.nodes == 1:
            fetch_newest(checkpoints, self.folder / CHECKPOINTS, _tell)
        else:
            fetch_recent(checkpoints, self.folder / CHECKPOINTS, _RECENT, _tell)
        plan = RankPlan.read(self.folder)
        keep = plan.recipe.checkpoint.keep
        copies = (
            CheckpointCopies(checkpoints, self.folder / CHECKPOINTS, keep, _tell)
            if self.nodes == 1
            else NodeCopies(checkpoints, self.folder / CHECKPOINTS, keep, _tell, self.node, self.nodes)
        )
        copies.start()
        code = self._train(getattr(plan.data, "base", None))
        late = copies.close(_FLUSH_SECONDS)
        if late is not None:
            _tell(f"{late.diagnostics[0].summary}: {late.diagnostics[0].why}")
        return self._conclude(code)

    def _train(self, base: str | None) -> int:
        """Run the ranks of this machine to their end, however it comes about; torchrun's exit code."""
        progress = Outgoing(self.run, "progress", self.folder / PROGRESS_FILE)
        log = Outgoing(self.run, f"log/{self.node:03d}", self.folder / LOG_FILE)
        agent = self._start(base)
        asked_at, sent_at = None, 0.0
        while agent.poll() is None:
            now = time.monotonic()
            if now - sent_at >= _SEND_SECONDS:
                self._exchange([progress, log] if self.node == 0 else [log])
                sent_at = time.monotonic()
            if self._stop.set and asked_at is None:
                asked_at = now
                agent.send_signal(signal.SIGTERM)
            if asked_at is not None and now - asked_at > _LEAVE_SECONDS:
                agent.kill()
            time.sleep(_POLL_SECONDS)
        for stream in [progress, log] if self.node == 0 else [log]:
            stream.send()
        return agent.returncode

    def _start(self, base: str | None) -> subprocess.Popen[bytes]:
        # a path from the working directory: ranks of other machines, whose folders stand elsewhere, speak of the same one
        place = os.path.relpath(self.folder, self._scratch / "project")
        command = [
            sys.executable, "-m", "mlctl.runtime.trainer.executors.agent", place, str(self.node), *self._torchrun,
            "--max-restarts", "0", "--monitor-interval", "0.1", "--log-dir", f"{place}/{LOGS_FOLDER}", "--redirects", "3", "--tee", "3",
            "-m", "mlctl.runtime.trainer.worker", place,
        ]  # fmt: skip
        environment = {**os.environ, **rank_environment(base), PARENT_VARIABLE: str(os.getpid())}
        with open(self.folder / LOG_FILE, "wb") as log:
            return subprocess.Popen(
                command, cwd=self._scratch / "project", env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip

    def _exchange(self, streams: Sequence[Outgoing]) -> None:
        """Send what is new, and hear whether to stop. A bucket that is away for a while does not end a training."""
        try:
            for stream in streams:
                stream.send()
            if self._meter is not None:
                self._meter.note()
                if self._meter.over and not self._asked:
                    self.run.put("stop", b"")  # so that all machines hear of it
            if not self._asked and self.run.get("stop") is not None:
                self._asked = self._stop.set = True
                self.run.put_json("stopping.json", {"time": time.time()})
        except MlctlError as error:
            _tell(error.diagnostics[0].summary)

    def _conclude(self, code: int) -> int:
        """Send what is left behind, and say last of all how it ended, if it has."""
        errors = sorted((self.folder / ERRORS_FOLDER).glob("*.json"))
        for path in errors:
            self.run.put_file(f"errors/{path.name}", path)
        for path in sorted((self.folder / LOGS_FOLDER).rglob("*.log")):
            self.run.put_file(f"ranks/{path.relative_to(self.folder / LOGS_FOLDER).as_posix()}", path)
        ended = how_ended(self.folder)
        preempted = ended is not None and ended["status"] == "preempted"
        failed = failures.own_error(self.folder) is not None
        if self.node != 0:
            return FAILED if failed else DONE if (code == 0 and not preempted) or self._asked else AGAIN
        if ended is not None and (not preempted or self._asked):
            return self._end(ended)
        exits = failures.exits(self.folder)
        died = {rank: failures.in_words(number) for rank, number in exits.items()}
        why = ", ".join(f"rank {rank} {words}" for rank, words in died.items()) or f"torchrun {failures.in_words(code)}"
        self.run.put_json("left.json", {"why": why, "time": time.time()})
        if self._meter is not None:
            self._meter.note(now=True)
        if failed or self._asked:
            self._end(None)
        return FAILED if failed else DONE if self._asked else AGAIN

    def _end(self, ended: dict[str, Any] | None) -> int:
        """Say how it ended, with what the machines took and whether that was all they may."""
        told: dict[str, Any] = {"ended": ended, "files": {} if ended is None else self._send_results()}
        if self._meter is not None:
            self._meter.note(now=True)
            told["limit"] = self._meter.allowed if self._meter.over else None
            if ended is not None:
                told["ended"] = {**ended, "machine_seconds": round(self._meter.seconds, 1)}
        self.run.put_json("ended.json", told)
        return DONE

    def _send_results(self) -> dict[str, str]:
        """The weights, if there are any, and the curve, by name with their digests."""
        found = [path for path in sorted((self.folder / WEIGHTS).rglob("*")) if path.is_file()]
        found += [path for path in [self.folder / CURVE_FILE] if path.exists()]
        files = {}
        for path in found:
            name = path.relative_to(self.folder).as_posix()
            self.run.put_file(f"results/{name}", path)
            files[name] = str(blake3().update_mmap(path).hexdigest())
        return files


def _options(arguments: Sequence[str], environment: Mapping[str, str]) -> tuple[argparse.Namespace, list[str]]:
    """What stands before `--`, and what behind it."""
    own, torchrun = list(arguments), list[str]()
    if "--" in own:
        cut = own.index("--")
        own, torchrun = own[:cut], own[cut + 1 :]
    parser = argparse.ArgumentParser(prog="remote", description=__doc__)
    parser.add_argument("place")
    parser.add_argument("--attempt", required=True)
    parser.add_argument("--endpoint-url")
    parser.add_argument("--region")
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument("--max-seconds", type=float)
    known = next((environment[name] for name in _NODE_VARIABLES if environment.get(name)), "0")
    parser.add_argument("--node-rank", type=int, default=int(known))
    parser.add_argument("--scratch", default=environment.get("MLCTL_SCRATCH", "mlctl-scratch"))
    options = parser.parse_args(own)
    options.scratch = os.path.abspath(options.scratch)
    return options, torchrun


def _tell(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def main(arguments: Sequence[str]) -> int:
    """Do the work, and turn what goes wrong into words and an exit code."""
    options, torchrun = _options(arguments, os.environ)
    try:
        return Machine(options, torchrun).work()
    except MlctlError as error:
        for item in error.diagnostics:
            _tell(f"{item.summary}\n  {item.why}\n  {item.fix}")
        return FAILED if error.diagnostics[0].code.startswith("training.remote-") else AGAIN


if __name__ == "__main__":
    process.begin()
    process.leave(main(sys.argv[1:]))
