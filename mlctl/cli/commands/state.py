"""mlctl state: look into the state."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from mlctl.cli.options import DEFAULT_DIR, AsJson, ProjectDir, ProjectFile, emit_json, make_group, open_workspace
from mlctl.types.address import ObjectKey
from mlctl.types.diagnostic import MlctlError, did_you_mean

app = make_group()


@app.command(
    "list",
    help="List the objects in the state, one a line: `section.name#identity`. Kept older builds are among them.\n\nExamples:\n\n  mlctl state list",
)
def list_(project: ProjectDir = DEFAULT_DIR, file: ProjectFile = None, as_json: AsJson = False) -> int:
    """Print every key."""
    ledger = open_workspace(project, file).ledger()
    for record in sorted(ledger, key=lambda item: item.key):
        if as_json:
            emit_json(
                {"type": "object", "key": str(record.key), "pending": record.pending, "sequence": record.sequence}
            )
        else:
            print(f"{record.key}{'' if record.complete else f'  ({record.pending} was cut off)'}")
    return 0


@app.command(
    "show",
    help="Print one object as it is stored.\n\nExamples:\n\n  mlctl state show 'training.churn#0f3a9c51d2e44b70'",
)
def show(
    key: Annotated[str, typer.Argument(help="The key, as `mlctl state list` prints it.")],
    project: ProjectDir = DEFAULT_DIR,
    file: ProjectFile = None,
) -> int:
    """Print one record as JSON."""
    ledger = open_workspace(project, file).ledger()
    try:
        record = ledger.get(ObjectKey.parse(key))
    except ValueError as error:
        raise MlctlError.of("cli.bad-key", str(error), "", "see the keys with `mlctl state list`") from None
    if record is None:
        raise MlctlError.of(
            "cli.unknown-name",
            f"there is no `{key}` in the state",
            "",
            did_you_mean(key, {str(item.key) for item in ledger}),
        )
    print(json.dumps(record.to_json(), indent=2, ensure_ascii=False))
    return 0
