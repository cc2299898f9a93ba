"""mlctl graph: the graph of resources, for other programs and as a page for a browser."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from mlctl.cli.options import make_app
from mlctl.cli.project import in_project
from mlctl.engine import planner
from mlctl.files import atomic
from mlctl.types.change import Plan
from mlctl.types.diagnostic import MlctlError, did_you_mean
from mlctl.types.secret import redacted, shown
from mlctl.views.graph import Graph, gather
from mlctl.views.human.graph import FORMATS
from mlctl.workspace import Workspace

app = make_app()

_KNOWN = [*FORMATS, "html"]


@app.command(
    help="Print the graph of resources, each with its status. Solid edges carry outputs, dashed ones a gate's verdict, dotted ones only the order.\n\n"
    "`html` is one page for a browser, with outputs, gates and a search. Without `--plan` only the state is read.\n\n"
    "Examples:\n\n  mlctl graph | dot -Tsvg > graph.svg\n\n  mlctl graph --format mermaid\n\n  mlctl graph --format html --plan --out graph.html"
)
@in_project
def graph(
    workspace: Workspace,
    form: Annotated[str, typer.Option("--format", metavar="|".join(_KNOWN), help="The language to write.")] = "dot",
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write to a file instead.")] = None,
    with_plan: Annotated[
        bool, typer.Option("--plan", help="Look at the real objects, and show what apply would do.")
    ] = False,
) -> int:
    """Print it, or write it."""
    if form not in _KNOWN:
        raise MlctlError.of("cli.usage", f"`--format={form}` is not known", "", did_you_mean(form, _KNOWN))
    opened = workspace.project
    ledger, context = workspace.reader()
    plan = planner.plan(opened, ledger, context) if with_plan else None
    if plan is not None:
        workspace.digests.save()
    found = gather(opened.edges, ledger, plan)
    text = _page(found, workspace, plan) if form == "html" else FORMATS[form](found) + "\n"
    if out is None:
        print(text, end="")
        return 0
    if not out.parent.is_dir():
        raise MlctlError.of("cli.no-folder", f"there is no folder `{out.parent}`", f"`{out}` is to be written into it")
    mode = out.stat().st_mode & 0o777 if out.exists() else 0o666 & ~_umask()
    atomic.write_bytes(out, text.encode("utf-8", "backslashreplace"), mode=mode)
    print(f"Wrote {out}: {len(found.nodes)} resources.")
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
