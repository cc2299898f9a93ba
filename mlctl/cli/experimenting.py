"""What the commands of `mlctl experiment` share: which experiment is meant, its traffic, and what they print."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlctl.cli.options import emit_json, pick
from mlctl.cli.watching import watched
from mlctl.provider import Context
from mlctl.providers.ab_test.assignment import assign, compare, read_assignments, vectors, why_not
from mlctl.providers.ab_test.spec import ExperimentSpec
from mlctl.providers.ab_test.traffic import Traffic, counted
from mlctl.types.address import Address
from mlctl.types.diagnostic import ExitCode, MlctlError, did_you_mean
from mlctl.types.state import Record
from mlctl.workspace import Workspace

_SHOWN = 20  # units that a front end got wrong


def spec_of(workspace: Workspace, name: str | None) -> tuple[str, ExperimentSpec]:
    """The experiment of the project as written, with its name. Raises MlctlError."""
    specs = {
        address.name: resource.spec
        for address, resource in workspace.project.resources.items()
        if address.section == "experiments"
    }
    wanted = (name or "").removeprefix("experiments.") or (next(iter(specs)) if len(specs) == 1 else "")
    spec = specs.get(wanted)
    if not isinstance(spec, ExperimentSpec):
        summary = f"there is no `{Address('experiments', wanted)}`" if wanted else "name an experiment"
        raise MlctlError.of("cli.unknown-name", summary, "", did_you_mean(wanted, specs))
    return wanted, spec


def traffic_of(workspace: Workspace, spec: ExperimentSpec) -> Traffic | None:
    """What the prediction log of its deployment tells of the traffic, for a design that does not say it itself."""
    if spec.design.daily_units is not None:
        return None
    record = workspace.records().get(str(Address("deployments", spec.deployment)))
    folder = None if record is None else record.outputs.get("predictions")
    if not isinstance(folder, str):
        return None
    context = workspace.reader()[1]
    with watched(context, "prediction log") as watching:
        return counted(context.root / folder, progress=watching.progress)


def show_assignments(record: Record, units: list[str], *, as_json: bool) -> None:
    """The arm of each unit, and why one has none."""
    for unit in units:
        arm = assign(record, unit)
        reason = "" if arm is not None else why_not(record.outputs, unit) or "outside of the coverage"
        if as_json:
            emit_json({"type": "assignment", "unit": unit, "arm": arm, **({"reason": reason} if reason else {})})
        else:
            print(f"{unit}  {arm or f'(not in the experiment: {reason})'}")


def show_vectors(record: Record, *, as_json: bool) -> None:
    """What an implementation of the hash has to come to."""
    outputs: Mapping[str, Any] = record.outputs
    found = vectors(record)
    ranges = {name: item.get("ranges") or [item["range"]] for name, item in outputs["arms"].items()}
    if as_json:
        emit_json({
            "type": "hash_vectors", "address": str(record.key.address), "salt": outputs["salt"], "hash_version": 2,
            "ranges": ranges, "namespace": outputs.get("namespace"), "holdout": outputs.get("holdout"), "vectors": found,
        })  # fmt: skip
        return
    print(f"{record.key.address}: salt {outputs['salt']}, GrowthBook's hash version 2 of UTF-16 code units")
    for name, pieces in ranges.items():
        print(f"  {name:<12} {'  '.join(f'[{start:g}, {end:g})' for start, end in pieces)}")
    for one in found:
        print(f"  {one['bucket']:.4f}  {one['arm'] or '-':<12} {one['unit']}")


def check_file(record: Record, file: Path, *, as_json: bool) -> ExitCode:
    """Hold a front end's assignments against ours."""
    try:
        content = json.loads(file.read_bytes())
    except OSError as error:
        raise MlctlError.of(
            "cli.usage", f"`{file}` cannot be read", error.strerror or str(error), "name a JSON file"
        ) from None
    except ValueError as error:
        raise MlctlError.of("cli.usage", f"`{file}` is no JSON", str(error), "name a JSON file") from None
    assignments = read_assignments(content)
    wrong = compare(record, assignments)
    if as_json:
        differences = [{"unit": unit, "theirs": theirs, "ours": ours} for unit, theirs, ours in wrong[:_SHOWN]]
        emit_json({
            "type": "hash_check", "address": str(record.key.address), "units": len(assignments), "different": len(wrong),
            "differences": differences,
        })  # fmt: skip
    elif not wrong:
        print(f"{record.key.address}: all {len(assignments):,} units are in the arm that they are to be in")
    else:
        print(f"{record.key.address}: {len(wrong):,} of {len(assignments):,} units are in another arm")
        for unit, theirs, ours in wrong[:_SHOWN]:
            print(f"  {unit}  {theirs or '-'}, not {ours or '-'}")
        if all(not unit.isascii() for unit, *_ in wrong):
            print(
                "only ids that are not ASCII differ: hash UTF-16 code units (charCodeAt), not bytes of UTF-8",
                file=sys.stderr,
            )
    return ExitCode.ERROR if wrong else ExitCode.OK


def run_certify(workspace: Workspace, name: str | None, runs: int, seed: int) -> dict[str, Any]:
    """Certify the design as written, with progress."""
    from mlctl.cli.interrupting import Ending, interruptible
    from mlctl.providers.ab_test.certify import certify
    from mlctl.types.interrupt import Manner

    wanted, spec = spec_of(workspace, name)
    context: Context = workspace.reader()[1]
    with interruptible(Ending(workspace.stop, default=Manner.STOP)), watched(context, "certifying") as watching:
        return certify(spec, wanted, runs, seed, watching)


def picked(workspace: Workspace, name: str | None) -> Record:
    """The experiment that was applied. Raises MlctlError."""
    return pick(workspace.records(), "experiments", name)
