"""Diagnostics as JSON objects. Their names are part of the public format: a field may be added, none may change."""

from __future__ import annotations

from typing import Any

from mlctl.types.diagnostic import Diagnostic, SourceRange


def to_json(diagnostic: Diagnostic) -> dict[str, Any]:
    """One diagnostic. `range` is null when no file is to blame; lines and columns count characters from 1, the end is exclusive."""
    return {
        "type": "diagnostic",
        "severity": diagnostic.severity.value,
        "code": diagnostic.code,
        "summary": diagnostic.summary,
        "why": diagnostic.why,
        "fix": diagnostic.fix,
        "range": None if diagnostic.where is None else _range(diagnostic.where),
        "address": diagnostic.address or None,
    }


def _range(where: SourceRange) -> dict[str, Any]:
    return {
        "file": where.file,
        "start": {"line": where.line, "column": where.column},
        "end": {"line": where.line, "column": where.end_column},
    }
