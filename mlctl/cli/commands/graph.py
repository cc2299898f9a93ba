"""mlctl graph: the graph of resources."""

from __future__ import annotations

from typing import Annotated

import typer

from mlctl.cli.options import DEFAULT_DIR, ProjectDir, ProjectFile, make_app, open_workspace
from mlctl.types.diagnostic import MlctlError, did_you_mean
from mlctl.views.human.graph import FORMATS

app = make_app()


@app.command(
    help="Print the graph of resources. Solid edges carry outputs, dashed ones a gate's verdict, dotted ones only the order.\n\n"
    "Examples:\n\n  mlctl graph | dot -Tsvg > graph.svg\n\n  mlctl graph --format mermaid"
)
def graph(
    project: ProjectDir = DEFAULT_DIR,
    file: ProjectFile = None,
    form: Annotated[str, typer.Option("--format", metavar="|".join(FORMATS), help="The language to write.")] = "dot",
) -> int:
    """Print it."""
    if form not in FORMATS:
        raise MlctlError.of("cli.usage", f"`--format={form}` is not known", "", did_you_mean(form, FORMATS))
    print(FORMATS[form](open_workspace(project, file).project.edges))
    return 0
