"""One problem of a training's block."""

from __future__ import annotations

from mlctl.types.diagnostic import Diagnostic


def problem(code: str, summary: str, why: str, fix: str, *path: str | int) -> Diagnostic:
    """What is wrong at a place of the block, why, and what to do."""
    return Diagnostic(f"training.{code}", summary, why, fix, path=path)
