"""The event loop of a server in front of an engine: requests, the engine's life, and changes of adapters."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from mlctl.processes import logs
from mlctl.runtime.llm.engine import Engine
from mlctl.runtime.llm.front import Front, Named
from mlctl.runtime.llm.settings import answers_to, middleware_settings
from mlctl.runtime.middleware import Middleware
from mlctl.runtime.server.serve import run
from mlctl.types import job as contract
from mlctl.types.jobs.llm import LlmJob

_POLL_SECONDS = 0.2
_LOG_SECONDS = 60.0  # engines talk, and write into our log; behind a gateway its controller looks to that


def serve(
    job: LlmJob,
    folder: Path,
    root: Path,
    engine: Engine,
    listener: socket.socket,
    ready: Callable[[], None],
    drain: Callable[[], None],
) -> str | None:
    """Serve until SIGTERM, or until the engine ends: then how it did. `ready` and `drain` are called when the first request can be
    taken, and when no more are."""
    ended: list[str] = []
    who = {"deployment": job.deployment, "release": folder.name}
    known = job.engine.type != "command"
    front = Front(
        engine.url,
        engine.at.key,
        who,
        job.timeout_seconds,
        lambda: engine.ended() is None,
        known=known,
        names=answers_to(job),
    )
    middleware = Middleware(front, middleware_settings(job, folder, root))

    async def watch() -> None:
        looked = time.monotonic()
        try:
            while not ended:
                if (how := engine.ended()) is not None:
                    ended.append(how)
                    os.kill(os.getpid(), signal.SIGTERM)
                if not job.behind_gateway and time.monotonic() - looked > _LOG_SECONDS:
                    looked = time.monotonic()
                    with suppress(OSError):  # a full disk: at the next look
                        logs.cap(folder / contract.LOG_FILE)
                await asyncio.sleep(_POLL_SECONDS)
        finally:
            await front.close()

    def draining() -> None:
        middleware.draining = True
        drain()

    read_seconds = job.admission.read_seconds
    run(
        Named(middleware, job.adapter),
        listener,
        lambda: asyncio.ensure_future(watch()),
        ready,
        draining,
        job.timeout_seconds,
        read_seconds=read_seconds,
    )
    middleware.close()
    return ended[0] if ended else None
