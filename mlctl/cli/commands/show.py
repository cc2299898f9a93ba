"""mlctl show: all that is known of one object."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from mlctl.cli.options import (
    AsJson,
    addresses,
    emit_json,
    make_app,
    one_of,
)
from mlctl.cli.project import in_project
from mlctl.cli.request import show_plan
from mlctl.engine.saved import file as planfile
from mlctl.types.diagnostic import MlctlError, did_you_mean
from mlctl.types.secret import shown
from mlctl.views.human.text import safe, safe_lines
from mlctl.workspace import Workspace

app = make_app()

_COLUMNS = 100  # a list longer than this has a line for each entry


@app.command(
    help="Show all that is known of one object: spec as applied, outputs, inputs, gate, provenance; or a saved plan, as "
    "`mlctl plan` showed it.\n\n"
    "Examples:\n\n  mlctl show training.churn\n\n  mlctl show evaluations.churn_gate --json | jq .outputs.metrics\n\n"
    "  mlctl show change.plan\n\n  mlctl show change.plan --md"
)
@in_project
def show(
    workspace: Workspace,
    address: Annotated[
        str, typer.Argument(metavar="ADDRESS|PLAN", help="The address, for example training.churn, or a saved plan.")
    ],
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Of a plan: list unchanged resources too.")] = False,
    as_markdown: Annotated[bool, typer.Option("--md", help="Of a plan: Markdown for a comment.")] = False,
    as_json: AsJson = False,
) -> int:
    """Print one record, or a plan."""
    one_of({"--md": as_markdown, "--json": as_json})
    if _is_plan(address):
        return _show_plan(Path(address), as_json=as_json, as_markdown=as_markdown, verbose=verbose)
    if as_markdown or verbose:
        raise MlctlError.of("cli.usage", "`--md` and `--verbose` are for saved plans", "", "leave them out")
    (wanted,) = addresses([address])
    ledger = workspace.ledger()
    record = ledger.current(wanted)
    if record is None:
        raise MlctlError.of(
            "cli.unknown-name",
            f"there is no `{address}` in the state",
            "there is no file of this name either, which would be a saved plan",
            did_you_mean(address, {str(item.key.address) for item in ledger})
            or "see what there is with `mlctl state list`",
        )
    stored = {"address": address, "key": str(record.key), **record.to_json()}
    if as_json:
        emit_json({"type": "object", **stored})
        return 0
    for name, value in stored.items():
        if not isinstance(value, dict):
            print(f"{name}: {_text(value)}")
            continue
        print(f"{name}:")
        for key, item in value.items():
            if isinstance(item, list | tuple) and len(json.dumps(item)) > _COLUMNS:
                print(f"  {safe(key)}:", *(f"    - {_text(entry)}" for entry in item), sep="\n")
            else:
                print(f"  {safe(key)}: {_text(item)}")
    return 0


def _is_plan(text: str) -> bool:
    """Whether a file is meant: an address has no folder in it, and is no file that lies there."""
    return "/" in text or Path(text).is_file()


def _show_plan(path: Path, *, as_json: bool, as_markdown: bool, verbose: bool) -> int:
    saved = planfile.read(path)
    if as_markdown:
        from mlctl.views.markdown.plan import render

        sys.stdout.write(render(saved.plan, told=saved.told))
        return 0
    show_plan(saved.plan, saved.told, saved.operation, as_json=as_json, verbose=verbose)
    if not as_json:
        commit = safe(str(saved.git.get("commit", ""))[:12])
        where = f", commit {commit}" + ("+changes" if saved.git.get("dirty") else "") if commit else ""
        print(
            f"\nSaved by {safe(saved.who)} at {safe(saved.at)} with mlctl {safe(saved.mlctl)}{where}, for {safe(saved.plan.environment)}"
        )
    return 0


def _text(value: object) -> str:
    value = shown(value)
    return safe_lines(value) if isinstance(value, str) else safe(json.dumps(value, ensure_ascii=False))
