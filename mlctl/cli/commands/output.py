"""mlctl output: outputs of resources."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from mlctl.cli.options import AsJson, emit_json, make_app
from mlctl.cli.project import in_project
from mlctl.types.diagnostic import MlctlError, did_you_mean
from mlctl.views.human.text import safe, safe_lines
from mlctl.views.json.text import escaped
from mlctl.workspace import Workspace

app = make_app()


@app.command(
    help="Print outputs of what was made: all, those of one address, or one value as plain text.\n\n"
    "Examples:\n\n  mlctl output\n\n  mlctl output deployments.churn_api\n\n  curl $(mlctl output deployments.churn_api.url)/healthz"
)
@in_project
def output(
    workspace: Workspace,
    name: Annotated[str | None, typer.Argument(help="An address, or an address and an output.")] = None,
    as_json: AsJson = False,
) -> int:
    """Print them."""
    records = workspace.records()
    if name is None:
        for address, record in records.items():
            _print(address, dict(record.outputs), as_json)
        return 0
    if name in records:
        _print(name, dict(records[name].outputs), as_json)
        return 0
    address, _, key = name.rpartition(".")
    if address in records and key in records[address].outputs:
        value = records[address].outputs[key]
        plain = isinstance(value, str) and not as_json
        text = value if plain else escaped(json.dumps(value, ensure_ascii=False))
        print(safe_lines(text) if plain and sys.stdout.isatty() else text)  # a script gets the value as it is
        return 0
    known = {*records, *(f"{address}.{key}" for address, record in records.items() for key in record.outputs)}
    raise MlctlError.of(
        "cli.unknown-name",
        f"there is no output `{name}`",
        "",
        did_you_mean(name, known) or "see all with `mlctl output`",
    )


def _print(address: str, outputs: dict[str, object], as_json: bool) -> None:
    if as_json:
        emit_json({"type": "outputs", "address": address, "outputs": outputs})
        return
    for key, value in outputs.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        print(f"{address}.{safe(key)} = {safe(text)}")
