"""mlctl init: a project to start from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from mlctl import templates
from mlctl.cli.options import DEFAULT_DIR, ProjectDir, make_app
from mlctl.files import atomic
from mlctl.types.diagnostic import MlctlError, did_you_mean

app = make_app()


@app.command(
    help="Write a project to start from, with a little data, so that `mlctl apply` works at once. Overwrites nothing.\n\n"
    "Examples:\n\n  mlctl init\n\n  mlctl init churn",
)
def init(
    folder: Annotated[Path | None, typer.Argument(help="The new folder; this one when left out.")] = None,
    template: Annotated[str, typer.Option("--template", help="Which starter.")] = "minimal",
    project: ProjectDir = DEFAULT_DIR,
) -> int:
    """Write the starter's files."""
    if template not in templates.starters():
        raise MlctlError.of(
            "init.unknown-template",
            f"there is no starter `{template}`",
            "",
            did_you_mean(template, templates.starters()),
        )
    target = (project / folder if folder is not None else project).resolve()
    wanted = templates.files(template)
    there = [name for name in wanted if (target / name).exists()]
    if there:
        raise MlctlError.of(
            "init.exists",
            f"{target} holds {', '.join(sorted(there))} already",
            "init overwrites nothing",
            "choose another folder: `mlctl init NAME`",
        )
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", target.name).strip("-")
    values = {"project": name if name[:1].isalpha() else f"project-{name}".rstrip("-")}
    for path, data in wanted.items():
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        atomic.write_bytes(target / path, templates.fill(data, values), mode=0o644)
    where = "" if folder is None else f"cd {folder} && "
    print(f"Wrote {len(wanted)} files to {target}.\n\nNext:\n  {where}mlctl plan\n  {where}mlctl apply")
    return 0
