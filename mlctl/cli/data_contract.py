"""mlctl data contract: record what good data looks like, and carry rules to and from other tools."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from mlctl.cli.contract_import import as_block, imported_from, write_block
from mlctl.cli.options import AsJson, emit_json, make_group, pick
from mlctl.cli.project import in_project
from mlctl.files import atomic
from mlctl.providers.great_expectations import suite
from mlctl.providers.local.contract import contract_of
from mlctl.providers.local.profile import read_profile
from mlctl.types.address import Address
from mlctl.types.diagnostic import ExitCode, MlctlError, did_you_mean
from mlctl.types.jobs.contract import DataContract, default_path
from mlctl.views.human.contract import changes, lines
from mlctl.views.human.text import safe
from mlctl.workspace import Workspace

app = make_group(
    "Record what good data looks like, and carry rules to and from Great Expectations and Soda.\n\n"
    "Examples:\n\n  mlctl data contract record trips\n\n  mlctl data contract export trips_ok --out suite.json"
)
Out = Annotated[Path | None, typer.Option("--out", metavar="FILE", help="The file to write.")]


@app.command(
    "record",
    help="Write the contract of a dataset as it is now: its columns, types and rows, and how each column is distributed, in bins "
    "that stay as they are. Keep the file in git: checks compare later data with it.\n\n"
    "Examples:\n\n  mlctl data contract record trips\n\n  mlctl data contract record trips --check   # exit 2 when it would change",
)
@in_project
def record(
    workspace: Workspace,
    name: Annotated[str, typer.Argument(metavar="DATASET", help="The dataset, made by `mlctl apply`.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="The file to write.", show_default="contracts/DATASET.json"),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; say what would change, and exit 2 if anything would.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Compare with the file that is there, and write it anew when the data is another."""
    _, context = workspace.reader()
    made = pick(workspace.records(), "datasets", name)
    contract = contract_of(made, read_profile(made, context))
    path = _inside(workspace, out, made.key.address.name)
    before = _read(path) if path.exists() else None
    found = changes(before, contract)
    shown = path.relative_to(workspace.root).as_posix()
    if found and not check:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, _text(contract))
    if as_json:
        written = bool(found) and not check
        emit_json(
            {
                "type": "contract_recorded",
                "dataset": contract.dataset,
                "file": shown,
                "written": written,
                "changes": found,
            }
        )
    elif not found:
        print(f"{shown} is up to date: {contract.rows:,} rows, {len(contract.columns)} columns.")
    else:
        print(f"{shown} {'would change' if check else 'written'}:")
        print("\n".join(f"  {safe(line)}" for line in found))
    return ExitCode.CHANGES if check and found else ExitCode.OK


@app.command(
    "show",
    help="Print a recorded contract.\n\nExamples:\n\n  mlctl data contract show trips\n\n  mlctl data contract show contracts/trips.json",
)
@in_project
def show(
    workspace: Workspace,
    name: Annotated[str, typer.Argument(metavar="DATASET", help="The dataset, or the file of a contract.")],
    as_json: AsJson = False,
) -> int:
    """Print the file of a dataset, or any other."""
    path = Path(name) if name.endswith(".json") else workspace.root / default_path(name.removeprefix("datasets."))
    contract = _read(path)
    if as_json:
        shown = path.relative_to(workspace.root) if path.is_relative_to(workspace.root) else path
        emit_json({"type": "contract", "file": shown.as_posix(), **contract.model_dump(mode="json")})
    else:
        print("\n".join(safe(line) for line in lines(contract)))
    return ExitCode.OK


@app.command(
    "export",
    help="Write the rules of a data check as a suite of Great Expectations, which loads and runs there. Rules that the library "
    "has no expectation for travel along in the suite's `meta`.\n\n"
    "Examples:\n\n  mlctl data contract export trips_ok --out suite.json",
)
@in_project
def export(
    workspace: Workspace,
    name: Annotated[str, typer.Argument(metavar="DATA_CHECK", help="The data check.")],
    form: Annotated[str, typer.Option("--format", metavar="gx", help="The format; `gx` is the only one.")] = "gx",
    out: Out = None,
    as_json: AsJson = False,
) -> int:
    """Render it from the project file; nothing has to be made for it."""
    if form != "gx":
        raise MlctlError.of(
            "cli.usage", f"`--format {form}` is not known", "suites of Great Expectations can be written", "use `gx`"
        )
    spec = _data_check(workspace, name)
    made, beside = suite.export(name.removeprefix("data_checks."), spec.dataset, spec.rules)
    text = json.dumps(made, indent=2, ensure_ascii=False) + "\n"
    if out is not None:
        if not out.parent.is_dir():
            raise MlctlError.of(
                "cli.no-folder", f"there is no folder `{out.parent}`", f"`{out}` is to be written into it"
            )
        _write(out, text)
    if as_json:
        emit_json({"type": "contract_exported", "data_check": name, "suite": made, "not_in_library": beside})
        return ExitCode.OK
    if out is None:
        print(text, end="")
    else:
        print(f"{out}: {len(made['expectations'])} expectations of {len(spec.rules)} rules.")
        for rule in beside:
            print(f"  only in `meta`: {rule}, which Great Expectations has no expectation for")
    return ExitCode.OK


@app.command(
    "import",
    help="Read the rules of a suite of Great Expectations (JSON) or of Soda's checks (YAML), and print them as a `data_checks` block. "
    "What has no rule here is listed with the reason.\n\n"
    "Examples:\n\n  mlctl data contract import suite.json --dataset trips\n\n  mlctl data contract import checks.yml --write checks/trips.yaml",
)
@in_project
def import_(
    workspace: Workspace,
    source: Annotated[Path, typer.Argument(metavar="FILE", help="The suite or the checks.", show_default=False)],
    form: Annotated[
        str | None, typer.Option("--format", metavar="gx|soda", help="The format.", show_default="by the file's ending")
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option("--dataset", metavar="NAME", help="The dataset to check.", show_default="as in the file"),
    ] = None,
    write: Annotated[
        Path | None,
        typer.Option(
            "--write", metavar="FILE", help="Write the block into a new YAML file, for the project to include."
        ),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Print or write what could be taken; say what could not."""
    every = imported_from(
        source, form, dataset, known=[item.name for item in workspace.loaded.order if item.section == "datasets"]
    )
    taken = [item for item in every if item.rules]
    blocks, included = as_block(taken), False
    if write is not None:
        if not taken:
            raise MlctlError.of(
                "data.nothing-taken",
                f"no rule of `{source}` can be taken",
                "",
                "see why with the command without `--write`",
            )
        included = write_block(workspace, write, blocks, set(workspace.loaded.order))
    for item in every:
        if as_json:
            left_out = [{"check": what, "why": why} for what, why in item.left_out]
            emit_json(
                {
                    "type": "contract_imported",
                    "dataset": item.dataset,
                    "rules": item.rules,
                    "left_out": left_out,
                    "notes": item.notes,
                }
            )
    if not as_json:
        _tell(every, blocks, write)
        if write is not None and not included:
            print(f"The project does not read it yet: add `include: [{write.as_posix()}]` to {workspace.main.name}.")
    return ExitCode.OK


def _tell(every: list[suite.Imported], blocks: str, write: Path | None) -> None:
    """The block, with what is not in it as comments, so that it can be piped into a file as it is."""
    print(blocks if write is None and any(item.rules for item in every) else "", end="")
    if write is not None:
        print(f"{write}: {sum(len(item.rules) for item in every)} rules.")
    mark = "# " if write is None else "  "
    for item in every:
        for what, why in item.left_out:
            print(f"{mark}left out: {safe(what)}: {safe(why)}")
        for note in dict.fromkeys(item.notes):
            print(f"{mark}note: {safe(note)}")


def _data_check(workspace: Workspace, name: str) -> Any:
    specs: Mapping[Address, Any] = {
        address: resource.spec
        for address, resource in workspace.project.resources.items()
        if address.section == "data_checks"
    }
    wanted = name.removeprefix("data_checks.")
    found = next((spec for address, spec in specs.items() if address.name == wanted), None)
    if found is None:
        raise MlctlError.of(
            "cli.unknown-name",
            f"there is no data check `{wanted}` in the project",
            "",
            did_you_mean(wanted, [address.name for address in specs]) or "see `mlctl validate`",
        )
    return found


def _inside(workspace: Workspace, out: Path | None, name: str) -> Path:
    """The file of a contract, which data checks of the project name relative to it."""
    return workspace.context(workspace.ledger()).path(str(out) if out is not None else default_path(name))


def _read(path: Path) -> DataContract:
    try:
        return DataContract.model_validate_json(path.read_bytes())
    except OSError:
        raise MlctlError.of(
            "data.no-contract",
            f"there is no data contract in `{path}`",
            "one is recorded of a dataset that was made",
            "run `mlctl data contract record DATASET`",
        ) from None
    except ValidationError as error:
        said = str(error.errors(include_url=False)[0]["msg"])
        raise MlctlError.of(
            "data.bad-contract", f"`{path}` is no data contract", said, "move it away, or restore it from git"
        ) from None


def _text(contract: DataContract) -> str:
    """The file: one column a line, so that a change of one is a change of a line."""
    head = contract.model_dump(mode="json", exclude={"columns"})
    columns = [json.dumps(item.model_dump(mode="json"), ensure_ascii=False) for item in contract.columns]
    body = json.dumps(head, indent=1, ensure_ascii=False)[:-2]
    return f'{body},\n "columns": [\n  ' + ",\n  ".join(columns) + "\n ]\n}\n"


def _write(path: Path, text: str) -> None:
    """Replace a file that keeps its mode; a new one may be read by others, like any file of the project."""
    mask = os.umask(0o077)
    os.umask(mask)
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~mask
    atomic.write_bytes(path, text.encode("utf-8"), mode=mode)
