"""torchrun, tied to the program that started it: `python -m mlctl.runtime.trainer.agent ARGUMENTS OF TORCHRUN`."""

from __future__ import annotations

import os
import sys

from mlctl.runtime import process
from mlctl.runtime.trainer.lifeline import PARENT_VARIABLE, die_with_parent

if __name__ == "__main__":
    die_with_parent(int(os.environ[PARENT_VARIABLE]))
    os.environ[PARENT_VARIABLE] = str(os.getpid())  # the ranks are tied to this process in turn
    process.begin()
    from torch.distributed.run import main

    main(sys.argv[1:])
    process.leave(0)
