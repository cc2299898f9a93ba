"""mlctl schema: the JSON Schema of project files."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from mlctl.cli.options import make_app
from mlctl.registry import Registry
from mlctl.spec.jsonschema import project_schema
from mlctl.views.json.schema import events_schema

app = make_app()


@app.command(
    help="Print the JSON Schema of project files.\n\nEditors check and complete as you type with this first line in mlctl.yaml:\n\n"
    "  # yaml-language-server: $schema=.mlctl/schema.json\n\nExamples:\n\n  mlctl schema > .mlctl/schema.json\n\n"
    "  mlctl schema --events   # of the lines that `--json` prints"
)
def schema(
    events: Annotated[bool, typer.Option("--events", help="Of the lines that `--json` prints instead.")] = False,
    indent: Annotated[int, typer.Option("--indent", min=0, max=8, help="Spaces of indentation.")] = 2,
) -> int:
    """Print it."""
    found = events_schema() if events else project_schema(Registry())
    print(json.dumps(found, indent=indent or None, ensure_ascii=False))
    return 0
