"""The pipelines of `mlctl init --ci`, run block by block with the real program; only the code host is played."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from mlctl.cli.commands.init import app
from mlctl.spec.formatting import formatted
from mlctl.types.diagnostic import MlctlError

HERE = Path(__file__).parent
MLCTL = Path(sys.executable).parent

# Plays the code host: comments are files, the artifact of run 41 is the plan.
GH = """\
import pathlib, re, shutil, sys
host, arguments = pathlib.Path(sys.argv[1]), sys.argv[2:]
comments, text = host / "comments", " ".join(sys.argv[2:])
if arguments[:2] == ["run", "download"]:
    shutil.copy(host / "artifacts" / arguments[2] / "plan.mlplan", "plan.mlplan")
elif "--paginate" in arguments:
    (marker,) = re.findall(r'startswith\\("(.*?)"\\)', text)
    print("\\n".join(path.name for path in sorted(comments.iterdir()) if path.read_text().startswith(marker)))
elif "-X" in arguments:
    (file,) = re.findall(r"body=@(\\S+)", text)
    name = re.findall(r"comments/(\\d+)", text) if "PATCH" in arguments else [str(100 + len(list(comments.iterdir())))]
    shutil.copy(file, comments / name[0])
elif "/pulls" in text:
    print("headsha")
elif "/runs?event=pull_request&head_sha=headsha" in text:
    print("41")
else:
    sys.exit(f"unexpected: {arguments}")
"""
CURL = """\
import json, pathlib, re, shutil, sys
host, arguments = pathlib.Path(sys.argv[1]), sys.argv[2:]
notes, url = host / "comments", arguments[-1]
assert pathlib.Path(".curl").stat().st_mode & 0o077 == 0 and not any("canary-token" in item for item in arguments)
if "/jobs/artifacts/refs%2Fmerge-requests%2F7%2Fhead/raw/plan.mlplan?job=ml-plan" in url:
    shutil.copy(host / "artifacts" / "41" / "plan.mlplan", arguments[arguments.index("-o") + 1])
elif url.endswith("/merge_requests"):
    print(json.dumps([{"iid": 7}]))
elif "-X" in arguments:
    (file,) = [item.partition("@")[2] for item in arguments if item.startswith("body@")]
    name = url.rpartition("/")[2] if "PUT" in arguments else str(100 + len(list(notes.iterdir())))
    shutil.copy(file, notes / name)
elif "/notes?" in url:
    print(json.dumps([{"id": int(path.name), "body": path.read_text()} for path in sorted(notes.iterdir())]))
else:
    sys.exit(f"unexpected: {arguments}")
"""


class Pipeline:
    """A repository with a project in `ml/`, its rendered pipeline, and a machine to run its blocks on."""

    def __init__(self, folder: Path, host: str) -> None:
        self.root, self.host = folder / "repository", folder / "host"
        (self.root / ".git").mkdir(parents=True)
        shutil.copytree(HERE / "json", self.root / "ml", ignore=shutil.ignore_patterns("script", "output.txt"))
        text = (self.root / "ml/mlctl.yaml").read_text()
        (self.root / "ml/mlctl.yaml").write_text(formatted("mlctl.yaml", text))
        done = CliRunner().invoke(app, ["--ci", host, "-C", str(self.root / "ml")], standalone_mode=False)
        assert done.exception is None, done.exception
        self.said = done.stdout
        self.file = self.root / (".github/workflows/mlctl-ml.yml" if host == "github" else "ml/.gitlab-ci.yml")
        self.jobs: dict[str, Any] = yaml.safe_load(self.file.read_text())
        for name in ("comments", "artifacts/41", "bin"):
            (self.host / name).mkdir(parents=True)
        for name, program in (("gh", GH), ("curl", CURL)):
            (self.host / f"{name}.py").write_text(program)
            self._command(name, f'exec {sys.executable} {self.host / name}.py {self.host} "$@"')
        self._command("python", f'[ "$1 $2" = "-m pip" ] && exit 0; exec {sys.executable} "$@"')
        self._command("apt-get", "exit 0")

    def _command(self, name: str, text: str) -> None:
        path = self.host / "bin" / name
        path.write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(0o755)

    def bash(self, script: str, **more: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": f"{self.host / 'bin'}:{MLCTL}:{os.environ['PATH']}", "HOME": str(self.host), "NO_COLOR": "1", "CI": "true",
            "MLCTL_PROJECT": "ml", **more,
        }  # fmt: skip
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script], cwd=self.root, env=environment, text=True,
            capture_output=True, check=False,
        )  # fmt: skip

    @property
    def comments(self) -> list[str]:
        return [path.read_text() for path in sorted((self.host / "comments").iterdir())]

    def change(self, old: str, new: str) -> None:
        path = self.root / "ml/mlctl.yaml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def clean(self) -> None:
        """Another job has another machine; only what is kept as an artifact stays."""
        for name in ("plan.mlplan", "plan.md", "comment.md", "note.md"):
            (self.root / name).unlink(missing_ok=True)

    def keep(self) -> None:
        shutil.copy(self.root / "plan.mlplan", self.host / "artifacts/41/plan.mlplan")


def blocks(jobs: dict[str, Any]) -> list[str]:
    """Every piece of shell of a pipeline."""
    found = []
    for job in (jobs.get("jobs") or jobs).values():
        if isinstance(job, dict):
            found += [step["run"] for step in job.get("steps", []) if "run" in step]
            found += [*job.get("before_script", []), *job.get("script", [])]
    return found


@pytest.mark.parametrize("host", ["github", "gitlab"])
def test_every_piece_of_shell_is_shell_and_runs_only_commands_there_are(host: str, tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path, host)
    found = blocks(pipeline.jobs)
    assert len(found) > 8
    for block in found:
        done = subprocess.run(["bash", "-n"], input=block, text=True, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
    assert "@@" not in pipeline.file.read_text()


@pytest.mark.parametrize("host", ["github", "gitlab"])
def test_it_is_said_that_what_is_made_stays_on_the_machine_that_made_it(host: str, tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path, host)
    assert "datasets, trainings, evaluations, models and servers are files and processes" in pipeline.said
    assert "a runner of your own that keeps `.mlctl`" in pipeline.said
    if host == "github":
        jobs = pipeline.jobs["jobs"]
        mine = {name for name, job in jobs.items() if "vars.MLCTL_RUNNER" in job["runs-on"]}
        kept = {name for name, job in jobs.items() if job["steps"][0]["with"].get("clean") is False}
        assert mine == kept == {"plan", "apply", "drift", "retrain"}, "and what a fork sends runs on none of them"
    else:
        own = {name.removeprefix("ml-") for name, job in pipeline.jobs.items() if isinstance(job, dict) and job.get("extends") == ".ml-made"}  # fmt: skip
        assert own == {"plan", "apply", "apply-new-plan", "drift", "retrain"}
        assert "-e .mlctl/" in pipeline.jobs[".ml-made"]["variables"]["GIT_CLEAN_FLAGS"]


@pytest.mark.parametrize("host", ["github", "gitlab"])
def test_a_server_that_is_down_does_not_stop_the_training_and_a_project_that_is_not_valid_does(
    host: str, tmp_path: Path
) -> None:
    pipeline = Pipeline(tmp_path, host)
    if host == "github":
        jobs = pipeline.jobs["jobs"]
        assert jobs["retrain"]["needs"] == "validate"
        assert "'schedule'" in jobs["validate"]["if"]
    else:
        assert pipeline.jobs["ml-retrain"]["needs"] == ["ml-validate"]
        assert {"if": '$CI_PIPELINE_SOURCE == "schedule"'} in pipeline.jobs["ml-validate"]["rules"]


@pytest.mark.tools
def test_a_plan_that_an_earlier_job_left_on_a_runner_is_not_applied(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path, "github")
    github(pipeline, "plan")
    assert (pipeline.root / "plan.mlplan").exists()
    steps = github(pipeline, "apply")  # whose request has no plan
    assert steps[-1].returncode == 7
    assert pipeline.bash("mlctl -C ml plan --detailed-exitcode").returncode == 2, "nothing was applied"


def test_a_workflow_has_few_rights_pinned_actions_and_one_apply_at_a_time(tmp_path: Path) -> None:
    jobs = Pipeline(tmp_path, "github").jobs
    assert jobs["permissions"] == {"contents": "read"}
    uses = [step["uses"] for job in jobs["jobs"].values() for step in job["steps"] if "uses" in step]
    assert all(re.fullmatch(r"[\w/-]+@v\d+\.\d+\.\d+", item) for item in uses)
    assert jobs["jobs"]["apply"]["concurrency"]["cancel-in-progress"] is False
    for job in jobs["jobs"].values():
        assert all("${{" not in step.get("run", "") for step in job["steps"]), (
            "a name of a branch must not become shell"
        )
    steps = {step.get("name"): step for step in jobs["jobs"]["plan"]["steps"]}
    assert steps["Plan"]["id"] == "plan"
    assert "steps.plan.outcome != 'skipped'" in steps["Comment"]["if"], (
        "a runner that keeps its folder has the plan.md of another request"
    )
    gates = {name: job["if"] for name, job in jobs["jobs"].items()}
    assert "fork" in str(gates["plan"]) or "head.repo.full_name" in gates["plan"]


def github(pipeline: Pipeline, job: str, **more: str) -> list[subprocess.CompletedProcess[str]]:
    """Run the steps of a job as the host would: after one that fails only those that run all the same."""
    outputs = pipeline.host / "outputs"
    outputs.write_text("")
    done = []
    environment = {
        "GITHUB_REPOSITORY": "o/r", "GITHUB_SHA": "sha", "GITHUB_RUN_ID": "42", "GITHUB_STEP_SUMMARY": str(pipeline.host / "summary.md"),
        "GITHUB_OUTPUT": str(outputs), "RUN": "", "WORKFLOW": "o/r/.github/workflows/mlctl-ml.yml@refs/heads/main", "NUMBER": "7", **more,
    }  # fmt: skip
    for step in pipeline.jobs["jobs"][job]["steps"]:
        if "run" not in step or ("code == '7'" in step.get("if", "") and "code=7" not in outputs.read_text()):
            continue
        if any(item.returncode for item in done) and "!cancelled()" not in step.get("if", ""):
            continue
        done.append(pipeline.bash(step["run"], **environment))
    return done


@pytest.mark.tools
def test_github_applies_the_plan_that_was_reviewed_and_a_stale_one_never(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path, "github")
    assert [step.returncode for step in github(pipeline, "validate")] == [0, 0], github(pipeline, "validate")[-1]
    for _ in range(2):  # a second push to the request changes the comment
        steps = github(pipeline, "plan")
        assert [step.returncode for step in steps] == [0, 0, 0], steps[-1].stderr
    (comment,) = pipeline.comments
    assert comment.startswith("<!-- mlctl:ml:default -->\n")
    assert "3 to create" in comment
    pipeline.keep()

    pipeline.clean()
    steps = github(pipeline, "apply")
    assert [step.returncode for step in steps] == [0, 0, 0], steps[-1].stderr
    assert "3 done" in steps[-1].stdout
    assert pipeline.bash("mlctl -C ml plan --detailed-exitcode").returncode == 0

    pipeline.clean()
    pipeline.change("{key: visitor_id}", "{key: visitor_id, dtype: string}")
    steps = github(pipeline, "apply")  # the plan of the request is applied already
    assert steps[-1].returncode == 7
    assert (pipeline.root / "plan.mlplan").exists()
    assert "1 to update" in (pipeline.host / "summary.md").read_text()
    assert pipeline.bash("mlctl -C ml plan --detailed-exitcode").returncode == 2, "nothing was applied"
    pipeline.keep()

    pipeline.clean()
    steps = github(pipeline, "apply", RUN="41")  # by hand, with the new plan
    assert [step.returncode for step in steps] == [0, 0, 0]
    assert pipeline.bash("mlctl -C ml plan --detailed-exitcode").returncode == 0

    assert github(pipeline, "drift")[-1].returncode == 0
    shutil.rmtree(next((pipeline.root / "ml/.mlctl/default/objects").glob("datasets.visits")))
    assert github(pipeline, "drift")[-1].returncode == 5


@pytest.mark.tools
def test_github_shows_what_is_wrong_and_keeps_the_log(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path, "github")
    pipeline.change("entities:", "entites:")
    steps = github(pipeline, "validate")
    assert steps[-1].returncode == 1
    assert "did you mean `entities`?" in steps[-1].stderr
    assert "spec.unknown-section" in (pipeline.root / "mlctl.sarif").read_text()


def gitlab(pipeline: Pipeline, job: str) -> subprocess.CompletedProcess[str]:
    """Run a job: all its lines in one shell, as a runner does."""
    environment = {
        "CI_API_V4_URL": "https://gitlab.example/api/v4", "CI_PROJECT_ID": "3", "CI_MERGE_REQUEST_IID": "7", "CI_COMMIT_SHA": "sha",
        "MLCTL_GITLAB_TOKEN": "canary-token",
    }  # fmt: skip
    return pipeline.bash("\n".join(pipeline.jobs[f"ml-{job}"]["script"]), **environment)


@pytest.mark.tools
def test_gitlab_applies_the_plan_that_was_reviewed_and_a_stale_one_never(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path, "gitlab")
    assert gitlab(pipeline, "validate").returncode == 0
    for _ in range(2):
        done = gitlab(pipeline, "plan")
        assert done.returncode == 0, done.stderr
    (note,) = pipeline.comments
    assert "3 to create" in note
    pipeline.keep()
    pipeline.clean()
    done = gitlab(pipeline, "apply")
    assert done.returncode == 0, done.stderr
    assert "3 done" in done.stdout

    pipeline.clean()
    pipeline.change("{key: visitor_id}", "{key: visitor_id, dtype: string}")
    done = gitlab(pipeline, "apply")
    assert done.returncode == 7
    assert "Nothing was applied" in done.stdout
    assert gitlab(pipeline, "apply-new-plan").returncode == 0
    assert pipeline.bash("mlctl -C ml plan --detailed-exitcode").returncode == 0
    assert gitlab(pipeline, "drift").returncode == 0
    assert not (pipeline.root / ".curl").exists()


@pytest.mark.tools
@pytest.mark.parametrize("host", ["github", "gitlab"])
def test_a_plan_that_a_policy_refuses_is_shown_beside_the_request_and_fails_the_job(host: str, tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path, host)
    file = pipeline.root / "ml/mlctl.yaml"
    file.write_text(f"{file.read_text()}\npolicies:\n  frozen: {{deny: changes, message: nothing is made this week}}\n")
    if host == "github":
        codes = [step.returncode for step in github(pipeline, "plan")]
        assert (codes[0], codes[-1], 4 in codes) == (0, 0, True)  # installed, commented
        assert "nothing is made this week" in (pipeline.host / "summary.md").read_text()
    else:
        assert gitlab(pipeline, "plan").returncode == 4
    (comment,) = pipeline.comments
    assert "nothing is made this week" in comment
    assert "3 to create" in comment
    assert not (pipeline.root / "plan.mlplan").exists()
    assert not (pipeline.root / ".curl").exists()


def test_nothing_is_overwritten_and_a_project_at_the_root_has_the_plain_name(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path, "github")
    with pytest.raises(MlctlError, match=r"init\.exists"):
        CliRunner().invoke(
            app, ["--ci", "github", "-C", str(pipeline.root / "ml")], standalone_mode=False, catch_exceptions=False
        )
    (pipeline.root / "mlctl.yaml").write_text("project: p\n")
    CliRunner().invoke(app, ["--ci", "github", "-C", str(pipeline.root)], standalone_mode=False, catch_exceptions=False)
    text = (pipeline.root / ".github/workflows/mlctl.yml").read_text()
    assert 'MLCTL_PROJECT: "."' in text
    assert 'paths: ["**", ' in text
    with pytest.raises(MlctlError, match=r"init\.unknown-host.*gitlba"):
        CliRunner().invoke(
            app, ["--ci", "gitlba", "-C", str(pipeline.root)], standalone_mode=False, catch_exceptions=False
        )
    with pytest.raises(MlctlError, match=r"spec\.no-project"):
        CliRunner().invoke(app, ["--ci", "gitlab", "-C", str(tmp_path)], standalone_mode=False, catch_exceptions=False)


@pytest.mark.parametrize("host", ["github", "gitlab"])
def test_a_pipeline_retrains_only_when_asked_to_and_beside_no_apply(host: str, tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path, host)
    if host == "github":
        job = pipeline.jobs["jobs"]["retrain"]
        assert "vars.MLCTL_RETRAIN == 'true'" in job["if"]
        assert job["concurrency"]["group"] == pipeline.jobs["jobs"]["apply"]["concurrency"]["group"]
    else:
        job = pipeline.jobs["ml-retrain"]
        assert '$MLCTL_RETRAIN == "true"' in job["rules"][0]["if"]
        assert job["resource_group"] == pipeline.jobs["ml-apply"]["resource_group"]
    fresh = retrained(pipeline, host)
    assert fresh.returncode == 1
    assert "the state is empty here" in fresh.stderr, "a runner that knows of nothing does not make all of it"
    assert pipeline.bash("mlctl -C ml apply -y").returncode == 0
    assert (
        "the project has no `training`" in retrained(pipeline, host).stderr
    )  # the program has understood all of its options


def retrained(pipeline: Pipeline, host: str) -> subprocess.CompletedProcess[str]:
    return github(pipeline, "retrain")[-1] if host == "github" else gitlab(pipeline, "retrain")
