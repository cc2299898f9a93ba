"""A whole project in a folder of its own, driven only through the `mlctl` command line; every process it starts ends with it."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.integration.loop.shop import write_shop

MLCTL = str(Path(sys.executable).with_name("mlctl"))
TRAINING = "training.shops_next_week"
GATE = "evaluations.shops_gate"
SERVER = "deployments.shops_api"
DATA_FILES = ("purchases", "households", "labels", "labels_holdout")
_WAIT_SECONDS = 300.0  # nothing here takes a tenth of it on a quiet machine


@dataclass(frozen=True)
class Done:
    """A command that has ended: its exit code, and its JSON lines if it wrote any."""

    exit_code: int
    output: str
    errors: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The JSON lines of stdout."""
        return [json.loads(line) for line in self.output.splitlines()]

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The JSON lines of one type."""
        return [line for line in self.lines if line["type"] == kind]

    def planned(self) -> dict[str, dict[str, Any]]:
        """The planned change of each address."""
        return {line["address"]: line for line in self.of("planned_change")}

    def started(self) -> Counter[str]:
        """What was run, and how often: a step that only notes or reuses something does not start."""
        return Counter(line["address"] for line in self.of("apply_start"))

    def outputs(self, address: str) -> dict[str, Any]:
        """What a completed step put out."""
        (line,) = [line for line in self.of("apply_complete") if line["address"] == address]
        return dict(line["outputs"])

    def __str__(self) -> str:
        return f"exit {self.exit_code}\n{self.output[-4000:]}\n{self.errors[-4000:]}"


@dataclass
class Loop:
    """The project. `keep` makes what the files hold now the state that every test begins with."""

    root: Path
    port: int
    first_digests: dict[str, str] = field(default_factory=dict)  # of the first apply, before any test changed a thing
    _kept: dict[str, bytes] = field(default_factory=dict)
    _running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @classmethod
    def make(cls, root: Path) -> Loop:
        """Write project file and data; nothing is applied yet."""
        write_shop(root / "data")
        loop = cls(root.resolve(), free_port())
        shutil.copyfile(Path(__file__).with_name("mlctl.yaml"), loop.file)
        loop.edit("port: 18080", f"port: {loop.port}")
        loop.keep()
        return loop

    @property
    def file(self) -> Path:
        """The project file."""
        return self.root / "mlctl.yaml"

    @property
    def home(self) -> Path:
        """Where mlctl keeps state and objects."""
        return self.root / ".mlctl" / "default"

    def data(self, name: str) -> Path:
        """A data file."""
        return self.root / "data" / f"{name}.csv"

    def edit(self, old: str, new: str) -> None:
        """Change one place of the project file."""
        text = self.file.read_text()
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in the project file"
        self.file.write_text(text.replace(old, new))

    def keep(self) -> None:
        """Begin the next test with the files as they are now."""
        self._kept = {str(path): path.read_bytes() for path in [self.file, *map(self.data, DATA_FILES)]}

    def restore(self) -> None:
        """Bring the files back to what was kept, and the objects with them."""
        for name, content in self._kept.items():
            if Path(name).read_bytes() != content:
                Path(name).write_bytes(content)
        if self.plan().exit_code != 0:
            self.apply()
        assert self.plan().exit_code == 0

    def run(self, *arguments: str) -> Done:
        """Run a command to its end."""
        return self.finish(self.start(*arguments))

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a command; stdout and stderr go to files, so that it never waits for a reader."""
        folder = self.root.parent / "commands"
        folder.mkdir(exist_ok=True)
        number = len(self._running)
        with open(folder / f"{number}.out", "wb") as out, open(folder / f"{number}.err", "wb") as err:
            process = subprocess.Popen(
                [MLCTL, *arguments], cwd=self.root, stdin=subprocess.DEVNULL, stdout=out, stderr=err
            )
        self._running.append(process)
        return process

    def finish(self, process: subprocess.Popen[bytes]) -> Done:
        """Wait for a command that was started."""
        code = process.wait(_WAIT_SECONDS)
        stem = self.root.parent / "commands" / str(self._running.index(process))
        return Done(code, stem.with_suffix(".out").read_text(), stem.with_suffix(".err").read_text())

    def plan(self, *arguments: str) -> Done:
        """`mlctl plan` for a machine: exit 2 when there is something to do."""
        done = self.run("plan", "--json", "--detailed-exitcode", *arguments)
        assert done.exit_code in (0, 2), done
        return done

    def apply(self, *arguments: str, exit_code: int = 0) -> Done:
        """`mlctl apply` for a machine."""
        done = self.run("apply", "--auto-approve", "--json", *arguments)
        assert done.exit_code == exit_code, done
        return done

    def status(self) -> dict[str, dict[str, Any]]:
        """What `mlctl status` says of each address."""
        return {line["address"]: line for line in self.run("status", "--json").lines}

    def show(self, address: str) -> dict[str, Any]:
        """The record of an address."""
        done = self.run("show", address, "--json")
        assert done.exit_code == 0, done
        (record,) = done.lines
        return record

    def objects(self, address: str) -> dict[str, str | None]:
        """The keys in the state that belong to an address, and what each was cut off in."""
        lines = self.run("state", "list", "--json").lines
        return {line["key"]: line["pending"] for line in lines if line["key"].partition("#")[0] == address}

    def digests(self, addresses: Iterable[str]) -> dict[str, str]:
        """The digest of what objects put out: what their dependents go by."""
        return {address: self.show(address)["outputs"]["digest"] for address in addresses}

    def server_pid(self) -> int:
        """The process that serves, by its release's own file."""
        release = self.show(SERVER)["id"]
        stored = json.loads(
            (self.home / "objects" / SERVER / "self" / "releases" / release / "process.json").read_bytes()
        )
        return int(stored["pid"])

    def results(self) -> dict[str, int]:
        """When the result of each job was written: what ran again, wrote again."""
        return {str(path): path.stat().st_mtime_ns for path in (self.home / "objects").rglob("result.json")}

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        """Rows of the MLflow database."""
        database = f"{(self.root / '.mlctl' / 'mlflow.db').as_uri()}?mode=ro"
        with closing(sqlite3.connect(database, uri=True, timeout=20)) as connection:
            return connection.execute(query).fetchall()

    def aliased_version(self) -> str | None:
        """The version that shops@champion points at in MLflow."""
        rows = self.sql("SELECT version FROM registered_model_aliases WHERE name = 'shops' AND alias = 'champion'")
        return str(rows[0][0]) if rows else None

    def mlflow_alias(self, version: str) -> None:
        """Point shops@champion at a version behind mlctl's back, as its owner may with MLflow."""
        with closing(sqlite3.connect(self.root / ".mlctl" / "mlflow.db", timeout=20)) as connection, connection:
            connection.execute("UPDATE registered_model_aliases SET version = ? WHERE name = 'shops' AND alias = 'champion'", (int(version),))  # fmt: skip

    def versions(self) -> list[str]:
        """All registered versions of the model."""
        query = "SELECT version FROM model_versions WHERE name = 'shops' AND current_stage != 'Deleted_Internal' ORDER BY version"
        return [str(row[0]) for row in self.sql(query)]

    def runs(self, address: str) -> list[tuple[str, str]]:
        """Id and status of the MLflow runs of an address that are not deleted."""
        query = "SELECT r.run_uuid, r.status FROM runs r JOIN tags t ON t.run_uuid = r.run_uuid WHERE r.lifecycle_stage = 'active'"
        return [(row[0], row[1]) for row in self.sql(f"{query} AND t.key = 'mlctl.object' AND t.value LIKE '{address}#%'")]  # fmt: skip

    def predict(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """One request to the server."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with closing(connection):
            connection.request("POST", "/predict", json.dumps(body), {"content-type": "application/json"})
            response = connection.getresponse()
            answer = response.read()
        assert response.status == 200, answer
        return dict(json.loads(answer))

    def served_version(self) -> str:
        """The version that answers now."""
        return str(self.predict({"household_id": 1})["version"])

    @contextmanager
    def traffic(self) -> Iterator[Traffic]:
        """Ask the server all the time, meanwhile."""
        traffic = Traffic(self)
        thread = threading.Thread(target=traffic.flow)
        thread.start()
        try:
            yield traffic
        finally:
            traffic.stop.set()
            thread.join()

    def processes(self) -> list[psutil.Process]:
        """Every live process that works in this project."""
        found = []
        for process in psutil.process_iter(["cmdline", "status"]):
            words = process.info["cmdline"] or []
            if process.info["status"] != psutil.STATUS_ZOMBIE and any(str(self.root) in word for word in words):
                found.append(process)
        return found

    def workers(self) -> list[psutil.Process]:
        """The live processes of this project but for its server."""
        return [process for process in self.processes() if SERVER not in " ".join(process.info["cmdline"])]

    def kill_workers(self) -> None:
        """SIGKILL to every process at work, in no order."""
        for process in self.workers():
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def close(self) -> None:
        """Kill whatever is left."""
        for process in self._running:
            if process.poll() is None:
                process.kill()
                process.wait()
        for _ in range(3):  # a process that was about to start another
            for found in self.processes():
                with suppress(psutil.NoSuchProcess):
                    found.kill()
            time.sleep(0.1)


@dataclass
class Traffic:
    """Requests one after another, and what came of them."""

    loop: Loop
    versions: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def flow(self) -> None:
        """Ask until told to stop."""
        number = 0
        while not self.stop.is_set():
            number += 1
            try:
                self.versions.append(str(self.loop.predict({"household_id": number % 160 + 1})["version"]))
            except (OSError, http.client.HTTPException, AssertionError, ValueError) as error:
                self.failures.append(f"{type(error).__name__}: {error}")
            time.sleep(0.02)


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    """Wait until something holds, and give what it gave."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.005)
    return found


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def kill(pid: int) -> None:
    """SIGKILL to one process."""
    os.kill(pid, 9)
