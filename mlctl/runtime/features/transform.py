"""Apply on-demand transformations: one way to load and call a project's function, in training, evaluation, serving and parity.

    loaded = load(transformations)
    columns = {"amount_7d": array, "basket_value": array}  # float64, NaN where a value is missing
    for item in loaded:
        columns |= item.apply(columns)

Whatever the source, a function sees the same: read-only float64 arrays, without infinities, request values rounded to
their declared type. What it returns is checked and rounded to the declared types of the features, and given as float64.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mlctl.files.digests import FileDigests
from mlctl.runtime.project_code import project_code
from mlctl.types.diagnostic import MlctlError, did_you_mean
from mlctl.types.jobs.features import FeatureType, Transformation

_TRIAL = (0.0, 1.0, np.nan, -1.0)
_SAMPLED_ROWS = 16
_LARGEST_EXACT = 2.0**53  # whole numbers beyond are not told apart as float64


class Loaded:
    """A transformation with its function at hand."""

    def __init__(self, transformation: Transformation, function: Callable[..., Any], root: Path) -> None:
        self.transformation = transformation
        self.reads = [*transformation.request, *transformation.inputs]
        self._function = function
        self._root = root

    @property
    def name(self) -> str:
        """File and function, as the project names them."""
        return f"{self.transformation.file}:{self.transformation.function}"

    def apply(self, columns: Mapping[str, Any]) -> dict[str, Any]:
        """The features of some rows, from columns of float64 of one length. Raises MlctlError that names function and line."""
        made = self.transformation
        given = {}
        for name in self.reads:
            values = np.ascontiguousarray(columns[name], dtype=np.float64)
            kind = made.request.get(name)
            given[name] = self._typed(name, values, kind, "features.bad-request", "the request")
        rows = len(next(iter(given.values())))
        for values in given.values():
            values.flags.writeable = False  # another function may read it too
        try:
            with np.errstate(all="ignore"):
                returned = self._function(**given)
        except Exception as error:  # a project's function may raise anything
            raise self._failed(error) from error
        return self._checked(returned, rows)

    def try_out(self) -> None:
        """Call the function with some plain rows, a missing value among them. Raises MlctlError."""
        columns = {name: np.array(_TRIAL) for name in self.reads}
        self.check_rows(columns, self.apply(columns))

    def check_rows(self, columns: Mapping[str, Any], features: Mapping[str, Any]) -> None:
        """See that rows do not depend on each other: a request has one, and must get what training got. Raises MlctlError."""
        rows = len(next(iter(features.values())))
        for row in np.unique(np.linspace(0, rows - 1, min(rows, _SAMPLED_ROWS)).astype(np.int64)):
            alone = self.apply({name: columns[name][row : row + 1] for name in self.reads})
            for name, values in features.items():
                if not np.array_equal(alone[name], values[row : row + 1], equal_nan=True):
                    raise MlctlError.of(
                        "features.not-row-wise",
                        f"`{self.name}` gives `{name}` = {alone[name][0]:.17g} for a row alone, and {values[row]:.17g} among {rows:,}",
                        "a request is one row: what looks at other rows, at the time or at chance is not the same in serving as in training",
                        "compute each row from its own values, element by element; put means and the like into a feature view",
                    )

    def _checked(self, returned: Any, rows: int) -> dict[str, Any]:
        features = self.transformation.features
        if not isinstance(returned, Mapping):
            raise self._wrong(
                f"returns {type(returned).__name__}, not a mapping",
                "it gives every feature by name",
                f"return {{{', '.join(f'{name!r}: ...' for name in features)}}}",
            )
        missing = [name for name in features if name not in returned]
        extra = [str(name) for name in returned if name not in features]
        if missing:
            raise self._wrong(
                f"does not return `{missing[0]}`",
                "it is among the `features` of the block",
                did_you_mean(missing[0], extra) if extra else "return it, or take it out of `features`",
            )
        if extra:
            raise self._wrong(
                f"returns `{extra[0]}`, which the block does not declare",
                "a feature that nobody declared is used by nothing",
                "add it to `features` with its type, or do not return it",
            )
        return {name: self._feature(name, returned[name], kind, rows) for name, kind in features.items()}

    def _feature(self, name: str, value: Any, kind: FeatureType, rows: int) -> Any:
        values = np.asarray(value)
        if values.shape != (rows,):
            raise self._wrong(
                f"returns `{name}` of shape {values.shape} for {rows} rows",
                "there is one value for each row",
                f"return an array of shape ({rows},), for example by numpy's functions, which work on whole arrays",
            )
        if values.dtype.kind not in "biuf":
            raise self._wrong(
                f"returns `{name}` of type {values.dtype}, not numbers",
                "features are numbers",
                "use NaN where there is no value",
            )
        return self._typed(name, values.astype(np.float64), kind, "features.bad-dtype", f"`{self.name}`")

    def _typed(self, name: str, values: Any, kind: FeatureType | None, code: str, origin: str) -> Any:
        """Values as a type can hold them; what is not finite is missing. Always a new array. Raises MlctlError."""
        typed = np.where(np.isfinite(values), values, np.nan)
        if kind == "float32":
            typed = typed.astype(np.float32).astype(np.float64)
            return np.where(np.isfinite(typed), typed, np.nan)
        if kind == "int64":
            odd = typed[(typed != np.floor(typed)) | (np.abs(typed) > _LARGEST_EXACT)]
            odd = odd[np.isfinite(odd)]
            if len(odd):
                raise MlctlError.of(
                    code,
                    f"`{name}` of {origin} is {odd[0]:.17g}, and declared int64",
                    "features are whole numbers up to 2^53 or are not int64; nothing is rounded silently",
                    "declare it float64, or round it",
                )
        return typed

    def _wrong(self, what: str, why: str, fix: str) -> MlctlError:
        code = getattr(self._function, "__code__", None)  # a decorator may have put another object in its place
        line = f" (line {code.co_firstlineno})" if code is not None else ""
        return MlctlError.of("features.bad-transformation", f"`{self.name}`{line} {what}", why, fix)

    def _failed(self, error: Exception) -> MlctlError:
        """The error with the line of the project's own code that raised it."""
        frames = [
            frame
            for frame in traceback.extract_tb(error.__traceback__)
            if Path(frame.filename).resolve().is_relative_to(self._root)
        ]
        place = ""
        if frames:
            file = Path(frames[-1].filename).resolve().relative_to(self._root).as_posix()
            place = f" at {file}, line {frames[-1].lineno}: `{frames[-1].line}`"
        imports = isinstance(error, ImportError)
        return MlctlError.of(
            "features.transformation-failed",
            f"`{self.name}` failed{place}",
            f"{type(error).__name__}: {error}",
            "import other files of the project at the top of the file, and not inside of a function"
            if imports
            else "it is called with whole arrays of float64, NaN where a value is missing, and has to take any number",
        )


def load(transformations: Sequence[Transformation]) -> list[Loaded]:
    """Import the functions from the code they were applied with. Raises MlctlError."""
    return [_load(item) for item in transformations]


def _load(transformation: Transformation) -> Loaded:
    root = Path(transformation.root).resolve()
    files = [root / name for name in transformation.closure]
    gone = [name for name, path in zip(transformation.closure, files, strict=True) if not path.is_file()]
    if gone or FileDigests().tree(files, root) != transformation.code_digest:
        raise MlctlError.of(
            "features.code-changed",
            f"the code of `{transformation.view}` in {transformation.root} is not what it was",
            f"`{gone[0]}` is gone" if gone else "its files were changed by something else",
            "put it back; `mlctl apply --refresh=deep` makes what is kept of an on-demand view anew",
        )
    name = f"{transformation.file}:{transformation.function}"
    try:
        with project_code(root, transformation.file) as module:
            function = getattr(module, transformation.function)
    except Exception as error:  # a project's file may raise anything when it is imported
        frames = [
            frame
            for frame in traceback.extract_tb(error.__traceback__)
            if frame.filename.startswith(str(root.resolve()))
        ]
        place = f" at line {frames[-1].lineno}" if frames else ""
        raise MlctlError.of(
            "features.transformation-failed",
            f"`{name}` cannot be imported{place}",
            f"{type(error).__name__}: {error}",
            "correct the file, or install what it imports",
        ) from error
    return Loaded(transformation, function, root)
