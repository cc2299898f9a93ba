"""mlctl show: all that is known of one object."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from mlctl.cli.options import (
    DEFAULT_DIR,
    AsJson,
    ProjectDir,
    ProjectFile,
    addresses,
    emit_json,
    make_app,
    open_workspace,
)
from mlctl.types.diagnostic import MlctlError, did_you_mean
from mlctl.views.human.text import safe, safe_lines

app = make_app()

_COLUMNS = 100  # a list longer than this has a line for each entry


@app.command(
    help="Show all that is known of one object: spec as applied, outputs, inputs, gate, provenance.\n\n"
    "Examples:\n\n  mlctl show training.churn\n\n  mlctl show evaluations.churn_gate --json | jq .outputs.metrics"
)
def show(
    address: Annotated[str, typer.Argument(help="The address, for example training.churn.")],
    project: ProjectDir = DEFAULT_DIR,
    file: ProjectFile = None,
    as_json: AsJson = False,
) -> int:
    """Print one record."""
    (wanted,) = addresses([address])
    ledger = open_workspace(project, file).ledger()
    record = ledger.current(wanted)
    if record is None:
        raise MlctlError.of(
            "cli.unknown-name",
            f"there is no `{address}` in the state",
            "",
            did_you_mean(address, {str(item.key.address) for item in ledger})
            or "see what there is with `mlctl state list`",
        )
    stored = {"address": address, "key": str(record.key), **record.to_json()}
    if as_json:
        emit_json({"type": "object", **stored})
        return 0
    for name, value in stored.items():
        if not isinstance(value, dict):
            print(f"{name}: {value}")
            continue
        print(f"{name}:")
        for key, item in value.items():
            if isinstance(item, list | tuple) and len(json.dumps(item)) > _COLUMNS:
                print(f"  {key}:", *(f"    - {_text(entry)}" for entry in item), sep="\n")
            else:
                print(f"  {key}: {_text(item)}")
    return 0


def _text(value: object) -> str:
    return safe_lines(value) if isinstance(value, str) else safe(json.dumps(value, ensure_ascii=False))
