"""torchrun on one machine of a training: `python -m mlctl.runtime.trainer.executors.agent FOLDER NODE [--told] ARGUMENTS OF TORCHRUN`.

It is tied to the program that started it, and the ranks are tied to it. With `--told`, which works through ssh, its first line of
input is a JSON object of environment variables, `stop` on a line of its own asks for an orderly end, and the end of its input is
the end of whoever started it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from mlctl.files import atomic
from mlctl.runtime import process
from mlctl.runtime.trainer.executors.environment import rank_threads
from mlctl.runtime.trainer.executors.lifeline import (
    PARENT_VARIABLE,
    die_with_parent,
    end_descendants,
    take_in_orphans,
)
from mlctl.runtime.trainer.plan import ERRORS_FOLDER

TOLD, STOP = "--told", "stop"
_STOPPED = 143  # as a shell names the end by SIGTERM


def main(folder: Path, node: int, arguments: list[str]) -> int:
    """Run the ranks of this machine to their end; those that failed are noted for the program."""
    from torch.distributed.elastic.multiprocessing.api import SignalException, Std
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import config_from_args, elastic_launch, parse_args, run

    options = parse_args(arguments)
    os.environ.update(rank_threads(int(options.nproc_per_node)))
    try:
        if options.standalone:
            run(options)
        else:
            from mlctl.runtime.trainer.executors.rank_logs import RankLogs

            config, command, rest = config_from_args(options)
            config.logs_specs = RankLogs(options.log_dir, Std.ALL, Std.ALL)
            elastic_launch(config, command)(*rest)
    except ChildFailedError as error:
        _note(folder, node, error)
        return 1
    except SignalException:  # passed on to the ranks, which have left
        return _STOPPED
    return 0


def _note(folder: Path, node: int, error: Any) -> None:
    """Leave word of who failed, when, and with which exit code."""
    failures = [
        {"rank": rank, "code": failure.exitcode, "time": failure.timestamp} for rank, failure in error.failures.items()
    ]
    (folder / ERRORS_FOLDER).mkdir(exist_ok=True)
    atomic.write_json(folder / ERRORS_FOLDER / f"node-{node}.json", {"failures": failures})


def _listen() -> None:
    """Obey what comes in, until nothing can come any more."""
    for line in sys.stdin:
        if line.strip() == STOP:
            os.kill(os.getpid(), signal.SIGTERM)
    os._exit(1)  # and the kernel takes the ranks along


if __name__ == "__main__":
    place, number, *rest = sys.argv[1:]
    parent = os.environ.get(PARENT_VARIABLE)
    die_with_parent(int(parent) if parent is not None else None)
    told = rest[:1] == [TOLD]
    if told:
        os.environ.update(json.loads(sys.stdin.readline()))
    os.environ[PARENT_VARIABLE] = str(os.getpid())  # the ranks are tied to this process in turn
    process.begin()
    if told:
        threading.Thread(target=_listen, daemon=True).start()
    take_in_orphans()
    code = main(Path(place), int(number), rest[1:] if told else rest)
    end_descendants()
    process.leave(code)
