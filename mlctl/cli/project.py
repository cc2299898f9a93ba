"""The options that say which project, environment and values a command works on; commands get the opened workspace instead."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from mlctl.types.diagnostic import Diagnostic, MlctlError, Severity
from mlctl.workspace import Chosen, Workspace

Folder = Annotated[Path, typer.Option("--project", "-C", help="The project folder.", show_default="this folder")]
File = Annotated[
    Path | None,
    typer.Option("--file", "-f", help="The project file, relative to the folder.", show_default="mlctl.yaml"),
]
Environment = Annotated[
    str | None, typer.Option("--env", "-e", metavar="NAME", help="The environment; also by MLCTL_ENV.")
]
Values = Annotated[
    list[str] | None, typer.Option("--var", metavar="NAME=VALUE", help="The value of a variable; may be given again.")
]
ValueFiles = Annotated[
    list[Path] | None, typer.Option("--var-file", metavar="FILE", help="A YAML file of values; may be given again.")
]
DEFAULT_DIR = Path(".")

# The options of every command on a project, in the order in which help shows them.
_OPTIONS: tuple[tuple[str, Any, Any], ...] = (
    ("project", Folder, DEFAULT_DIR),
    ("file", File, None),
    ("env", Environment, None),
    ("var", Values, None),
    ("var_file", ValueFiles, None),
)


def in_project(command: Callable[..., int]) -> Callable[..., int]:
    """Give a command the project options in place of its first parameter, `workspace`, which it gets opened."""

    @functools.wraps(command)
    def wrapper(
        *,
        project: Path,
        file: Path | None,
        env: str | None,
        var: list[str] | None,
        var_file: list[Path] | None,
        **own: Any,
    ) -> int:
        workspace = open_workspace(project, file, env, var or (), var_file or ())
        try:
            return command(workspace, **own)
        finally:
            if workspace.unread:
                from mlctl.cli.telling import tell

                tell([_unread(workspace)], as_json=bool(own.get("as_json")))

    hints = get_type_hints(command, include_extras=True)
    _, *own = inspect.signature(command).parameters.values()
    parameters = [parameter.replace(annotation=hints[parameter.name]) for parameter in own] + [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, annotation, default in _OPTIONS
    ]
    wrapper.__signature__ = inspect.Signature(parameters, return_annotation=int)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters} | {"return": int}
    return wrapper


def _unread(workspace: Workspace) -> Diagnostic:
    """That a command did without the project's resources, since they cannot be read."""
    first, *others = workspace.unread
    more = f", and {len(others)} more" if others else ""
    return Diagnostic(
        "project.unread",
        f"the project's files have mistakes: {first.summary}{more}",
        "what was made is told by the state and the settings; nothing that the files ask for was looked at",
        "see `mlctl validate`",
        severity=Severity.WARNING,
        where=first.where,
    )


def open_workspace(
    directory: Path,
    file: Path | None = None,
    environment: str | None = None,
    values: list[str] | tuple[str, ...] = (),
    value_files: list[Path] | tuple[Path, ...] = (),
) -> Workspace:
    """The project in a folder. Raises MlctlError when the folder does not exist, or a value is not written `NAME=VALUE`."""
    if not directory.is_dir():
        raise MlctlError.of(
            "cli.no-folder",
            f"there is no folder `{directory}`",
            "`--project` names the folder of a project",
            "check the path",
        )
    given: list[tuple[str, str]] = []
    for text in values:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise MlctlError.of("cli.usage", f"`--var {text}` is not NAME=VALUE", "", "for example `--var epochs=5`")
        given.append((name, value))
    chosen = Chosen(environment or os.environ.get("MLCTL_ENV") or None, tuple(given), tuple(value_files))
    return Workspace(directory, directory / file if file is not None else None, chosen)
