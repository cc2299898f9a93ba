"""mlctl init: a project to start from."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import Annotated

import typer

from mlctl import templates
from mlctl.cli.options import make_app
from mlctl.cli.pipelines import write_pipeline
from mlctl.cli.project import DEFAULT_DIR, Folder
from mlctl.files import atomic
from mlctl.types.diagnostic import MlctlError, did_you_mean

app = make_app()


@app.command(
    help="Write a project to start from, with a little data, so that `mlctl apply` works at once. Overwrites nothing.\n\n"
    "Examples:\n\n  mlctl init\n\n  mlctl init churn\n\n"
    "  mlctl init --provider catalog --section catalog_entries   # a package with a kind of your own\n\n"
    "  mlctl init --ci github   # plan on pull requests, apply the reviewed plan on merge",
)
def init(
    folder: Annotated[Path | None, typer.Argument(help="The new folder; this one when left out.")] = None,
    template: Annotated[str, typer.Option("--template", help="Which starter.")] = "minimal",
    provider: Annotated[
        str | None, typer.Option("--provider", metavar="NAME", help="A Python package with a kind of its own instead.")
    ] = None,
    section: Annotated[
        str | None, typer.Option("--section", metavar="NAME", help="The section that the package's kind serves.")
    ] = None,
    ci: Annotated[
        str | None,
        typer.Option("--ci", metavar="github|gitlab", help="A pipeline for the project that is there instead."),
    ] = None,
    project: Folder = DEFAULT_DIR,
) -> int:
    """Write the starter's files."""
    if ci is not None:
        print(write_pipeline(ci, project / folder if folder is not None else project))
        return 0
    if provider is not None:
        return _provider(project / (folder or Path(f"mlctl-{provider.removeprefix('mlctl-')}")), provider, section)
    if section is not None:
        why = "only a package of its own has one"
        raise MlctlError.of("cli.usage", "`--section` stands without `--provider`", why, "add `--provider NAME`")
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
    where = "" if target == Path.cwd() else f"cd {shlex.quote(os.path.relpath(target))} && "
    print(f"Wrote {len(wanted)} files to {target}.\n\nNext:\n  {where}mlctl plan\n  {where}mlctl apply")
    return 0


def _provider(folder: Path, name: str, section: str | None) -> int:
    """Write the package of a third-party kind."""
    from mlctl.cli.provider_package import write_package

    written = write_package(folder.resolve(), name, section)
    print(
        f"Wrote {len(written)} files to {folder}.\n\nNext:\n  cd {shlex.quote(str(folder))}\n  pip install -e '.[dev]'\n  pytest"
    )
    return 0
