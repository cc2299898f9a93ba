"""Models as people read of them: a list, where one comes from, and whether it came out the same again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from mlctl.types.jobs.models import Check
from mlctl.views.human.style import Paint, columns, seconds
from mlctl.views.human.table import table
from mlctl.views.human.text import safe

_MARKS = {"same": ("✓", "green", "unchanged"), "changed": ("✗", "red", "changed"), "gone": ("✗", "red", "gone"),
          "elsewhere": ("✓", "yellow", "not checked out"), "unknown": ("?", "yellow", "not checked")}  # fmt: skip
_SHOWN_METRICS = 3


def listed(
    versions: Sequence[Mapping[str, Any]], asked: Mapping[str, Sequence[str]] | None = None, *, color: bool = False
) -> str:
    """A line for each version; the metrics that its evaluation, by address, is `asked` for come first."""
    if not versions:
        return "No model is registered. An evaluation with `register` does it.\n"
    rows = [
        [
            str(item["name"]),
            str(item["version"]),
            ", ".join(item["aliases"]),
            str(item["address"] or "(not by mlctl)"),
            "  ".join(_figures(item["metrics"], (asked or {}).get(str(item["address"]), ()))),
            day(item["created"]),
        ]
        for item in versions
    ]
    return table(["NAME", "VERSION", "ALIAS", "REGISTERED BY", "METRICS", "MADE"], rows, right=["VERSION"], color=color)


def _figures(metrics: Mapping[str, float], first: Sequence[str]) -> list[str]:
    names = [name for name in first if name in metrics]
    names += [name for name in metrics if name not in names]
    return [f"{name} {metrics[name]:.4f}" for name in names[: max(_SHOWN_METRICS, len(first))]]


def traced(name: str, document: Mapping[str, Any], checks: Sequence[Check], *, color: bool = False) -> str:
    """All that is known of a model's origin, and what has become of it since."""
    paint = Paint(color)
    result, execution, environment = document["result"], document["execution"], document["environment"]
    rows = [
        ["trained as", f"{document['object']}, run {document['run_id']}"],
        *([["search", f"the best trial, number {document['trial']}"]] if document.get("trial") else []),
        ["when", f"{document['started']}, for {seconds(result['seconds'])}, {result['steps']} steps, {result['status']}"],
        ["weights", str(result["digest"])],
        ["metrics", "  ".join(f"{key} {value:.6g}" for key, value in result["metrics"].items())],
        ["seed", f"{document['seed']}, {'' if document['deterministic'] else 'not '}deterministic"],
        ["method", _method(document["recipe"])],
        ["spread", f"{execution['layout']['strategy']} on {processes(execution)}, engine {execution['engine']}, executor {execution['executor']['type']}"],
        ["parameters", _parameters(execution)],
        ["devices", devices(document["devices"])],
        ["with", f"mlctl {environment['mlctl']}, Python {environment['python']}, {environment['platform']}"],
    ]  # fmt: skip
    lines = [paint(safe(name), "bold"), "", *columns([[key, safe(value)] for key, value in rows]), ""]
    return "\n".join([*lines, *_checked(checks, paint)]) + "\n"


def differences(checks: Sequence[Check], *, color: bool = False) -> str:
    """What is not as it was."""
    return "".join(f"{line}\n" for line in _checked([item for item in checks if item.status != "same"], Paint(color)))


def compared(report: Mapping[str, Any], *, color: bool = False) -> str:
    """What came out when it was trained again."""
    paint, verdict = Paint(color), report["verdict"]
    said = {
        "identical": paint("identical", "green") + ": the weights are the same to the bit",
        "equivalent": paint("equivalent", "green")
        + f": all metrics within {report['tolerance']:.3g} of what they were",
        "different": paint("different", "red") + f": metrics differ by more than {report['tolerance']:.3g}",
    }
    rows = [["METRIC", "RECORDED", "AGAIN"]]
    rows += [[safe(name), *(f"{item[side]:.8g}" for side in ("recorded", "again"))] for name, item in report["metrics"].items()]  # fmt: skip
    return "\n".join([*columns(rows), "", f"{safe(report['model'])} is {said[verdict]}"]) + "\n"


def day(milliseconds: int) -> str:
    """The day and minute of a time of MLflow."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M")


def devices(found: Mapping[str, Any]) -> str:
    """`2 x cpu (AMD EPYC ...)`."""
    names = list(found["names"])
    counted = ", ".join(f"{names.count(name)} x {name}" for name in dict.fromkeys(names))
    driver = f", driver {found['driver']}" if found["driver"] else ""
    return f"{counted} ({found['processor']}{driver})"


def processes(execution: Mapping[str, Any]) -> str:
    """`1 process`, `4 processes`."""
    count = execution["processes"]
    return f"{count} process{'' if count == 1 else 'es'}"


def _method(recipe: Mapping[str, Any]) -> str:
    optimizer = recipe["optimizer"]
    how_long = f"batches of {recipe['batch_size']}, {recipe['epochs']} epochs"
    return f"{recipe['model']['type']}, {recipe['method']['type']}, {optimizer['type']} lr {optimizer['lr']:g}, {recipe['precision']}, {how_long}"


def _parameters(execution: Mapping[str, Any]) -> str:
    trainable, total = execution.get("trainable"), execution.get("parameters")
    return f"{trainable:,} of {total:,} trained" if trainable is not None and total is not None else "not counted"


def _checked(checks: Sequence[Check], paint: Paint) -> Iterator[str]:
    rows = []
    for item in checks:
        mark, style, word = _MARKS[item.status]
        name = item.name[:12] if item.what == "commit" else item.name
        rows.append((mark, style, [item.what, safe(name), word, safe(item.detail)]))
    texts = columns([row for _, _, row in rows])
    yield from (f"{paint(mark, style)} {text}" for (mark, style, _), text in zip(rows, texts, strict=True))
