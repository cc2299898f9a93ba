"""Apply a version and die by SIGKILL on the way: `python -m tests.integration.serving.cut_apply ROOT PORT VERSION MODEL POINT`.

POINT names the function of `mlctl.providers.serving.releases` (or of `service` there) before whose call it dies.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from mlctl.launch import service
from mlctl.providers.serving import releases
from tests.integration.serving.project import Project


def die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main(root: str, port: str, version: str, model: str, point: str) -> None:
    project = Project(Path(root), None)
    project.port = int(port)
    owner = service if hasattr(service, point) else releases
    if not hasattr(owner, point):
        raise ValueError(point)
    if point == "stop_all":  # the first call clears leftovers away; the second one stops the old server
        first = releases.stop_all
        calls: list[object] = []

        def second_time(found: list[releases.Release]) -> None:
            calls.append(found)
            if len(calls) == 2:
                die()
            first(found)

        releases.stop_all = second_time
    else:
        setattr(owner, point, die)
    project.apply(version, model)


if __name__ == "__main__":
    main(*sys.argv[1:])
