"""What the parts about language models share: how they name what they compare, and how they tell what was found."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mlctl.provider import Context, Desired
from mlctl.providers.evidently.outcomes import column
from mlctl.providers.evidently.spec.prompts import Compared
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.profile import Source
from mlctl.types.units import format_duration
from mlctl.types.value import Json

ASKED_FOLDER = "asked"  # below the monitor's: what others answered


def compared(block: Compared) -> dict[str, Json]:
    """The fields of a part that every one of them has."""
    return {
        "window_seconds": block.window,
        "baseline_window_seconds": block.baseline,
        "alpha": block.alpha,
        "min_rows": block.min_rows,
    }


def rows_of(dataset: str, columns: Mapping[str, str | None], part: str, desired: Desired) -> Source:
    """The rows of a dataset that have the columns; `columns` are by field of the block. Raises MlctlError."""
    outputs = desired.input("datasets", dataset).outputs
    if "files" not in outputs:
        raise MlctlError.of(
            "monitor.rows-elsewhere",
            f"the rows of datasets.{dataset} stay in their database",
            f"`{part}` reads them here",
            f"remove `copy: false` from datasets.{dataset}",
        )
    source = Source.of(outputs)
    for field, name in columns.items():
        if name is not None:
            column(source, dataset, name, part, field)
    return source


def asked_folder(desired: Desired, ctx: Context) -> str:
    """Where what others answered is kept, from the project's folder."""
    return os.path.relpath(ctx.folder(desired.key) / ASKED_FOLDER, ctx.root)


def spans_text(job: Mapping[str, Any]) -> str:
    """What is held against what."""
    return f"{format_duration(job['window_seconds'])} against {format_duration(job['baseline_window_seconds'])} before"


def tests_text(figures: Mapping[str, Any]) -> Iterator[str]:
    """A line for each test, alarms first, and what was not seen."""
    tests: Iterable[tuple[str, Mapping[str, Any]]] = figures["tests"].items()
    for name, test in sorted(tests, key=lambda item: (item[1]["verdict"] != "alarm", item[0])):
        values = "" if test["value"] is None else f"{test['value']:.4g}, {test['before']:.4g} before  "
        yield (
            f"{test['verdict']:<8} {name.replace('_', ' ')}  {values}effect {test['effect']:.3f} "
            f"(margin {test['margin']:g}, p {test['p_adjusted']:.2g})"
        )
    for text in figures.get("cannot_see", ()):
        yield f"blind    {text}"
