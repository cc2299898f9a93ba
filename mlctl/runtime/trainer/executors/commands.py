"""Command line clients of clusters: run without a shell, with their words in an error when they refuse."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence

from mlctl.runtime import secrets
from mlctl.types.diagnostic import MlctlError

_TAIL_LINES = 15


def run(
    command: Sequence[str],
    *,
    seconds: float,
    code: str,
    doing: str,
    fix: str,
    given: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> str:
    """What a client prints. Raises MlctlError (`code`) when it is not there, does not answer in time, or fails."""
    program = os.path.basename(command[0])
    try:
        done = subprocess.run(
            list(command), input=given, capture_output=True, text=True, timeout=seconds, check=False,
            env={**os.environ, **(environment or {})},
        )  # fmt: skip
    except FileNotFoundError as error:
        raise MlctlError.of(code, f"`{program}` is not there", f"{command[0]}: {error.strerror}", fix) from error
    except subprocess.TimeoutExpired as error:
        why = f"it did not answer within {seconds:.0f} s"
        raise MlctlError.of(code, f"`{program}` did not manage {doing}", why, fix) from error
    if done.returncode:
        said = "\n".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-_TAIL_LINES:])
        raise MlctlError.of(
            code,
            f"`{program}` did not manage {doing}",
            secrets.known().hidden(said) or f"exit code {done.returncode}",
            fix,
        )
    return done.stdout
