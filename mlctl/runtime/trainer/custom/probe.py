"""Run the project's dataset function once, in a process of its own, and leave word of what it gives:
`python -m mlctl.runtime.trainer.custom.probe FOLDER`."""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from mlctl.files import atomic
from mlctl.runtime import process, secrets
from mlctl.runtime.trainer.executors.lifeline import PARENT_VARIABLE, die_with_parent

ASKED_FILE = "dataset-asked.json"
FOUND_FILE = "dataset-found.json"


def main(folder: Path) -> int:
    """Count the rows of both splits, and look at some of them."""
    atomic.write_json(folder / FOUND_FILE, _found(folder))
    return 0


def _found(folder: Path) -> dict[str, Any]:
    try:
        from mlctl.runtime.trainer.custom.datasets import SPLITS, check_dataset, load_dataset
        from mlctl.runtime.trainer.custom.model import CODE_FOLDER
        from mlctl.runtime.trainer.torch_engine.table_task import seed_all
        from mlctl.types.jobs.recipe import PythonModel

        asked = json.loads((folder / ASKED_FILE).read_bytes())
        model = PythonModel.model_validate(asked["model"])
        seed_all(asked["seed"])
        found: dict[str, Any] = {}
        for split in SPLITS:
            made = load_dataset(folder / CODE_FOLDER, model, asked["params"], asked["files"], split)
            check_dataset(made, model.dataset.function if model.dataset else "", split)
            found[split] = len(made)
        return found
    except (Exception, SystemExit) as error:
        frames = traceback.extract_tb(error.__traceback__)
        at = next((frame for frame in reversed(frames) if "site-packages" not in frame.filename), frames[-1])
        traceback.print_exc()
        message = secrets.known().hidden(str(error))
        return {"error": f"{type(error).__name__}: {message}", "at": f"{at.filename}:{at.lineno}"}


if __name__ == "__main__":
    parent = os.environ.pop(PARENT_VARIABLE, None)
    die_with_parent(int(parent) if parent is not None else None)
    process.begin()
    process.leave(main(Path(sys.argv[1])))
