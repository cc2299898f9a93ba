"""What a command may import. Speed of the command line is a feature, and imports are what it is lost by."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mlctl.registry import Registry

HEAVY = [
    "torch", "pandas", "numpy", "mlflow", "feast", "great_expectations", "evidently", "duckdb", "pyarrow", "sklearn",
    "scipy", "statsmodels", "boto3", "fastapi", "transformers", "vllm", "matplotlib",
]  # fmt: skip
ROOT = Path(__file__).parents[2]


def imported(*arguments: str, cwd: Path = ROOT) -> set[str]:
    """The heavy modules in the process after a command line has run."""
    program = (
        "import sys, json, io, contextlib\n"
        "from mlctl.cli.main import run\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):\n"
        "    run(sys.argv[1:])\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True, cwd=cwd
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "command",
    [["plan"], ["validate"], ["status"], ["why", "training.shops_next_week"], ["graph"], ["state", "list"], ["output"]],
)
def test_commands_that_only_look_import_no_heavy_library(command: list[str]) -> None:
    assert imported("-C", "specs/quickstart", *command) & {*HEAVY} == set()


def test_version_and_help_import_next_to_nothing() -> None:
    for arguments in (["--version"], ["--help"]):
        assert imported(*arguments) & {*HEAVY, "typer", "pydantic", "yaml", "rich"} == set()


def test_plan_does_not_import_rich() -> None:
    assert "rich" not in imported("-C", "specs/quickstart", "plan")


@pytest.mark.parametrize("section", sorted(Registry().sections()))
def test_a_kind_is_cheap_to_import(section: str) -> None:
    program = (
        f"import sys; from mlctl.registry import Registry; Registry().kind({section!r}); print(','.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert {name.partition(".")[0] for name in done.stdout.split(",")} & {*HEAVY} == set()
