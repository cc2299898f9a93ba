"""Open a tracking store as worker programs do: `python connect.py [STATEMENT]`. With a statement, die by SIGKILL before it."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from sqlalchemy import Engine, event

from mlctl.runtime import tracking
from mlctl.types.jobs.tracking import TrackingTarget


def kill_before(fragment: str) -> None:
    """SIGKILL as soon as a statement with this text is about to run."""

    @event.listens_for(Engine, "before_cursor_execute")
    def look(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if fragment in statement:
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    if sys.argv[1:]:
        kill_before(sys.argv[1])
    target = TrackingTarget(
        uri="sqlite:///mlflow.db", experiment="faults", lineage="l", address="training.a", object="training.a#1"
    )
    client = tracking.connect(target)
    print(tracking.open_run(client, target, {}).info.run_id)
