"""What `mlctl features get`, `push` and `serve` run: worker programs on views and services that are online."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from mlctl.launch import job
from mlctl.provider import Context
from mlctl.providers.feast.parity import PROGRAM, online_outputs
from mlctl.providers.feast.recorded import not_whole
from mlctl.types.diagnostic import MlctlError, did_you_mean
from mlctl.types.jobs.features import (
    GetParams,
    Key,
    KeyValue,
    OnlineView,
    PushParams,
    Store,
    Transformation,
    ViewSource,
)
from mlctl.types.jobs.profile import Format
from mlctl.types.state import Record
from mlctl.types.value import Json

_FORMATS: Mapping[str, Format] = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".csv.gz": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}


def get_params(record: Record, asked: Sequence[str]) -> GetParams:
    """The question for some keys, as written on the command line, of a view or of a feature service. Raises MlctlError."""
    lookup = lookup_of(record)
    keys, requests = [], []
    for text in asked:
        row, request = _read(text, lookup)
        keys.append(row)
        requests.append(request)
    return lookup.model_copy(update={"keys": keys, "requests": requests if lookup.transformations else []})


def lookup_of(record: Record) -> GetParams:
    """How a view or a feature service is looked up, without any keys yet. Raises MlctlError when it is not online."""
    if record.key.address.section == "feature_views":
        outputs = online_outputs(record)
        features = list(outputs["features"])
        view = OnlineView(
            view=outputs["view"], keys=outputs["keys"], features=features, ttl_seconds=outputs["ttl_seconds"]
        )
        return GetParams(store=Store.model_validate(outputs["store"]), views=[view], keys=[])
    serving = record.outputs.get("serving")
    if not record.complete or not isinstance(serving, Mapping):
        raise not_whole(record)
    return GetParams(
        store=serving["store"],
        views=[OnlineView.model_validate(view) for view in serving["views"]],
        keys=[],
        transformations=[Transformation.model_validate(item) for item in serving["transformations"]],
        columns=list(serving["columns"]),
    )


def get_online(record: Record, keys: Sequence[str], ctx: Context) -> list[dict[str, Json]]:
    """The features of some keys as served now, {"keys", "features", "event_times"} each, in order. Raises MlctlError."""
    params = get_params(record, keys)
    folder = ctx.folder(record.key) / "get"
    job.discard(folder)
    rows: list[dict[str, Json]] = job.run(PROGRAM, params.model_dump(mode="json"), folder, ctx).outputs["rows"]
    order = params.columns or [name for view in params.views for name in view.features]  # a job's result has none
    names = [key.name for view in params.views for key in view.keys]
    return [
        {
            "keys": {name: row["keys"][name] for name in dict.fromkeys(names)},
            "features": {name: row["features"][name] for name in order},
            "event_times": row["event_times"],
        }
        for row in rows
    ]


def push_file(record: Record, path: Path, ctx: Context) -> dict[str, Json]:
    """Put the rows of a file online: {"rows", "written", "older"}. Raises MlctlError before anything is written."""
    outputs = online_outputs(record)
    form = next((form for end, form in _FORMATS.items() if path.name.endswith(end)), None)
    if form is None:
        raise MlctlError.of(
            "features.unknown-format",
            f"`{path.name}` is no table that can be read",
            "its name tells the format",
            f"use a file that ends in {', '.join(_FORMATS)}",
        )
    params = PushParams(
        source=ViewSource.from_outputs(outputs),
        store=Store.model_validate(outputs["store"]),
        file=str(path.resolve()),
        format=form,
    )
    folder = ctx.folder(record.key) / "push"
    job.discard(folder)  # the same file again may hold other rows
    return dict(job.run(PROGRAM, params.model_dump(mode="json"), folder, ctx).outputs)


def _read(text: str, lookup: GetParams) -> tuple[dict[str, KeyValue], dict[str, float | None]]:
    """`42`, or `household_id=1,product_id=2`, with what the service wants of a request beside it. Raises MlctlError."""
    keys = list({key.name: key for view in lookup.views for key in view.keys}.values())
    request = [name for item in lookup.transformations for name in item.request]
    names = [*(key.name for key in keys), *request]
    pairs = _pairs(text, names)
    missing = [name for name in names if name not in pairs]
    if missing:
        example = ",".join(f"{name}=..." for name in names)
        raise MlctlError.of(
            "features.bad-key",
            f"{text!r} does not say {', '.join(f'`{name}`' for name in missing)}",
            f"it takes {', '.join(f'`{name}`' for name in names)}",
            f"write {example}" if len(names) > 1 else "give one value",
        )
    row = {key.name: _key(key, pairs[key.name]) for key in keys}
    return row, {name: _number(name, pairs[name]) for name in request}


def _pairs(text: str, names: Sequence[str]) -> dict[str, str]:
    """What stands behind each name; a comma ends a value only where another name follows. A lone name may be left out."""
    known = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    starts = list(re.finditer(rf"(?:^|,)({known})=", text)) if known else []
    if not starts or starts[0].start() != 0:
        if len(names) == 1:
            return {names[0]: text}
        given = text.partition("=")[0]
        raise MlctlError.of(
            "features.bad-key",
            f"{text!r} is not {','.join(f'{name}=...' for name in names)}",
            "",
            did_you_mean(given, names) if "=" in text else "write each as NAME=VALUE",
        )
    ends = [start.start() for start in starts[1:]] + [len(text)]
    pairs: dict[str, str] = {}
    for start, end in zip(starts, ends, strict=True):
        if start[1] in pairs:
            raise MlctlError.of("features.bad-key", f"{text!r} says `{start[1]}` twice", "", "give each name once")
        pairs[start[1]] = text[start.end() : end]
    return pairs


def _key(key: Key, text: str) -> KeyValue:
    if key.type == "string":
        return text
    try:
        return int(text)
    except ValueError:
        raise MlctlError.of(
            "features.bad-key", f"{text!r} is not a key: `{key.name}` is an integer", "", "give a whole number"
        ) from None


def _number(name: str, text: str) -> float | None:
    if text == "null":
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise MlctlError.of(
            "features.bad-key", f"{text!r} is not a value of `{name}`, which is a number", "", "give a number, or null"
        )
    return number
