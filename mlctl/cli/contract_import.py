"""Rules of other tools as a block of a project file: find out what a file is, name the check, write it where it is included."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import yaml

from mlctl.files import atomic
from mlctl.providers.great_expectations import soda, suite
from mlctl.providers.great_expectations.suite import Imported
from mlctl.spec.formatting import WIDTH, formatted
from mlctl.spec.source import Source
from mlctl.types.address import Address
from mlctl.types.diagnostic import MlctlError, did_you_mean
from mlctl.workspace import Workspace

_FORMATS = ("gx", "soda")


def imported_from(file: Path, form: str | None, dataset: str | None, known: Sequence[str]) -> list[Imported]:
    """What a file holds for each dataset. Raises MlctlError for a file that cannot be read, and a dataset that is not there."""
    if form is not None and form not in _FORMATS:
        raise MlctlError.of(
            "cli.usage", f"`--format {form}` is not known", "it takes `gx` or `soda`", did_you_mean(form, _FORMATS)
        )
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise MlctlError.of("cli.no-file", f"`{file}` cannot be read", str(error)) from None
    if (form or ("gx" if file.suffix == ".json" else "soda")) == "gx":
        found = [suite.read(_json(file, text))]
    else:
        source = Source.of_text(str(file), text)
        if source.diagnostics:
            raise MlctlError(source.diagnostics)
        found = soda.read(source.value)
    if dataset is not None:
        if len(found) > 1:
            names = ", ".join(f"`{item.dataset}`" for item in found)
            raise MlctlError.of(
                "cli.usage", f"`{file}` checks {len(found)} datasets: {names}", "`--dataset` names one", "leave it out"
            )
        found[0].dataset = dataset
    for item in found:
        item.dataset = _dataset(item.dataset, known, file)
    return found


def as_block(found: Sequence[Imported]) -> str:
    """The `data_checks` section of a project file."""
    checks = {_check_name(item.dataset): {"dataset": item.dataset, "rules": item.rules} for item in found}
    text = yaml.safe_dump({"data_checks": checks}, sort_keys=False, allow_unicode=True, width=WIDTH)
    return formatted("<imported>", text) if checks else ""


def write_block(workspace: Workspace, target: Path, block: str, taken: Collection[Address]) -> bool:
    """Write a new file; gives whether the project includes it. Raises MlctlError when it, or a check of its name, is there already."""
    path = workspace.context(workspace.ledger()).path(str(target))
    if path.exists():
        raise MlctlError.of(
            "cli.file-exists", f"`{target}` exists already", "an import writes a new file", "name another, or remove it"
        )
    for name in Source.of_text("<imported>", block).value["data_checks"]:
        if Address("data_checks", name) in taken:
            raise MlctlError.of(
                "cli.name-taken",
                f"the project has a data check `{name}` already",
                "two of one name cannot be",
                "print the block without `--write`, and put its rules into that check",
            )
    top = Source.parse(workspace.main).value
    written = top.get("include") if isinstance(top, dict) else None
    patterns = written if isinstance(written, list) else []
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_bytes(path, block.encode("utf-8"), mode=0o644)
    return any(_matches(workspace.root, item, path) for item in patterns if isinstance(item, str))


def _matches(root: Path, pattern: str, path: Path) -> bool:
    """Whether a pattern of `include` would find a file that is not there yet."""
    relative = path.relative_to(root).as_posix() if path.is_relative_to(root) else ""
    parts = re.split(r"(\*\*/|\*|\?)", pattern)
    known = {"**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}
    return re.fullmatch("".join(known.get(part, re.escape(part)) for part in parts), relative) is not None


def _dataset(name: str, known: Sequence[str], file: Path) -> str:
    plain = name.removeprefix("datasets.")
    if plain in known:
        return plain
    raise MlctlError.of(
        "cli.unknown-name",
        f"the project has no dataset `{plain}`" if plain else f"`{file}` does not say which dataset it checks",
        f"its datasets are {', '.join(f'`{item}`' for item in known) or 'none yet'}",
        did_you_mean(plain, known) or "name it with `--dataset`",
    )


def _check_name(dataset: str) -> str:
    return re.sub(r"\W+", "_", dataset) + "_imported"


def _json(file: Path, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise MlctlError.of(
            "data.bad-suite", f"`{file}` is no JSON", str(error), "for Soda's YAML say `--format soda`"
        ) from None
