"""Diagnostics as SARIF 2.1.0, which code hosts show beside the lines of a change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from mlctl import __version__
from mlctl.types.diagnostic import Diagnostic, Severity
from mlctl.types.value import digest

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning"}


def render(
    diagnostics: Sequence[Diagnostic], file: str = "mlctl.yaml", waived: Mapping[int, str] | None = None
) -> dict[str, Any]:
    """One run of mlctl. A diagnostic that has no place is put at the head of `file`, since hosts show only what has one.

    `waived` says of some, by their index, who lets them pass and why: they are suppressed, which is not to be gone.
    """
    codes = list(dict.fromkeys(item.code for item in diagnostics))
    driver = {
        "name": "mlctl",
        "semanticVersion": __version__,
        "rules": [_rule(code, next(item for item in diagnostics if item.code == code)) for code in codes],
    }
    return {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": driver},
                "columnKind": "unicodeCodePoints",
                "results": [
                    _result(item, codes.index(item.code), file) | _suppressed((waived or {}).get(index))
                    for index, item in enumerate(diagnostics)
                ],
            }
        ],
    }


def _rule(code: str, example: Diagnostic) -> dict[str, Any]:
    """What a kind of problem is. Its texts are those of the first of its kind, since each problem tells its own."""
    help_text = "\n".join(text for text in (example.why, example.fix) if text) or example.summary
    return {
        "id": code,
        "name": "".join(part.capitalize() for part in code.replace(".", "-").split("-")),
        "shortDescription": {"text": code.partition(".")[2].replace("-", " ").capitalize() or code},
        "fullDescription": {"text": example.summary},
        "help": {"text": help_text},
        "defaultConfiguration": {"level": _LEVELS[example.severity]},
    }


def _result(item: Diagnostic, rule: int, file: str) -> dict[str, Any]:
    where = item.where
    region: dict[str, Any] = {"startLine": 1}
    if where is not None:
        region = {"startLine": where.line, "startColumn": where.column, "endColumn": where.end_column}
        if where.text:
            region["snippet"] = {"text": where.text}
    place: dict[str, Any] = {
        "physicalLocation": {"artifactLocation": _artifact(where.file if where is not None else file), "region": region}
    }
    if item.address:
        place["logicalLocations"] = [{"fullyQualifiedName": item.address, "kind": "resource"}]
    return {
        "ruleId": item.code,
        "ruleIndex": rule,
        "level": _LEVELS[item.severity],
        "message": {"text": "\n".join(text for text in (item.summary, item.why, item.fix) if text)},
        "locations": [place],
        # the same problem on another line is the same alert
        "partialFingerprints": {"mlctl/v1": digest([item.code, item.address, item.summary])},
    }


def _suppressed(why: str | None) -> dict[str, Any]:
    return {} if why is None else {"suppressions": [{"kind": "external", "justification": why}]}


def _artifact(file: str) -> dict[str, Any]:
    """A file by URI; one below the folder that the command ran in is relative to the root of the sources."""
    if file.startswith("/"):
        return {"uri": f"file://{quote(file)}"}
    path = str(PurePosixPath(file))
    return {"uri": quote(path)} if path.startswith("..") else {"uri": quote(path), "uriBaseId": "%SRCROOT%"}
