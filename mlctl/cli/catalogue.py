"""The commands: name, group, and one line of help. The root help is printed from here, without importing any of them."""

from __future__ import annotations

from mlctl import __version__

GROUPS: dict[str, dict[str, str]] = {
    "Project": {
        "init": "Write a project to start from",
        "fmt": "Lay project files out in the canonical way",
        "validate": "Check the project files offline, every problem at once",
        "plan": "Show what apply would change, and why",
        "apply": "Make the real objects match the project, or carry out a saved plan",
        "destroy": "Remove what mlctl made",
        "import": "Take over an object that exists already",
        "status": "Show every object and whether it is well",
        "show": "Show all that is known of one object, or a saved plan",
        "explain": "Explain one step of a plan, from its line in the project to what follows",
        "why": "Explain why a resource would change, or last changed",
        "output": "Print outputs of resources",
        "console": "Evaluate expressions over the project and what was made",
        "graph": "Print the graph of resources, or a page of it",
        "logs": "Print the log of a resource",
        "decisions": "List what was decided by figures, or show one decision",
        "replay": "Make a decision again from what is kept with it, and compare",
        "runs": "List what was applied, when, by whom, and how it ended",
        "attach": "Follow a run that goes on without a terminal",
        "cancel": "End a run at its next checkpoint, or at once",
        "rollback": "Go back to the result of an earlier run, and hold it",
        "approve": "Let dependents go on although a gate did not pass",
        "promote": "Bring what one environment made to another, without building",
        "env": "Environments: list, show, new, delete",
        "state": "Look into the state, move or forget objects, go back, check it",
        "force-unlock": "Take the lock of the state away from a holder that is gone",
        "audit": "Look for the ten anti-patterns of machine learning in production",
        "maturity": "Tell the level of MLOps maturity, and what keeps it from the next",
        "schema": "Print the JSON Schema of project files, or of the lines of --json",
        "doctor": "Check this machine: packages, disk, tools",
        "version": "Print the version",
    },
    "Stages": {
        "data": "Datasets: profile, check, versions, diff, contract",
        "features": "Feature views: get, list, describe, materialize, parity, push, serve",
        "models": "Models: list, provenance, card, reproduce, export, convert",
        "train": "Train one model, or prove that kills lose nothing of it",
        "predict": "Ask a deployment for a prediction",
        "rollout": "Rollouts: status, promote, abort, pause, resume, retry, undo, history",
        "deploy": "Deployments: units for systemd, objects for Kubernetes",
        "explain-request": "Show all that is known of one request, by its id or its trace",
        "metrics": "Metrics: show, write, serve, lint",
        "observe": "Dashboards and alert rules for what is deployed: dashboard, alerts",
        "cost": "Time and money: estimate, compare, what-if, size, advise, break-even, actual, import",
        "bench": "Put a load on a deployment: latency, throughput, a gate",
        "experiment": "Experiments: size, certify, assign, verify-hash, analyze, promote",
        "monitor": "Monitors: run, report, backtest, history, label-budget",
        "retrain": "Train again if there is a reason, and deploy within the gates",
        "schedule": "Schedules: render a crontab, or timers of systemd",
        "demo": "See the closed loop at work: drift, alarm, retraining, canary",
        "engine": "Tools in environments of their own: install, list",
    },
}

_OPTIONS = """\
Options, before or after the command:
  -C, --project DIR   the project folder (default: this one)
  -f, --file FILE     the project file in it (default: mlctl.yaml)
  -e, --env NAME      the environment (default: MLCTL_ENV)
  --var NAME=VALUE    the value of a variable; --var-file FILE for several
  -h, --help          help for mlctl or for a command
  --version           print the version

Exit codes: 0 done, 1 error, 2 changes (plan --detailed-exitcode), 3 gate not passed, 4 policy, budget
or protection, 5 drift, 6 state locked, 7 stale plan, 8 partly applied, 70 bug, 130 interrupted.
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
    wide = max(len(name) for name in commands())
    for group, members in GROUPS.items():
        lines += [f"{group}:", *(f"  {name:<{wide}} {text}" for name, text in members.items()), ""]
    return "\n".join(lines) + "\n" + _OPTIONS + f"\nmlctl {__version__}. Begin with: mlctl init\n"
