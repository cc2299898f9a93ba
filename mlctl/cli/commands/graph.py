"""mlctl graph: the graph of resources, or of columns, for other programs and as a page for a browser."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from mlctl.cli.options import make_app, one_of
from mlctl.cli.project import in_project
from mlctl.engine import planner
from mlctl.files import atomic
from mlctl.types.change import Plan
from mlctl.types.diagnostic import MlctlError, did_you_mean
from mlctl.types.secret import redacted, shown
from mlctl.views import lineage
from mlctl.views.graph import Graph, gather
from mlctl.views.human import graph as drawn
from mlctl.views.human import lineage as drawn_columns
from mlctl.views.json.text import escaped
from mlctl.workspace import Workspace

app = make_app()

_KNOWN = [*drawn.FORMATS, "html", "json"]


@app.command(
    help="Print the graph of resources, each with its status. Solid edges carry outputs, dashed ones a gate's verdict, dotted ones only the order.\n\n"
    "`html` is one page for a browser, with outputs, gates and a search. Without `--plan` only the state is read.\n\n"
    "With `--features` it is the lineage of columns: from datasets through features to models, as far as they are made.\n\n"
    "Examples:\n\n  mlctl graph | dot -Tsvg > graph.svg\n\n  mlctl graph --format mermaid\n\n  mlctl graph --format html --plan --out graph.html\n\n"
    "  mlctl graph --features --of datasets.trips:fare"
)
@in_project
def graph(
    workspace: Workspace,
    form: Annotated[str, typer.Option("--format", metavar="|".join(_KNOWN), help="The language to write.")] = "dot",
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write to a file instead.")] = None,
    with_plan: Annotated[
        bool, typer.Option("--plan", help="Look at the real objects, and show what apply would do.")
    ] = False,
    features: Annotated[bool, typer.Option("--features", help="The lineage of columns instead of resources.")] = False,
    of: Annotated[
        str | None,
        typer.Option(
            "--of", metavar="ADDRESS[:COLUMN]", help="With --features: only what it comes from, or goes into."
        ),
    ] = None,
) -> int:
    """Print it, or write it."""
    if form not in _KNOWN:
        raise MlctlError.of("cli.usage", f"`--format={form}` is not known", "", did_you_mean(form, _KNOWN))
    one_of({"--features": features, "--plan": with_plan})
    if of is not None and not features:
        raise MlctlError.of("cli.usage", "`--of` has no effect without `--features`", "", "add `--features`")
    if features:
        return _columns(workspace, form, out, of)
    opened = workspace.project
    ledger, context = workspace.reader()
    plan = planner.plan(opened, ledger, context) if with_plan else None
    if plan is not None:
        workspace.digests.save()
    found = gather(opened.edges, ledger, plan)
    if form == "html":
        text = _page(found, workspace, plan)
    elif form == "json":
        text = _json(found.to_json())
    else:
        text = drawn.FORMATS[form](found) + "\n"
    return _put(text, out, f"{len(found.nodes)} resources")


def _columns(workspace: Workspace, form: str, out: Path | None, of: str | None) -> int:
    """The lineage of columns, in one of the same formats."""
    found = lineage.gather(workspace.ledger())
    if of is not None:
        found = found.around(of)
    if form == "html":
        from mlctl.views.html.lineage import render

        title, environment = workspace.project.name, workspace.environment
        text = render(found, title=title, environment=environment, hidden=lambda value: redacted(shown(value)))
    elif form == "json":
        text = _json(found.to_json())
    else:
        text = drawn_columns.FORMATS[form](found) + "\n"
    return _put(text, out, f"{len(found.columns)} columns")


def _json(value: Mapping[str, Any]) -> str:
    return escaped(json.dumps(redacted(shown(dict(value))), indent=2, ensure_ascii=False)) + "\n"


def _put(text: str, out: Path | None, what: str) -> int:
    """Print it, or write it into a file that keeps its mode."""
    if out is None:
        print(text, end="")
        return 0
    if not out.parent.is_dir():
        raise MlctlError.of("cli.no-folder", f"there is no folder `{out.parent}`", f"`{out}` is to be written into it")
    mode = out.stat().st_mode & 0o777 if out.exists() else 0o666 & ~_umask()
    atomic.write_bytes(out, text.encode("utf-8", "backslashreplace"), mode=mode)
    print(f"Wrote {out}: {what}.")
    return 0


def _page(found: Graph, workspace: Workspace, plan: Plan | None) -> str:
    from mlctl.views.html.graph import render
    from mlctl.views.human.plan import summary
    from mlctl.views.human.style import Paint

    words = "" if plan is None else summary(plan, Paint(False))
    return render(
        found,
        title=workspace.project.name,
        environment=workspace.environment,
        plan=words,
        hidden=lambda value: redacted(shown(value)),
    )


def _umask() -> int:
    """The mask that this process was started with; it can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
