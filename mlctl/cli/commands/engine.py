"""mlctl engine: environments of their own for tools that do not go together with mlctl's libraries."""

from __future__ import annotations

import sys
import time
from typing import Annotated

import typer

from mlctl.cli.options import AsJson, emit_json, make_group
from mlctl.launch.environments import install as make
from mlctl.types.environments import ENVIRONMENTS, environment_folder, environment_python, environment_ready

app = make_group(
    "Tools that mlctl runs in environments of their own, since they want other versions of libraries.\n\n"
    "Examples:\n\n  mlctl engine list\n\n  mlctl engine install vllm"
)


@app.command(
    "install",
    help="Make the environment of a tool, once, in the cache of this user.\n\nExamples:\n\n  mlctl engine install vllm\n\n  mlctl engine install skypilot",
)
def install(
    name: Annotated[str, typer.Argument(help="The tool; see `mlctl engine list`.")], as_json: AsJson = False
) -> int:
    """Make it, or say that it is there."""
    began = time.monotonic()
    shown = sys.stderr.isatty()

    def tell(step: str) -> None:
        if as_json:
            emit_json({"type": "engine_progress", "name": name, "message": step})
        elif shown:
            print(f"\r\x1b[2K{name}: {step}", end="", file=sys.stderr, flush=True)
        else:
            print(f"{name}: {step}", file=sys.stderr, flush=True)

    try:
        python = make(name, tell)
    finally:
        if shown and not as_json:
            print("\r\x1b[2K", end="", file=sys.stderr, flush=True)
    if as_json:
        emit_json({**_row(name), "type": "engine", "seconds": round(time.monotonic() - began, 3)})
    else:
        print(f"{name} {ENVIRONMENTS[name].version} is ready: {python}")
    return 0


@app.command("list", help="Print the tools, and which of them are there.\n\nExamples:\n\n  mlctl engine list")
def list_(as_json: AsJson = False) -> int:
    """One line for each."""
    for name in sorted(ENVIRONMENTS):
        row = _row(name)
        if as_json:
            emit_json({"type": "engine", **row})
        else:
            state = row["python"] if row["ready"] else f"not there; mlctl engine install {name}"
            print(f"{name} {row['version']}  {row['what']}  ({state})")
    return 0


def _row(name: str) -> dict[str, str | bool]:
    pinned = ENVIRONMENTS[name]
    return {
        "name": name,
        "version": pinned.version,
        "what": pinned.what,
        "ready": environment_ready(name),
        "folder": str(environment_folder(name)),
        "python": str(environment_python(name)),
    }
