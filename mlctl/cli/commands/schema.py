"""mlctl schema: the JSON Schema of project files."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from mlctl.cli.options import make_app
from mlctl.registry import Registry
from mlctl.spec.jsonschema import project_schema

app = make_app()


@app.command(
    help="Print the JSON Schema of project files.\n\nEditors check and complete as you type with this first line in mlctl.yaml:\n\n"
    "  # yaml-language-server: $schema=.mlctl/schema.json\n\nExamples:\n\n  mlctl schema > .mlctl/schema.json"
)
def schema(indent: Annotated[int, typer.Option("--indent", min=0, max=8, help="Spaces of indentation.")] = 2) -> int:
    """Print it."""
    print(json.dumps(project_schema(Registry()), indent=indent or None, ensure_ascii=False))
    return 0
