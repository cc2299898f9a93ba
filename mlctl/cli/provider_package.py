"""`mlctl init --provider`: a Python package with a kind of its own, to be turned into somebody's."""

from __future__ import annotations

import re
from pathlib import Path

from mlctl import templates
from mlctl.files import atomic
from mlctl.registry import Registry
from mlctl.types.diagnostic import MlctlError

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_SECTION = re.compile(r"[a-z][a-z0-9_]*")


def write_package(target: Path, name: str, section: str | None) -> list[str]:
    """Write the package for a section into a folder and give its files. Overwrites nothing. Raises MlctlError."""
    name = name.removeprefix("mlctl-")
    if not _NAME.fullmatch(name):
        raise MlctlError.of(
            "init.bad-name",
            f"`{name}` cannot be the name of a package",
            "it becomes the package `mlctl-NAME`: small letters, digits and single dashes, a letter first",
            "for example `mlctl init --provider catalog`",
        )
    block = name.replace("-", "_")
    section = section or f"{block}_entries"
    if not _SECTION.fullmatch(section):
        raise MlctlError.of(
            "init.bad-name",
            f"`{section}` cannot be the name of a section",
            "sections are written in small letters, digits and underscores, a letter first",
            f"for example `--section {block}_entries`",
        )
    registry = Registry()
    for what, taken in (("section", {*registry.sections()} & {section}), ("block", {*registry.settings()} & {block})):
        for found in taken:
            raise MlctlError.of(
                "init.taken",
                f"an installed package has the {what} `{found}` already",
                "two packages cannot define the same",
                "choose another name",
            )
    values = {
        "package": f"mlctl-{name}",
        "module": f"mlctl_{block}",
        "section": section,
        "settings": block,
        "title": "".join(part.capitalize() for part in name.split("-")),
    }
    files = {templates.fill(path.encode(), values).decode(): data for path, data in _template().items()}
    if there := sorted(path for path in files if (target / path).exists()):
        raise MlctlError.of(
            "init.exists",
            f"{target} holds {', '.join(there)} already",
            "init overwrites nothing",
            f"choose another folder: `mlctl init --provider {name} FOLDER`",
        )
    for path, data in files.items():
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        atomic.write_bytes(target / path, templates.fill(data, values), mode=0o644)
    return sorted(files)


def _template() -> dict[str, bytes]:
    """The files of the package by path; `gitignore` becomes `.gitignore`, since wheels drop dot files."""
    folder = templates.root() / "provider"
    found = (path for path in sorted(folder.rglob("*")) if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(folder).as_posix().replace("gitignore", ".gitignore"): path.read_bytes() for path in found}
