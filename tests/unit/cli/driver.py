"""`mlctl` over the fake kinds, in a process of its own: `python driver.py BEHAVIOUR ARGUMENTS OF MLCTL...`.

The tool is empty whenever it starts. BEHAVIOUR says what making an object does: `works`; `hangs` whatever it is asked;
`waits` for the request to stop; `diverges`, with a figure that is no number. With `breaks` every object is there and does
not work.
"""

from __future__ import annotations

import signal
import sys
import time
from typing import Any

from mlctl import workspace
from mlctl.cli.main import main
from mlctl.provider import Condition, Context, Desired, Observed, Outcome
from mlctl.registry import Registry
from mlctl.testing import fake
from mlctl.types.diagnostic import ExitCode, MlctlError
from mlctl.types.event import Progress
from mlctl.types.state import Record

# who runs the tests in the background, or under `nohup`, hands ignored signals down to every process
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

BEHAVIOUR = sys.argv[1]
REAL = fake._Fake.apply


def apply(kind: Any, desired: Desired, prior: Record | None, ctx: Context) -> Outcome:
    ctx.progress(Progress("epoch 1", 1, 2, "steps", {"loss": float("nan") if BEHAVIOUR == "diverges" else 0.5}))
    until = time.monotonic() + 60
    while BEHAVIOUR in ("hangs", "waits") and time.monotonic() < until:
        if BEHAVIOUR == "waits" and ctx.stop.is_set():
            raise MlctlError.of("job.stopped", "it was stopped", exit_code=ExitCode.INTERRUPTED)
        time.sleep(0.01)
    return REAL(kind, desired, prior, ctx)


def read(kind: Any, prior: Record, ctx: Context) -> Observed:
    return Observed({"value": prior.spec["value"]}, Condition.BROKEN, "it does not answer")


if BEHAVIOUR == "breaks":
    fake._Fake.read = read  # type: ignore[method-assign]
if BEHAVIOUR != "real":  # `real` takes the kinds that are installed
    fake._Fake.apply = apply  # type: ignore[method-assign]
    workspace.Registry = lambda: Registry.of(*fake.fake_kinds(fake.FakeTool()))  # type: ignore[assignment,misc]
sys.argv = ["mlctl", *sys.argv[2:]]
main()
