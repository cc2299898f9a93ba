"""SARIF 2.1.0: what the standard requires of a log, and every problem at its place."""

import json
from pathlib import Path

import jsonschema
import pytest
from typer.testing import CliRunner

from mlctl.cli.commands.validate import app
from mlctl.types.diagnostic import Diagnostic, Severity, SourceRange
from mlctl.views.sarif import render

# The part of the published schema that a log of ours uses, with its required fields and ranges.
_TEXT = {"type": "object", "properties": {"text": {"type": "string", "minLength": 1}}, "required": ["text"]}
_LEVEL = {"enum": ["none", "note", "warning", "error"]}
_RULE = {
    "type": "object",
    "properties": {
        "id": {"type": "string"}, "name": {"type": "string"}, "shortDescription": _TEXT, "fullDescription": _TEXT, "help": _TEXT,
        "defaultConfiguration": {"type": "object", "properties": {"level": _LEVEL}, "additionalProperties": False},
    },
    "required": ["id"],
    "additionalProperties": False,
}  # fmt: skip
_REGION = {
    "type": "object",
    "properties": {
        **{name: {"type": "integer", "minimum": 1} for name in ("startLine", "startColumn", "endLine", "endColumn")},
        "snippet": {"type": "object", "properties": {"text": {"type": "string"}}},
    },
    "additionalProperties": False,
}
_LOCATION = {
    "type": "object",
    "properties": {
        "physicalLocation": {
            "type": "object",
            "properties": {
                "artifactLocation": {
                    "type": "object",
                    "properties": {"uri": {"type": "string", "pattern": r"^[A-Za-z0-9._~/%:-]+$"}, "uriBaseId": {"type": "string"}},
                    "additionalProperties": False,
                },
                "region": _REGION,
            },
            "required": ["artifactLocation"],
            "additionalProperties": False,
        },
        "logicalLocations": {"type": "array", "items": {"type": "object", "properties": {"fullyQualifiedName": {"type": "string"}}}},
    },
    "additionalProperties": False,
}  # fmt: skip
_RESULT = {
    "type": "object",
    "properties": {
        "ruleId": {"type": "string"}, "ruleIndex": {"type": "integer", "minimum": 0}, "level": _LEVEL, "message": _TEXT,
        "locations": {"type": "array", "items": _LOCATION},
        "partialFingerprints": {"type": "object", "additionalProperties": {"type": "string"}},
        "suppressions": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"kind": {"enum": ["inSource", "external"]}, "justification": {"type": "string"}},
                "required": ["kind"], "additionalProperties": False,
            },
        },
    },
    "required": ["message", "ruleId", "locations"],
    "additionalProperties": False,
}  # fmt: skip
_LOG = {
    "type": "object",
    "properties": {
        "$schema": {"type": "string", "format": "uri"},
        "version": {"const": "2.1.0"},
        "runs": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "tool": {
                        "type": "object",
                        "properties": {
                            "driver": {
                                "type": "object",
                                "properties": {
                                    "name": {"type": "string"},
                                    "semanticVersion": {"type": "string"},
                                    "rules": {"type": "array", "items": _RULE, "uniqueItems": True},
                                },
                                "required": ["name"],
                                "additionalProperties": False,
                            }
                        },
                        "required": ["driver"],
                        "additionalProperties": False,
                    },
                    "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                    "results": {"type": "array", "items": _RESULT},
                },
                "required": ["tool", "results"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["version", "runs"],
    "additionalProperties": False,
}

PLACED = Diagnostic(
    "spec.unknown-field", "unknown field `x`", "why", "fix", where=SourceRange("my models/mlctl.yaml", 3, 5, 9, "  ab: c"), address="training.a"
)  # fmt: skip
LOOSE = Diagnostic("kind.broken", "a kind is broken", severity=Severity.WARNING)


@pytest.mark.parametrize("found", [[], [PLACED], [LOOSE, PLACED, PLACED]])
def test_a_log_is_what_the_standard_asks_for(found: list[Diagnostic]) -> None:
    jsonschema.validate(render(found), _LOG)


def test_a_problem_stands_at_its_place_with_its_rule() -> None:
    (run,) = render([LOOSE, PLACED])["runs"]
    loose, placed = run["results"]
    assert placed["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "my%20models/mlctl.yaml", "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": 3, "startColumn": 5, "endColumn": 9, "snippet": {"text": "  ab: c"}},
    }
    assert placed["locations"][0]["logicalLocations"][0]["fullyQualifiedName"] == "training.a"
    assert (placed["level"], loose["level"]) == ("error", "warning")
    rules = run["tool"]["driver"]["rules"]
    assert [rules[item["ruleIndex"]]["id"] for item in (loose, placed)] == ["kind.broken", "spec.unknown-field"]
    assert rules[1]["shortDescription"]["text"] == "Unknown field"
    assert rules[1]["help"]["text"] == "why\nfix"


def test_a_problem_without_a_place_is_put_at_the_head_of_the_project_file() -> None:
    (run,) = render([LOOSE], "sub/mlctl.yaml")["runs"]
    place = run["results"][0]["locations"][0]["physicalLocation"]
    assert place == {
        "artifactLocation": {"uri": "sub/mlctl.yaml", "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": 1},
    }


def test_an_alert_is_the_same_one_when_its_line_moves() -> None:
    moved = Diagnostic(
        **{**{name: getattr(PLACED, name) for name in PLACED.__slots__}, "where": SourceRange("a", 9, 1, 2)}
    )
    prints = [item["partialFingerprints"] for item in render([PLACED, moved, LOOSE])["runs"][0]["results"]]
    assert prints[0] == prints[1] != prints[2]


def test_validate_prints_a_log_and_keeps_its_exit_code(tmp_path: Path) -> None:
    (tmp_path / "mlctl.yaml").write_text("project: p\ndatasets:\n  a: {pth: x.csv, key: [b]}\n")
    done = CliRunner().invoke(app, ["-C", str(tmp_path), "--sarif"], standalone_mode=False)
    log = json.loads(done.stdout)
    jsonschema.validate(log, _LOG)
    assert done.return_value == 1
    (result, *_) = log["runs"][0]["results"]
    assert result["locations"][0]["physicalLocation"]["region"]["startLine"] == 3
    (tmp_path / "mlctl.yaml").write_text("project: p\n")
    done = CliRunner().invoke(app, ["-C", str(tmp_path), "--sarif"], standalone_mode=False)
    assert done.return_value == 0
    assert json.loads(done.stdout)["runs"][0]["results"] == []


def test_what_somebody_lets_pass_is_suppressed_and_not_gone() -> None:
    log = render([LOOSE, PLACED], waived={1: "waived by ann until 2027-01-31: moving"})
    loose, placed = log["runs"][0]["results"]
    assert "suppressions" not in loose
    assert placed["suppressions"] == [{"kind": "external", "justification": "waived by ann until 2027-01-31: moving"}]
    jsonschema.validate(log, _LOG)
