"""mlctl explain: one step of a plan, from where it is written to what follows from it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from mlctl.cli import reviewing
from mlctl.cli.options import AsJson, addresses, emit_json, make_app
from mlctl.cli.project import in_project
from mlctl.engine import planner
from mlctl.engine.saved.explain import Explanation, explain
from mlctl.types.diagnostic import SourceRange
from mlctl.views.human import explain as view
from mlctl.views.human.style import wants_color
from mlctl.views.json.plan import change_json
from mlctl.workspace import Workspace

app = make_app()


@app.command(
    "explain",
    help="Explain one step of a plan: the line of the project it comes from, the fields that changed, what follows from it, "
    "and what is spared. Without a saved plan it plans now.\n\n"
    "Examples:\n\n  mlctl explain training.churn\n\n  mlctl explain change.plan training.churn",
)
@in_project
def explain_(
    workspace: Workspace,
    names: Annotated[
        list[str], typer.Argument(metavar="[PLAN] ADDRESS", help="An address, after a saved plan or alone.")
    ],
    as_json: AsJson = False,
) -> int:
    """Explain it."""
    if len(names) > 2:
        raise typer.BadParameter("it takes a saved plan and an address, or an address alone")
    (wanted,) = addresses(names[-1:])
    if len(names) == 2:
        inside, saved = reviewing.opened(workspace, Path(names[0]))
        found = explain(saved.plan, inside.loaded, wanted)
    else:
        ledger, context = workspace.reader()
        found = explain(planner.plan(workspace.project, ledger, context), workspace.loaded, wanted)
        workspace.digests.save()
    if as_json:
        emit_json({"type": "explanation", **_json(found)})
    else:
        sys.stdout.write(view.render(found, color=wants_color(sys.stdout)))
    return 0


def _json(found: Explanation) -> dict[str, object]:
    stored = change_json(found.change)
    fields = [{**item, "range": _place(place)} for item, (_, place) in zip(stored["fields"], found.fields, strict=True)]
    return {
        **stored,
        "fields": fields,
        "range": _place(found.where),
        "causes": [str(item.address) for item in found.causes],
        "follows": [{"address": str(item.address), "action": item.action} for item in found.follows],
        "spared": [str(item) for item in found.spared],
    }


def _place(where: SourceRange | None) -> dict[str, object] | None:
    return (
        None if where is None else {"file": where.file, "line": where.line, "column": where.column, "text": where.text}
    )
