"""How a worker process begins and ends without wasting time: each starts with libraries that take seconds to import."""

from __future__ import annotations

import gc
import os
import sys
import warnings
from typing import NoReturn

from mlctl.runtime import logs, secrets

# Objects made before the collector looks at them. What an import makes is no garbage: at Python's own 700, a quarter of
# the import of torch, MLflow and Feast (5.8 CPU s against 4.3) goes into looking for some.
_YOUNG_OBJECTS = 50_000


def begin(program: str = "worker") -> None:
    """To be called before anything heavy is imported. The name is what the program is called in its log."""
    secrets.keep()
    if logs.wanted():
        logs.as_json(program)
    gc.set_threshold(_YOUNG_OBJECTS, 20, 100)
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")  # how it makes its tables is no news
    # our models carry their signature; a row of the data beside it is what MLflow asks for, and what nobody may want to give away
    warnings.filterwarnings("ignore", message=r".*An input example was not provided")


def leave(code: int) -> NoReturn:
    """End the process now, with everything that matters on disk and every thread that matters joined.

    Else Python takes each imported module apart first, which is 0.8 s for Feast and 1.3 s for torch with MLflow, and
    whoever waits for this process waits for that.
    """
    logs.finish()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
