"""mlctl cost import: prices from a catalogue into the project's price list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlctl.cli.options import AsJson, emit_json
from mlctl.cli.project import in_project
from mlctl.types.diagnostic import Diagnostic, ExitCode, MlctlError, SourceRange, did_you_mean
from mlctl.workspace import Workspace

if TYPE_CHECKING:
    from mlctl.estimate.catalogues import Catalogue
    from mlctl.spec.price_merging import Merged

HELP = (
    "Take prices from a file into the project's price list: the `vms.csv` of a provider in SkyPilot's catalogue, a CSV file of "
    "gpuhunt, or rows of another price list. Nothing is fetched. Rows of the same device, provider, tier, region and number are "
    "replaced, all others and every comment stay.\n\n"
    "Examples:\n\n  mlctl cost import vms.csv --from skypilot --provider lambda --gpu H100 --gpu A100-80GB\n\n"
    "  mlctl cost import aws.csv --from gpuhunt --as-of 2026-11-01 -o prices.yaml\n\n"
    "  mlctl cost import contract.yaml --from rows"
)
_FORMS = ("skypilot", "gpuhunt", "rows")
_LINES_TOLD = 20


@in_project
def import_(
    workspace: Workspace,
    catalogue: Annotated[Path, typer.Argument(metavar="FILE", help="The catalogue.")],
    form: Annotated[str, typer.Option("--from", metavar="|".join(_FORMS), help="What the file is.")],
    provider: Annotated[
        str | None,
        typer.Option(
            "--provider", help="Whose prices they are, which a catalogue's file does not say; its name otherwise."
        ),
    ] = None,
    gpu: Annotated[
        list[str] | None, typer.Option("--gpu", metavar="GPU", help="Only this device; may be given again.")
    ] = None,
    as_of: Annotated[
        str | None,
        typer.Option("--as-of", metavar="DATE", help="The day of the prices.", show_default="the day of the file"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="The price list.", show_default="the project's")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Read, merge, write, tell."""
    from mlctl.files import atomic
    from mlctl.spec.files import read_text
    from mlctl.spec.price_merging import merged
    from mlctl.spec.reading import displayed

    if provider is not None and not provider.strip():
        raise _usage("`--provider` names nobody", "a price without a provider is nobody's", "name it, or leave it out")
    if form not in _FORMS:
        raise _usage(f"`--from {form}` is not known", "", did_you_mean(form, _FORMS))
    wanted = _devices(gpu or ())
    target, named = _target(workspace, out)
    found = _read(catalogue, form, provider, as_of)
    rows = [row for row in found.rows if not wanted or row.gpu in wanted]
    if not rows:
        raise _nothing(catalogue, found, wanted)
    before = read_text(target, displayed(target)) if target.exists() else ""
    result = merged(target.name, before, rows)
    if result.text != before:
        atomic.write_bytes(target, result.text.encode(), mode=target.stat().st_mode & 0o777 if before else 0o644)
    if as_json:
        emit_json(_json(catalogue, form, target, found, result, named=named))
    else:
        from mlctl.views.human import cost_import

        print(cost_import.render(displayed(target), found, result, named=named))
    return ExitCode.OK


def _read(file: Path, form: str, provider: str | None, as_of: str | None) -> Catalogue:
    """What the file holds. Raises MlctlError for one that is none, with every line that is wrong."""
    from mlctl.estimate.catalogues import Catalogue, NotACatalogue, from_gpuhunt, from_skypilot
    from mlctl.spec import price_files

    if form == "rows":
        if as_of is not None:
            raise _usage("`--as-of` has no effect with `--from rows`", "each row has its own date", "leave it out")
        rows = price_files.read(file)
        taken = tuple(row if provider is None else replace(row, provider=provider) for row in rows)
        return Catalogue(taken, len(rows))
    text = _text(file)
    day = _day(file, as_of)
    owner = provider or _owner(file)
    read, title = (from_skypilot, "SkyPilot catalogue") if form == "skypilot" else (from_gpuhunt, "gpuhunt")
    try:
        return read(text, provider=owner, as_of=day, source=f"{title}, {file.name}")
    except NotACatalogue as error:
        lines = text.splitlines()
        raise MlctlError(
            [
                Diagnostic(
                    "prices.not-a-catalogue",
                    f"line {line}: {what}",
                    f"it was read as what `--from {form}` says",
                    "mend or remove the line, or say what the file is",
                    where=SourceRange(str(file), line, 1, 2, lines[line - 1] if line <= len(lines) else ""),
                )
                for line, what in error.problems[:_LINES_TOLD]
            ]
            + _more(len(error.problems))
        ) from None


def _more(problems: int) -> list[Diagnostic]:
    left = problems - _LINES_TOLD
    return [Diagnostic("prices.not-a-catalogue", f"{left:,} more lines are wrong")] if left > 0 else []


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise MlctlError.of("prices.unreadable", f"`{file}` cannot be read", str(why), "check the path") from None


def _day(file: Path, given: str | None) -> date:
    from mlctl.spec import price_files

    if given is None:
        return min(datetime.fromtimestamp(file.stat().st_mtime, UTC).date(), price_files.day())
    try:
        found = date.fromisoformat(given)
    except ValueError:
        raise _usage(f"`--as-of {given}` is no date", "", "write it as 2026-01-31") from None
    if found > price_files.day():
        raise _usage(f"`--as-of {given}` is still to come", "", "give the day on which the prices were these")
    return found


def _owner(file: Path) -> str:
    """The provider by the name of its file or, of a `vms.csv`, of the folder around it."""
    name = file.stem if file.stem != "vms" else file.resolve().parent.name
    return name or "unknown"


def _devices(texts: Sequence[str]) -> set[str]:
    from mlctl.estimate.prices import gpu_name, gpu_names

    found = {text: gpu_name(text) for text in texts}
    for text, name in found.items():
        if name is None:
            raise _usage(f"`--gpu {text}`: no such device is known", "", did_you_mean(text, gpu_names()))
    return {name for name in found.values() if name is not None}


def _target(workspace: Workspace, out: Path | None) -> tuple[Path, bool]:
    """The price list that is written, and whether the project reads it."""
    if out is not None and not workspace.main.exists():
        return out.resolve(), False
    settings = workspace.surroundings.settings.get("prices")
    named = None if settings is None else (workspace.root / str(settings["file"])).resolve()
    target = out if out is not None else named or workspace.root / "prices.yaml"
    target = target.resolve()  # a link stays one
    return target, target == named


def _nothing(file: Path, found: Catalogue, wanted: set[str]) -> MlctlError:
    there = sorted({row.gpu for row in found.rows})
    why = (
        f"it has prices of {', '.join(there)}"
        if there
        else f"none of its {found.lines:,} lines is of a device that is known"
    )
    what = f" of {', '.join(sorted(wanted))}" if wanted else ""
    return MlctlError.of("prices.nothing-found", f"`{file}` has no price{what}", why, "nothing was written")


def _json(file: Path, form: str, target: Path, found: Catalogue, result: Merged, *, named: bool) -> dict[str, object]:
    return {
        "type": "cost_import",
        "file": str(file),
        "from": form,
        "list": str(target),
        "in_project": named,
        "lines": found.lines,
        "added": [row.to_json() for row in result.added],
        "changed": [{"was": was.to_json(), "now": now.to_json()} for was, now in result.changed],
        "unchanged": result.same,
        "kept": result.kept,
        "unknown": dict(found.unknown),
        "left_out": dict(found.left_out),
    }


def _usage(summary: str, why: str, fix: str) -> MlctlError:
    return MlctlError.of("cli.usage", summary, why, fix)
