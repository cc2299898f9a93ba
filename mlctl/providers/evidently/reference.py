"""Freeze a training profile as the reference of a monitor, and lay down which column gets which test."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from mlctl.stats.drift import CATEGORICAL, NUMERIC, TOGETHER, Method
from mlctl.stats.sketch import category, classes, single, sketch
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.monitor import ALL, SCORE, Profile, ProfileColumn
from mlctl.types.jobs.reference import CategoricalColumn, FrozenReference, NumericColumn

_OWN = {SCORE: "what the model predicts", ALL: "the tests of all features together"}


def load(path: Path, shown: str) -> Profile:
    """Read and judge a training profile. Raises MlctlError."""
    try:
        profile = Profile.model_validate_json(path.read_bytes())
    except OSError as error:
        raise MlctlError.of(
            "monitor.no-reference",
            f"the reference `{shown}` cannot be read: {error.strerror}",
            "a monitor compares with the features a model was trained on",
            "give the profile of a training, `reference: ${training.NAME.training_profile}`",
        ) from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise MlctlError.of(
            "monitor.bad-reference",
            f"`{shown}` is not a training profile: {where or 'the file'}: {first['msg']}",
            "its columns have to say how they were distributed",
            "give the profile of a training, `reference: ${training.NAME.training_profile}`",
        ) from None
    for name in sorted({SCORE, ALL} & profile.columns.keys()):
        raise MlctlError.of(
            "monitor.bad-reference",
            f"`{shown}` has a feature called `{name}`",
            f"that name stands for {_OWN[name]}",
            "rename the feature",
        )
    return profile


def frozen(profile: Profile) -> FrozenReference:
    """What comparisons need of a profile: for each column with any value its sketch and classes, or its categories."""
    columns = {name: made for name, column in profile.columns.items() if (made := _column(profile, column)) is not None}
    return FrozenReference(columns=columns, score=None if profile.score is None else _column(profile, profile.score))


def plan_tests(
    profile: Profile, reference: FrozenReference, methods: Sequence[Method], min_rows: int
) -> tuple[dict[str, list[str]], dict[str, str]]:
    """The methods of each column, and why each other column has none. Raises MlctlError for a method that no column can use."""
    tests: dict[str, list[str]] = {}
    untested: dict[str, str] = {}
    columns: Mapping[str, ProfileColumn] = (
        profile.columns if profile.score is None else {**profile.columns, SCORE: profile.score}
    )
    single = [method for method in methods if method not in TOGETHER]
    for name, column in columns.items() if single else ():
        fit = NUMERIC if column.kind == "numeric" else CATEGORICAL
        chosen = [method.value for method in single if method in fit]
        made = reference.score if name == SCORE else reference.columns.get(name)
        rows = 0 if made is None else round(made.rows)
        if not chosen:
            untested[name] = f"none of the methods is for {column.kind} columns"
        elif rows < min_rows:
            untested[name] = f"the reference holds {rows} values and {min_rows} are needed"
        else:
            tests[name] = chosen
    for method in single:
        if not any(method.value in chosen for chosen in tests.values()):
            kinds = " and ".join(
                f"{kind} columns" for kind, fit in (("numeric", NUMERIC), ("categorical", CATEGORICAL)) if method in fit
            )
            raise MlctlError.of(
                "monitor.idle-method",
                f"`{method}` would test nothing",
                f"it is for {kinds}, and the reference has none with at least {min_rows} values",
                "remove it from `data.methods`",
            )
    return tests, untested


def _column(profile: Profile, column: ProfileColumn) -> NumericColumn | CategoricalColumn | None:
    if column.kind == "categorical":
        return _categories(profile, column)
    made, nulls = column.sketch, float(column.nulls)
    if made is None:  # an older profile: the sample is all that is known, so its rows are what counts
        values = [float(value) for value in column.sample if isinstance(value, int | float) and math.isfinite(value)]
        if not values:
            return None
        made = sketch(values)
        nulls = len(values) * column.nulls / max(profile.rows - column.nulls, 1)
    made = single(made)
    borders, counts = classes(made)
    return NumericColumn(nulls=nulls, sketch=made, borders=borders, counts=counts)


def _categories(profile: Profile, column: ProfileColumn) -> CategoricalColumn | None:
    """Rows by category. Shares may be of all rows or of those with a value; only the former leave exactly room for the others."""
    shares: dict[str, float] = {}
    for name, share in sorted(column.categories.items()):
        shown = category(name)
        if shown is not None and share > 0 and math.isfinite(share):
            shares[shown] = shares.get(shown, 0.0) + share
    if not shares:
        return None
    present = 1 - column.nulls / profile.rows
    total = sum(shares.values())
    scale = profile.rows * (1.0 if abs(total - present) < 1e-6 else present)
    counts = {name: scale * share for name, share in shares.items()}
    other = profile.rows - column.nulls - sum(counts.values())
    return CategoricalColumn(nulls=float(column.nulls), counts=counts, other=other if other > 1e-6 else 0.0)
