"""The pytest plugin for packages with kinds of their own. Each pytest of an environment loads it, so it imports nothing else.

It gives two fixtures: `mlctl_context`, a project folder that a kind can be driven in, and `mlctl_cli`, the real command
line on a project in a folder. `mlctl.testing.suite` uses the first to report each rule of kinds as a test.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from mlctl.provider import Context
    from mlctl.testing.rules import Findings
    from mlctl.testing.suite import KindConformance

pytest.register_assert_rewrite("mlctl.testing.suite")


@pytest.fixture(scope="class")
def mlctl_context(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Context]:
    """Makes the context of an empty project folder: `mlctl_context(settings={"catalog": {"path": "catalog.db"}})`."""

    def make(settings: Mapping[str, Mapping[str, Any]] | None = None) -> Context:
        from mlctl.testing.harness import make_context

        return make_context(tmp_path_factory.mktemp("project"), settings)

    return make


@pytest.fixture(scope="class")
def mlctl_findings(request: pytest.FixtureRequest, mlctl_context: Callable[..., Context]) -> Findings:
    """What came of the trial of a class derived from `mlctl.testing.suite.KindConformance`."""
    from mlctl.testing.conformance import examine

    suite: type[KindConformance] = request.cls
    ctx = mlctl_context(suite.settings)
    return examine(suite.kind(), suite().case(ctx), ctx)


@pytest.fixture
def mlctl_cli(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `mlctl` in a process of its own on the project in `tmp_path`: `mlctl_cli("apply", "--auto-approve")`.

    The kinds must be installed where this Python finds them. `code` is the exit code that is expected.
    """

    def run(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
        done = subprocess.run(
            [sys.executable, "-m", "mlctl.cli.main", "-C", str(tmp_path), *arguments],
            capture_output=True, text=True, check=False, env=environment, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        if done.returncode != code:
            pytest.fail(f"mlctl {' '.join(arguments)} gave {done.returncode}:\n{done.stdout}{done.stderr}")
        return done

    return run
