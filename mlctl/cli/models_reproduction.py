"""Train a model again from what was recorded of it, beside everything else, and compare what comes out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mlctl.cli.check_keeping import keep_check
from mlctl.cli.interrupting import Ending, interruptible
from mlctl.cli.models_tracing import Traced, remove_empty
from mlctl.cli.watching import watched
from mlctl.launch import job
from mlctl.types.diagnostic import ExitCode, MlctlError
from mlctl.types.interrupt import Manner
from mlctl.types.jobs.models import Check
from mlctl.types.jobs.tracking import SQLITE
from mlctl.types.value import digest
from mlctl.workspace import Workspace

_INGREDIENTS = ("data", "code", "base")  # without these there is nothing to compare


def reproduce(workspace: Workspace, traced: Traced, tolerance: float, *, keep: bool) -> dict[str, Any]:
    """Train it once more in a folder of its own, and say how what came out compares. A training that was cut off goes on."""
    _refuse(traced)
    if traced.training is None:
        raise MlctlError.of(
            "models.untraced",
            f"what {traced.name} was trained with is not recorded",
            "its run holds no training.json",
            "",
        )
    _, context = workspace.reader()
    folder = context.home / "reproduced" / digest([traced.document["run_id"], traced.document["object"]])
    uri = f"{SQLITE}{(folder / 'mlflow.db').resolve().relative_to(context.root.resolve())}"
    with (
        interruptible(Ending(workspace.stop, default=Manner.STOP)),
        watched(context, f"training {traced.name} again") as told,
    ):
        outputs = job.run("train", _params(traced.training, uri), folder, told).outputs
    report = compare(traced, outputs, tolerance)
    same, address = report["verdict"] != "different", str(traced.document["address"])
    rule = f"{traced.name} trained again is the same, or its metrics within {tolerance:g}"
    keep_check(context.home, address, "reproduce", passed=same, rule=rule, outputs={"verdict": report["verdict"]})
    if keep:
        report["folder"] = str(folder)
    else:
        job.discard(folder)
        remove_empty(folder.parent)
    return report


def compare(traced: Traced, outputs: Mapping[str, Any], tolerance: float) -> dict[str, Any]:
    """Weights by their digest, else metrics one by one."""
    recorded, again = traced.document["result"], outputs["metrics"]
    metrics = {
        name: {"recorded": value, "again": again[name]} for name, value in recorded["metrics"].items() if name in again
    }
    close = bool(metrics) and all(
        math.isclose(item["recorded"], item["again"], rel_tol=tolerance, abs_tol=1e-12) for item in metrics.values()
    )
    same = recorded["digest"] == outputs["digest"]
    return {
        "model": traced.name,
        "run_id": traced.document["run_id"],
        "verdict": "identical" if same else "equivalent" if close else "different",
        "tolerance": tolerance,
        "digest": {"recorded": recorded["digest"], "again": outputs["digest"]},
        "metrics": metrics,
        "differences": [item.model_dump() for item in not_the_same(traced.checks)],
    }


def not_the_same(checks: Sequence[Check]) -> list[Check]:
    """What is not as it was."""
    return [item for item in checks if item.status != "same"]


def _refuse(traced: Traced) -> None:
    """Raise MlctlError when what the model was made of is no longer there."""
    missing = [item for item in traced.checks if item.what in _INGREDIENTS and item.status in ("changed", "gone")]
    if not missing:
        return
    commit = traced.document["code"]["commit"]
    said = "; ".join(
        f"{item.what} `{item.name}` is {item.status}{f' ({item.detail})' if item.detail else ''}" for item in missing
    )
    fix = "bring the files back as they were"
    if commit is not None:
        fix += f": `git worktree add ../then {commit[:12]}` has the code of then beside this one"
    raise MlctlError.of(
        "models.not-reproducible",
        f"{traced.name} cannot be trained again: {said}",
        "another model would come out",
        fix,
        exit_code=ExitCode.DRIFT,
    )


def _params(training: Mapping[str, Any], uri: str) -> dict[str, Any]:
    """The same training, tracked beside the others, with no copy of its checkpoints where those of the first one are."""
    tracking, recipe = training["tracking"], training["recipe"]
    return {
        **training,
        "tracking": {**tracking, "uri": uri, "object": f"{tracking['object']}/again", "labels": {}},
        "recipe": {**recipe, "checkpoint": {**recipe["checkpoint"], "storage": None}},
        "search": None,
    }
