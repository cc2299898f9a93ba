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

from mlctl.runtime.monitor.compare import present, reference_counts
from mlctl.runtime.monitor.window import Categories, Numbers
from mlctl.types.jobs.monitor import SCORE, DataPart, Profile, ProfileColumn

_DRAWN_ROWS = 5000
_SEED = 7
_METHODS = {"ks": "ks", "psi": "psi", "wasserstein": "wasserstein", "chi_square": "chisquare"}


def data_section(
    part: DataPart, profile: Profile, columns: Mapping[str, Numbers | Categories], figures: Mapping[str, Any]
) -> str:
    """Draw the columns that have data. Raises whatever Evidently does."""
    drawn = {name: column for name, column in columns.items() if figures["columns"][name]["verdict"] != "no_data"}
    html = _evidently(part, profile, drawn)
    head, body, rest = html.partition("<body>")
    if not body:
        raise ValueError("Evidently's page has no <body>")
    return head + body + _table(figures, part) + rest


def _evidently(part: DataPart, profile: Profile, columns: Mapping[str, Numbers | Categories]) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own deprecations, none of them ours to act on
        from evidently import DataDefinition, Dataset, Report
        from evidently.metrics import ValueDrift

        reference, current, metrics = {}, {}, []
        for name, column in columns.items():
            source = profile.score if name == SCORE else profile.columns[name]
            before, now = _values(profile, source, column)
            if not before or not now:  # Evidently refuses a column without any value
                continue
            reference[name], current[name] = before, now
            for method in part.tests[name]:
                threshold = part.margins[method] if method in ("psi", "wasserstein") else part.alpha
                metrics.append(ValueDrift(column=name, method=_METHODS[method], threshold=threshold))
        numeric = [name for name in reference if isinstance(columns[name], Numbers)]
        definition = DataDefinition(
            numerical_columns=numeric, categorical_columns=[name for name in reference if name not in numeric]
        )
        frames = [
            Dataset.from_pandas(_frame(values, numeric), data_definition=definition) for values in (current, reference)
        ]
        snapshot = Report(metrics).run(frames[0], frames[1])
        handle, temporary = tempfile.mkstemp(suffix=".html")
        os.close(handle)
        try:
            snapshot.save_html(temporary)
            return Path(temporary).read_text(encoding="utf-8")
        finally:
            Path(temporary).unlink()


def _values(
    profile: Profile, source: ProfileColumn | None, column: Numbers | Categories
) -> tuple[list[Any], list[Any]]:
    """Values of the reference and of the window to draw: a few thousand of each at most."""
    if source is None:
        return [], []
    if isinstance(column, Numbers):
        values = present(column)
        if len(values) > _DRAWN_ROWS:
            values = np.random.default_rng(_SEED).choice(values, _DRAWN_ROWS, replace=False)
        return list(source.sample), values.tolist()
    return _expanded(reference_counts(profile, source)), _expanded(
        {name: float(count) for name, count in column.counts.items()}
    )


def _expanded(counts: Mapping[str | None, float]) -> list[str]:
    """One value for each row of a table of counts, scaled down when there are many."""
    known = {
        ("(other)" if name.startswith("\0") else name): count for name, count in counts.items() if name is not None
    }
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
        f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )
