"""The commands: name, group, and one line of help. The root help is printed from here, without importing any of them."""

from __future__ import annotations

from mlctl import __version__

GROUPS: dict[str, dict[str, str]] = {
    "Project": {
        "init": "Write a project to start from",
        "validate": "Check the project files offline, every problem at once",
        "plan": "Show what apply would change, and why",
        "apply": "Make the real objects match the project",
        "destroy": "Remove what mlctl made",
        "status": "Show every object and whether it is well",
        "show": "Show all that is known of one object",
        "why": "Explain why a resource would change, or last changed",
        "output": "Print outputs of resources",
        "graph": "Print the graph of resources",
        "logs": "Print the log of a resource",
        "state": "Look into the state: list, show",
        "schema": "Print the JSON Schema of project files, for editors",
        "doctor": "Check this machine: packages, disk, tools",
        "version": "Print the version",
    },
    "Stages": {
        "features": "Feature views: get, materialize, parity",
        "predict": "Ask a deployment for a prediction",
        "experiment": "Experiments: size, assign",
        "monitor": "Monitors: run, history",
        "retrain": "Train again if data or project changed, and deploy within the gates",
        "schedule": "Schedules: render the crontab",
    },
}

_OPTIONS = """\
Options, before or after the command:
  -C, --project DIR   the project folder (default: this one)
  -f, --file FILE     the project file in it (default: mlctl.yaml)
  -h, --help          help for mlctl or for a command
  --version           print the version

Exit codes: 0 done, 1 error, 2 changes (plan --detailed-exitcode), 3 gate not passed, 5 drift alarm,
6 state locked, 8 partly applied, 70 bug, 130 interrupted and resumable.
"""


def commands() -> dict[str, str]:
    """Every command with its line of help."""
    return {name: text for group in GROUPS.values() for name, text in group.items()}


def help_text() -> str:
    """The root help."""
    lines = [
        "Usage: mlctl [-C DIR] COMMAND [OPTIONS]",
        "",
        "A declarative toolchain for machine learning: data checks, features, training,",
        "evaluation, deployment, experiments and drift monitors from one YAML project.",
        "",
    ]
    for group, members in GROUPS.items():
        lines += [f"{group}:", *(f"  {name:<11} {text}" for name, text in members.items()), ""]
    return "\n".join(lines) + "\n" + _OPTIONS + f"\nmlctl {__version__}. Begin with: mlctl init\n"
