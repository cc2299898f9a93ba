"""mlctl decisions: what was decided by figures, by which rule, and what it was made of."""

from __future__ import annotations

from typing import Annotated

import typer

from mlctl.cli.options import AsJson, emit_json, make_group
from mlctl.cli.project import in_project
from mlctl.files import decisions as ledger
from mlctl.types.decision import KINDS, Decision
from mlctl.types.diagnostic import ExitCode, MlctlError, did_you_mean
from mlctl.views.human.decisions import listed, shown
from mlctl.workspace import Workspace

app = make_group(
    "Look into the ledger of decisions: verdicts of experiments, alarms, retrainings, rollouts.\n\n"
    "Examples:\n\n  mlctl decisions list\n\n  mlctl decisions show 20260301T12"
)


@app.command(
    "list",
    help="Print the decisions, newest first.\n\n"
    "Examples:\n\n  mlctl decisions list\n\n  mlctl decisions list experiments.churn_offer --limit 5\n\n  mlctl decisions list --kind rollout --json",
)
@in_project
def list_(
    workspace: Workspace,
    address: Annotated[str | None, typer.Argument(help="Only those on this resource.")] = None,
    kind: Annotated[
        str | None, typer.Option("--kind", metavar="KIND", help=f"Only one kind: {', '.join(KINDS)}.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many at most.")] = 50,
    as_json: AsJson = False,
) -> int:
    """Read the ledger."""
    if kind is not None and kind not in KINDS:
        raise MlctlError.of(
            "cli.usage", f"there is no kind `{kind}`", "", did_you_mean(kind, KINDS) or f"one of: {', '.join(KINDS)}"
        )
    found = [
        item for item in ledger.kept(workspace.home)
        if kind in (None, item.kind) and address in (None, item.address, item.address.partition(".")[2])
    ]  # fmt: skip
    chosen = found[::-1][:limit]
    if as_json:
        for item in chosen:
            emit_json({"type": "decision", **_line(item)})
    else:
        print(listed(chosen, more=len(found) - len(chosen)), end="")
    return ExitCode.OK


@app.command(
    "show",
    help="Print one decision: the verdict, the rule, what it was made of, and what it led to.\n\n"
    "Examples:\n\n  mlctl decisions show 20260301T12\n\n  mlctl decisions show 20260301T120000Z-4f1c2d3e5a --json",
)
@in_project
def show(
    workspace: Workspace,
    decision: Annotated[
        str, typer.Argument(metavar="ID", help="The decision, or as much of its id as tells it from others.")
    ],
    as_json: AsJson = False,
) -> int:
    """Read one decision."""
    found, folder = ledger.find(workspace.home, decision)
    led_to = [item for item in ledger.kept(workspace.home) if item.cause == folder.name]
    if as_json:
        inputs, outputs = dict(found.inputs), dict(found.outputs)
        emit_json(
            {
                "type": "decision",
                **_line(found),
                "inputs": inputs,
                "outputs": outputs,
                "led_to": [item.id for item in led_to],
            }
        )
    else:
        print(shown(found, folder, led_to, workspace.root), end="")
    return ExitCode.OK


def _line(item: Decision) -> dict[str, object]:
    return {
        "id": item.id, "kind": item.kind, "address": item.address, "verdict": item.verdict, "rule": item.rule, "at": item.at,
        "by": item.by, "cause": item.cause, "code": item.code, "seed": item.seed, "files": list(item.files),
    }  # fmt: skip
