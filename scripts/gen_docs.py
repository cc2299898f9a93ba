"""Write docs/reference from the program itself, so that it cannot rot. With --check, say whether it is up to date."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

os.environ["COLUMNS"] = "100"  # before typer reads it: the pages must not depend on somebody's terminal

import typer
from pydantic import BaseModel

from mlctl.cli.catalogue import GROUPS, help_text
from mlctl.cli.dispatch import module_of
from mlctl.provider import FieldClass
from mlctl.registry import Registry

REFERENCE = Path(__file__).parent.parent / "docs" / "reference"


def cli_page() -> str:
    """Every command with its help."""
    lines = [
        "# Command line",
        "",
        "Generated from the program by `make docs`.",
        "",
        "```text",
        help_text().strip(),
        "```",
    ]
    for group, members in GROUPS.items():
        lines += ["", f"## {group}"]
        for name in members:
            module = importlib.import_module(f"mlctl.cli.commands.{module_of(name)}")
            for title, text in _helps(typer.main.get_command(module.app), f"mlctl {name}"):
                lines += ["", f"### {title}", "", "```text", text.strip(), "```"]
    return "\n".join(lines) + "\n"


def _helps(command: object, title: str) -> Iterator[tuple[str, str]]:
    members = getattr(command, "commands", None)
    if members:
        for name, member in sorted(members.items()):
            yield from _helps(member, f"{title} {name}")
    else:
        context = command.make_context(title, [], resilient_parsing=True)  # type: ignore[attr-defined]
        yield title, command.get_help(context)  # type: ignore[attr-defined]


def kinds_page() -> str:
    """Every section with its fields."""
    registry = Registry()
    lines = [
        "# Sections and fields",
        "",
        "Generated from the program by `make docs`. `mlctl schema` prints the same as JSON Schema.",
        "",
    ]
    for section in registry.sections():
        kind = registry.kind(section)
        lines += [f"## {section}", "", (type(kind).__doc__ or "").strip().splitlines()[0], ""]
        lines += [
            f"Family: {kind.family}. A changed field is of class {kind.field_class} unless marked.",
            "",
            *_fields(kind.spec),
            "",
        ]
    for name in registry.settings():
        lines += [f"## {name}", "", "Settings of the whole project.", "", *_fields(registry.settings_model(name)), ""]
    return "\n".join(lines).rstrip() + "\n"


def _fields(model: type[BaseModel]) -> list[str]:
    rows = ["| field | required | default | |", "|---|---|---|---|"]
    for name, info in model.model_fields.items():
        marks = [str(item) for item in info.metadata if isinstance(item, FieldClass)]
        default = "" if info.is_required() else f"`{_plain(info.get_default(call_default_factory=True))}`"
        text = " ".join([*(info.description or "").split(), *(f"({mark})" for mark in marks)])
        rows.append(f"| `{name}` | {'yes' if info.is_required() else ''} | {default} | {text} |".replace("  ", " "))
    return rows


def _plain(value: object) -> str:
    """A default as one would write it in YAML."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    return json.dumps(list(value) if isinstance(value, tuple) else value, default=str)


PAGES = {"cli.md": cli_page, "sections.md": kinds_page}


def main() -> int:
    """Write the pages, or compare them."""
    stale = []
    for name, page in PAGES.items():
        path = REFERENCE / name
        text = page()
        if path.exists() and path.read_text() == text:
            continue
        stale.append(name)
        if "--check" not in sys.argv:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    if stale and "--check" in sys.argv:
        print(f"out of date: {', '.join(stale)}; run `make docs`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
