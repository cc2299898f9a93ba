"""mlctl fmt: project files in their canonical layout."""

from __future__ import annotations

import difflib
import sys
from pathlib import Path
from typing import Annotated

import typer

from mlctl.cli.options import AsJson, emit_json, make_app
from mlctl.cli.project import DEFAULT_DIR, Folder
from mlctl.files import atomic
from mlctl.spec.project import PROJECT_FILE
from mlctl.spec.source import Source
from mlctl.types.diagnostic import ExitCode, MlctlError
from mlctl.views.human.style import Paint, wants_color
from mlctl.views.human.text import safe

app = make_app()

_STDIN = "-"


@app.command(
    help="Lay project files out in the canonical way: two spaces a level, sections in their order, comments kept.\n\n"
    "Without FILES the project file and what it includes. Values never change: a file that cannot be laid out safely is left as it is.\n\n"
    "Examples:\n\n  mlctl fmt\n\n  mlctl fmt --check --diff   # for CI: exit 1 when a file is not as fmt writes it\n\n  mlctl fmt - < mlctl.yaml"
)
def fmt(
    files: Annotated[list[str] | None, typer.Argument(help="Files, or `-` for standard input.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit 1 and list what would change.")] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Show what would change, and write nothing.")] = False,
    project: Folder = DEFAULT_DIR,
    as_json: AsJson = False,
) -> int:
    """Lay each file out, and write those that differ."""
    if files == [_STDIN]:
        return _filter(check=check, diff=diff)
    if _STDIN in (files or ()):
        raise MlctlError.of(
            "cli.usage", "`-` stands alone", "standard input and files cannot be mixed", "leave one out"
        )
    changed: list[Path] = []
    problems: list[MlctlError] = []
    for path in [Path(name) for name in files] if files else _project_files(project):
        try:
            differs = _one(path, write=not (check or diff), diff=diff)
        except MlctlError as error:
            problems.append(error)
            continue
        if as_json:
            emit_json({"type": "formatted", "file": str(path), "changed": differs})
        elif differs and not diff:
            print(path)
        changed += [path] * differs
    if problems:
        raise MlctlError([item for error in problems for item in error.diagnostics])
    return ExitCode.ERROR if check and changed else ExitCode.OK


def _one(path: Path, *, write: bool, diff: bool) -> bool:
    """Whether a file is to be laid out anew; done at once with `write`, its mode kept."""
    from mlctl.spec.formatting import formatted

    source = Source.parse(path)
    if source.diagnostics:
        raise MlctlError(source.diagnostics)
    result = formatted(str(path), source.text)
    if result.encode() == path.read_bytes():
        return False
    if diff:
        _show(str(path), source.text, result)
    if write:
        target = path.resolve()  # a link stays a link
        atomic.write_bytes(target, result.encode(), mode=target.stat().st_mode & 0o777)
    return True


def _filter(*, check: bool, diff: bool) -> int:
    """From standard input to standard output."""
    from mlctl.spec.formatting import formatted

    text = sys.stdin.read()
    result = formatted("<stdin>", text)
    if diff:
        _show("<stdin>", text, result)
    elif not check:
        sys.stdout.write(result)
    return ExitCode.ERROR if check and result != text else ExitCode.OK


def _show(name: str, before: str, after: str) -> None:
    paint = Paint(wants_color(sys.stdout))
    styles = {"+": "green", "-": "red", "@": "cyan"}
    for line in difflib.unified_diff(before.splitlines(), after.splitlines(), name, f"{name} (formatted)", lineterm=""):
        print(paint(safe(line), styles[line[0]]) if line[:1] in styles else safe(line))


def _project_files(folder: Path) -> list[Path]:
    """The project file of a folder and what it includes, whether or not the project is valid."""
    main = folder / PROJECT_FILE
    if not main.exists():
        raise MlctlError.of(
            "spec.no-project",
            f"there is no project file at {main}",
            "without arguments the files of a project are laid out",
            "name the files, or the folder of the project with `--project`",
        )
    top = Source.parse(main).value
    patterns = top.get("include") if isinstance(top, dict) else None
    found = [main]
    for pattern in patterns if isinstance(patterns, list) else []:
        if isinstance(pattern, str):
            found += [path for path in sorted(folder.glob(pattern)) if path.is_file() and path not in found]
    return found
