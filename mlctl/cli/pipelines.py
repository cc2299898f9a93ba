"""`mlctl init --ci`: the pipeline of a project, written where its code host looks for it. Overwrites nothing."""

from __future__ import annotations

import re
from pathlib import Path

from mlctl import __version__, templates
from mlctl.files import atomic
from mlctl.spec.project import PROJECT_FILE
from mlctl.types.diagnostic import MlctlError, did_you_mean

_SAFE = re.compile(r"[A-Za-z0-9._/-]+")


def write_pipeline(host: str, folder: Path) -> str:
    """Write it for the project in a folder, and say where, and what is left to be done by a person. Raises MlctlError."""
    if host not in templates.pipelines():
        raise MlctlError.of(
            "init.unknown-host", f"`--ci={host}` is not known", "", did_you_mean(host, templates.pipelines())
        )
    folder = folder.resolve()
    if not (folder / PROJECT_FILE).exists():
        fix = "run `mlctl init` first, or name the folder with `-C`"
        raise MlctlError.of(
            "spec.no-project", f"there is no {PROJECT_FILE} in {folder}", "a pipeline runs a project", fix
        )
    root = _repository(folder)
    inside = folder.relative_to(root).as_posix()
    if not _SAFE.fullmatch(inside):
        why = "pipelines pass it to shells and patterns, where other characters mean something"
        raise MlctlError.of(
            "init.bad-folder", f"the folder `{inside}` has characters that a pipeline cannot name", why, "rename it"
        )
    name = re.sub(r"[^A-Za-z0-9]+", "-", folder.name).strip("-").lower() or "project"
    target = _target(host, root, folder, name)
    if target.exists():
        fix = "move it away, or merge by hand what you want of `mlctl init --ci` in an empty clone"
        raise MlctlError.of("init.exists", f"{target} exists already", "init overwrites nothing", fix)
    shown = target.relative_to(root).as_posix()
    values = {
        "name": name,
        "folder": inside,
        "paths": "**" if inside == "." else f"{inside}/**",
        "workflow": shown,
        "version": __version__,
    }
    if host == "gitlab":
        values["paths"] = values["paths"].replace("**", "**/*")
    target.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_bytes(target, templates.fill(templates.pipeline(host), values), mode=0o644)
    return f"Wrote {target}.\n\n{_left(host, shown, inside)}"


def _repository(folder: Path) -> Path:
    """The root of the repository that a folder is in; the folder itself when it is in none."""
    return next((path for path in (folder, *folder.parents) if (path / ".git").exists()), folder)


def _target(host: str, root: Path, folder: Path, name: str) -> Path:
    if host == "gitlab":
        return folder / ".gitlab-ci.yml"
    return root / ".github" / "workflows" / ("mlctl.yml" if folder == root else f"mlctl-{name}.yml")


def _left(host: str, shown: str, inside: str) -> str:
    """What a file cannot do: the state, the secrets, and a word in the README."""
    own = (
        "`tags` in this file" if host == "gitlab" else "the repository variable MLCTL_RUNNER, for example `self-hosted`"
    )
    lines = [
        "Left to you:",
        "  - a machine that keeps what is made: datasets, trainings, evaluations, models and servers are files and processes of",
        f"    the machine that made them, and a hosted runner is empty each time. Name a runner of your own that keeps `.mlctl`: {own}",
        "  - a state that all runners share, unless there is one that keeps it: `environments: {NAME: {state: {backend: s3, ...}}}`.",
        "    It is not enough alone: what one machine made, another one refuses to forget or to make anew (state.made-elsewhere)",
    ]
    if host == "gitlab":
        lines.append("  - the masked CI/CD variable MLCTL_GITLAB_TOKEN: a project access token with the scope `api`")
        if inside != ".":
            lines.append(f"  - in the .gitlab-ci.yml of the repository: `include: [{{local: {shown}}}]`")
    else:
        lines.append(
            "  - secrets of the project under `env:`, as MLCTL_VAR_NAME, and a rule that `main` needs a review"
        )
    request = "merge" if host == "gitlab" else "pull"
    readme = (
        f"A {request} request shows the plan of mlctl as a comment; merging it applies exactly that plan (see {shown})."
    )
    return "\n".join([*lines, f"  - a line for the README: {readme}"])
