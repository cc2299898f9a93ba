"""The `llm_server` program: keep one engine, and what its clients see of it, until told to stop.

With a port of its own there is a server in front of the engine (`front.py`): it takes the port over from the release before
once the engine can be asked, so nobody notices a new version. Behind a gateway (port 0) an engine that runs our middleware
inside is asked directly. Either way nothing of the engine is left when this ends: it ends the engine's session itself, a
watchdog does when this is killed, and the next release when that was killed too.

A release that differs from one that runs in nothing but its adapter has that one's engine load it, and shares the engine.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

from mlctl.files import atomic
from mlctl.processes import engine as engines
from mlctl.runtime import logs
from mlctl.runtime.llm.adapters import Adapters
from mlctl.runtime.llm.cores import Cores
from mlctl.runtime.llm.engine import KEY_VARIABLE, Engine, free_port, new_key
from mlctl.runtime.llm.failure import failed
from mlctl.runtime.llm.inside.guard import IDENTITY
from mlctl.runtime.llm.loading import Loading, say
from mlctl.runtime.llm.places import engine_folder, places, tidy
from mlctl.runtime.llm.settings import answers_to, as_text, middleware_settings
from mlctl.runtime.report import Report
from mlctl.runtime.server.handover import Handover, obtain
from mlctl.types.job import JobResult, JobStatus
from mlctl.types.jobs.llm import LlmJob
from mlctl.types.jobs.server import READY_FILE, server_url

_LOOPBACK = "127.0.0.1"
_ENGINE_GRACE_SECONDS = 10.0
_POLL_SECONDS = 0.2


def main(params: dict[str, Any], report: Report) -> JobResult:
    """Have an engine with the model, and serve until SIGTERM. Raises MlctlError when the engine cannot do that."""
    job = LlmJob.model_validate(params)
    if job.observe.json_logs:
        logs.as_json("llm_server")
    folder = report.folder.absolute()
    stop = _Stop()
    _sweep(folder)
    if job.port == 0 and job.engine.middleware:
        return _Server(job, folder, report, stop, inside=True).run_alone()
    handover = Handover(folder)
    listener = obtain(folder, job.host, job.port)  # first: a taken port is told before anything is loaded
    return _Server(job, folder, report, stop, inside=False).run_behind(listener, handover)


class _Stop:
    """Whether we were told to end."""

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def _ask(self, *_: object) -> None:
        self.asked = True

    def __call__(self) -> bool:
        return self.asked


class _Server:
    """One release. `inside` says whether clients ask the engine itself, with our middleware in it."""

    def __init__(self, job: LlmJob, folder: Path, report: Report, stop: _Stop, *, inside: bool) -> None:
        self._job, self._folder, self._report, self._stop, self._inside = job, folder, report, stop, inside
        self._root = Path.cwd()
        self._engine = Engine(job.engine, folder, self._root)
        self._cores: Cores | None = None
        self._began = time.monotonic()

    def run_alone(self) -> JobResult:
        """The engine answers by itself, on a port of the system's choice."""
        job, engine = self._job, self._engine
        try:
            if not self._begin():
                return JobResult(JobStatus.DONE)
            self._tell_ready(engine.at.host, engine.at.port)
            while not self._stop():
                if (how := engine.ended()) is not None:
                    raise failed(self._folder, job.engine, f"it ended {how}")
                time.sleep(_POLL_SECONDS)
            say("draining")
        finally:
            # it finishes what is under way by itself: whoever stops us has sent nobody here any more
            self._end(job.timeout_seconds + _ENGINE_GRACE_SECONDS)
        return JobResult(JobStatus.DONE)

    def run_behind(self, listener: socket.socket, handover: Handover) -> JobResult:
        """A server in front of the engine has the port."""
        job = self._job
        try:
            if not self._begin():
                return JobResult(JobStatus.DONE)
            from mlctl.runtime.llm.serving import serve  # uvicorn and aiohttp

            host, port = listener.getsockname()[:2]

            def ready() -> None:
                handover.open(listener)
                self._tell_ready(host, port)
                if self._stop():  # before anybody listened to it
                    os.kill(os.getpid(), signal.SIGTERM)

            def drain() -> None:
                say("draining")
                handover.close()

            how = serve(job, self._folder, self._root, self._engine, listener, ready, drain)
            if how is not None:
                raise failed(self._folder, job.engine, f"it ended {how}")
        finally:
            self._end(_ENGINE_GRACE_SECONDS)
        return JobResult(JobStatus.DONE)

    def _begin(self) -> bool:
        """Have an engine that answers, with our adapter; False when we were told to end meanwhile. Raises MlctlError."""
        job, engine = self._job, self._engine
        shared = None if job.adapter is None else f"{job.engine_digest()}:{'inside' if self._inside else 'front'}"
        if shared is not None and self._join(shared):
            say(f"shares the engine on port {engine.at.port} with another release")
        else:
            self._start(shared)
            why = engine.wait_ready(self._stop, Loading(self._report, job.engine.type).look)
            if self._stop():
                say("told to end while the engine was starting")
                return False
            if why:
                raise failed(self._folder, job.engine, why)
        tidy(self._folder, Path(engine.at.folder), self._inside)
        if job.adapter is not None:
            Adapters(engine.at, self._token()).load(job.adapter, self._root)
            say(f"the engine has the adapter {job.adapter.name}")
        return True

    def _join(self, shared: str) -> bool:
        """Take part in an engine, unless it calls something else by our adapter's name: a registry can begin anew with version 1."""
        adapter, engine = self._job.adapter, self._engine
        if adapter is None or not engine.join(shared):
            return False
        if Adapters(engine.at, self._token()).taken(adapter, self._root):
            engine.stop(0.0)
            return False
        return True

    def _start(self, shared: str | None) -> None:
        job, host = self._job, self._job.host if self._inside else _LOOPBACK
        own, key = engine_folder(self._folder, shared), new_key()
        given = {KEY_VARIABLE: key}
        if not self._inside:
            given |= {name: key for name in job.engine.key_variables}
        else:
            settings = middleware_settings(job, own, self._root)
            who = {"deployment": job.deployment, "release": self._folder.name, "key": key, "names": answers_to(job)}
            given |= {
                "PYTHONPATH": str(own / "packages"),
                "MLCTL_MIDDLEWARE": as_text(settings),
                IDENTITY: json.dumps(who),
            }
        known = places(job, own, self._root)
        if job.engine.threads is not None:
            self._cores = Cores(job.engine.threads)
            known |= {"cores": str(self._cores), "threads": str(len(self._cores.numbers))}
            say(f"the engine has cores {self._cores}" + (", which others use too" if self._cores.shared else ""))
        self._engine.start(host, free_port(host), shared, known, given, job.engine.middleware if self._inside else [])

    def _token(self) -> str | None:
        """What an engine asks those for who want its models."""
        return self._job.admission.token if self._inside else self._engine.at.key

    def _tell_ready(self, host: str, port: int) -> None:
        job = self._job
        ready = {
            "deployment": job.deployment, "release": self._folder.name, "model": job.model.name, "version": job.model.version,
            "url": server_url(host, port), "host": host, "port": port, "engine": job.engine.type,
        }  # fmt: skip
        atomic.write_json(self._folder / READY_FILE, ready)
        say(f"ready on {ready['url']} after {time.monotonic() - self._began:.1f} s")

    def _end(self, grace_seconds: float) -> None:
        engine, adapter = self._engine, self._job.adapter
        if adapter is not None and engine.kept is not None and engines.shared(self._folder):
            Adapters(engine.kept, self._token()).unload(adapter.name)
        if engine.stop(grace_seconds):
            say("the engine has ended")
        elif engine.kept is not None:
            say("the engine goes on for another release")


def _sweep(folder: Path) -> None:
    """End what releases that are gone have left of their engines, this one's earlier self among them."""
    for sibling in sorted(folder.parent.iterdir()):
        if sibling != folder and sibling.is_dir() and engines.sweep(sibling):
            say(f"ended what release {sibling.name} had left of its engine")
    if (kept := engines.leave(folder)) is not None and engines.end(folder, kept, _ENGINE_GRACE_SECONDS):
        say("ended what this release had left of its engine")
