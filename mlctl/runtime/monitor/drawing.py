"""The part `data` in the report: a table of the tests, and Evidently's plots of each column below it."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mlctl.files import atomic
from mlctl.runtime.monitor.compare import present
from mlctl.runtime.monitor.window import Categories, Numbers
from mlctl.stats.sketch import spread
from mlctl.types.jobs.monitor import ALL, SCORE, DataPart
from mlctl.types.jobs.reference import CategoricalColumn, FrozenReference, NumericColumn

EVIDENTLY_FILE = "evidently.json"
_DRAWN_ROWS = 5000
_SEED = 7
_METHODS = {
    "ks": "ks",
    "psi": "psi",
    "wasserstein": "wasserstein",
    "chi_square": "chisquare",
    "jensen_shannon": "jensenshannon",
}
_OTHER = "(other)"
_BY_DISTANCE = ("psi", "wasserstein", "jensen_shannon")


def data_section(
    part: DataPart,
    reference: FrozenReference,
    columns: Mapping[str, Numbers | Categories],
    figures: Mapping[str, Any],
    folder: Path | None,
) -> str:
    """Draw the columns that have data, and put Evidently's own figures into the folder. Raises whatever Evidently does."""
    drawn = {name: column for name, column in columns.items() if figures["columns"][name]["verdict"] != "no_data"}
    if not drawn:
        return _table(figures, part)
    html = _evidently(part, reference, drawn, folder)
    head, body, rest = html.partition("<body>")
    if not body:
        raise ValueError("Evidently's page has no <body>")
    return head + body + _table(figures, part) + rest


def _evidently(
    part: DataPart, frozen: FrozenReference, columns: Mapping[str, Numbers | Categories], folder: Path | None
) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own deprecations, none of them ours to act on
        from evidently import DataDefinition, Dataset, Report
        from evidently.metrics import ValueDrift

        reference, current, metrics = {}, {}, []
        for name, column in columns.items():
            source = frozen.score if name == SCORE else frozen.columns[name]
            before, now = _values(source, column)
            if not before or not now:  # Evidently refuses a column without any value
                continue
            reference[name], current[name] = before, now
            for method in part.tests[name]:
                threshold = part.margins[method] if method in _BY_DISTANCE else part.alpha
                metrics.append(ValueDrift(column=name, method=_METHODS[method], threshold=threshold))
        numeric = [name for name in reference if isinstance(columns[name], Numbers)]
        definition = DataDefinition(
            numerical_columns=numeric, categorical_columns=[name for name in reference if name not in numeric]
        )
        frames = [
            Dataset.from_pandas(_frame(values, numeric), data_definition=definition) for values in (current, reference)
        ]
        snapshot = Report(metrics).run(frames[0], frames[1])
        if folder is not None:
            atomic.write_bytes(folder / EVIDENTLY_FILE, snapshot.json().encode())
        handle, temporary = tempfile.mkstemp(suffix=".html")
        os.close(handle)
        try:
            snapshot.save_html(temporary)
            return Path(temporary).read_text(encoding="utf-8")
        finally:
            Path(temporary).unlink()


def _values(
    source: NumericColumn | CategoricalColumn | None, column: Numbers | Categories
) -> tuple[list[Any], list[Any]]:
    """Values of the reference, made of its sketch, and of the window to draw: a few thousand of each at most."""
    if isinstance(source, NumericColumn) and isinstance(column, Numbers):
        values = present(column)
        if len(values) > _DRAWN_ROWS:
            values = np.random.default_rng(_SEED).choice(values, _DRAWN_ROWS, replace=False)
        return spread(source.sketch, min(_DRAWN_ROWS, source.sketch.rows)), values.tolist()
    if isinstance(source, CategoricalColumn) and isinstance(column, Categories):
        now = {name: float(count) for name, count in column.counts.items()}
        return _expanded(dict(source.counts) | {_OTHER: source.other}), _expanded(now)
    return [], []


def _expanded(counts: Mapping[str, float] | Mapping[str | None, float]) -> list[str]:
    """One value for each row of a table of counts, scaled down when there are many."""
    known = {name: count for name, count in counts.items() if name is not None}
    scale = min(1.0, _DRAWN_ROWS / max(sum(known.values()), 1))
    return [name for name, count in sorted(known.items()) for _ in range(round(count * scale))]


def _frame(values: Mapping[str, list[Any]], numeric: list[str]) -> pd.DataFrame:
    """Columns of unequal length side by side: only each column on its own is looked at."""
    return pd.DataFrame(
        {name: pd.Series(items, dtype="float64" if name in numeric else "object") for name, items in values.items()}
    )


def _table(figures: Mapping[str, Any], part: DataPart) -> str:
    rows = []
    for name, column in figures["columns"].items():
        for method, test in column["tests"].items():
            told = [
                f"{test[key]:.4g}" if test[key] is not None else "-"
                for key in ("effect", "margin", "p_value", "p_adjusted")
            ]
            cells = [name, method, test["verdict"].replace("_", " "), *told, str(test["rows"])]
            rows.append(
                f'<tr class="{test["verdict"]}">' + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"
            )
    heads = "".join(
        f"<th>{head}</th>" for head in ("column", "method", "verdict", "effect", "margin", "p", "p adjusted", "rows")
    )
    return (
        f"<p>An alarm needs an adjusted p-value below {part.alpha:g} ({escape(part.correction)} over {figures['tests']} tests) "
        "and an effect of at least its margin. The plots below are Evidently's; each of its flags looks at one test alone.</p>"
        f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>{_together(figures)}"
    )


def _together(figures: Mapping[str, Any]) -> str:
    """What the tests of all features tell besides: the features that the two sets are told apart by, and the errors."""
    details = figures["columns"].get(ALL, {}).get("details", {})
    bars = "".join(
        f'<tr><td>{escape(item["feature"])}</td><td>{item["area_lost"]:.3f}</td><td style="width:60%">'
        f'<svg width="100%" height="12"><rect width="{min(100.0, 200 * item["area_lost"]):.1f}%" height="12" fill="#b00020"/></svg></td></tr>'
        for item in details.get("features", ())
    )
    told = [
        f"<p>{escape(name)}: rows of the window are reconstructed with a mean error of {found['error']:.4g}, "
        f"those of the reference with {found['reference_error']:.4g}.</p>"
        for name, found in details.items()
        if name != "features"
    ]
    if bars:
        told.append(
            "<p>Features that tell the window from the reference, by how much of the area is lost without each:</p>"
            f"<table><tbody>{bars}</tbody></table>"
        )
    return "".join(told)
