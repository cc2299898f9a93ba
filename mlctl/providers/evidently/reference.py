"""Freeze a training profile as the reference of a monitor, and lay down which column gets which test."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from mlctl.stats.drift import CATEGORICAL, NUMERIC, Method
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.monitor import SCORE, Profile, ProfileColumn


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
    if SCORE in profile.columns:
        raise MlctlError.of(
            "monitor.bad-reference",
            f"`{shown}` has a feature called `{SCORE}`",
            "that name stands for what the model predicts",
            "rename the feature",
        )
    return profile


def frozen(profile: Profile) -> Profile:
    """The profile without what no comparison uses: only finite values are left in a sample, and a share for each category."""
    columns = {name: _column(column) for name, column in profile.columns.items()}
    return Profile(rows=profile.rows, columns=columns, score=None if profile.score is None else _column(profile.score))


def plan_tests(
    profile: Profile, methods: Sequence[Method], min_rows: int
) -> tuple[dict[str, list[str]], dict[str, str]]:
    """The methods of each column, and why each other column has none. Raises MlctlError for a method that no column can use."""
    tests: dict[str, list[str]] = {}
    untested: dict[str, str] = {}
    columns: Mapping[str, ProfileColumn] = (
        profile.columns if profile.score is None else {**profile.columns, SCORE: profile.score}
    )
    for name, column in columns.items():
        fit = NUMERIC if column.kind == "numeric" else CATEGORICAL
        chosen = [method.value for method in methods if method in fit]
        rows = len(column.sample) if column.kind == "numeric" else profile.rows - column.nulls
        if not chosen:
            untested[name] = f"none of the methods is for {column.kind} columns"
        elif rows < min_rows or (column.kind == "categorical" and not column.categories):
            untested[name] = f"the reference holds {rows} values and {min_rows} are needed"
        else:
            tests[name] = chosen
    for method in methods:
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


def _column(column: ProfileColumn) -> ProfileColumn:
    if column.kind == "categorical":
        return ProfileColumn(
            kind="categorical",
            nulls=column.nulls,
            categories={
                name: share for name, share in sorted(column.categories.items()) if share > 0 and math.isfinite(share)
            },
        )
    values = [float(value) for value in column.sample if isinstance(value, int | float) and math.isfinite(value)]
    return ProfileColumn(kind="numeric", nulls=column.nulls, sample=sorted(values))
