"""What `mlctl data diff` tells: two versions of a dataset, or two datasets, by their profiles and, where they are there, their rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlctl.cli.watching import watched
from mlctl.engine.ledger import Ledger
from mlctl.launch import job
from mlctl.provider import Context
from mlctl.providers.local.profile import read_profile
from mlctl.providers.local.versions import holds_rows, pick_version, split
from mlctl.types.address import Address
from mlctl.types.diagnostic import MlctlError, did_you_mean
from mlctl.types.jobs.data_diff import DiffParams, DiffResult, KeysParams
from mlctl.types.jobs.profile import Source
from mlctl.types.state import Record
from mlctl.types.value import digest

PROGRAM = "data_diff"
_FIGURES = ("nulls", "approx_distinct", "min", "max", "mean", "std", "quantiles", "top")
_SHOWN = ("nulls", "approx_distinct", "min", "mean", "max")


def version_of(ledger: Ledger, text: str) -> Record:
    """The version that a word of the command line names. Raises MlctlError."""
    name, version = split(text)
    return pick_version(dataset(ledger, name), name, version)


def dataset(ledger: Ledger, name: str) -> list[Record]:
    """All that the state holds of a dataset, the newest first. Raises MlctlError when it holds nothing."""
    name = name.removeprefix("datasets.")
    found = ledger.at(Address("datasets", name))
    if not found:
        known = [address.name for address in ledger.addresses() if address.section == "datasets"]
        raise MlctlError.of(
            "cli.unknown-name",
            f"there is no `datasets.{name}` in the state",
            "",
            did_you_mean(name, known) or "run `mlctl data profile` to make it",
        )
    return found


def compare(a: Record, b: Record, ctx: Context) -> dict[str, Any]:
    """The whole comparison, as a line of `--json` holds it. The figures of `columns` are of those that both have."""
    before, now = read_profile(a, ctx), read_profile(b, ctx)
    of_a = {column["name"]: column for column in before["columns"]}
    of_b = {column["name"]: column for column in now["columns"]}
    common = [name for name in of_a if name in of_b]
    params, bins_of, notes = _asked(a, b, of_a, of_b, ctx)
    found = _run(params, a, b, ctx) if params is not None else DiffResult(distances={}, counts={})
    return {
        "a": _side(a, before),
        "b": _side(b, now),
        "added": [{"name": name, "type": of_b[name]["type"]} for name in of_b if name not in of_a],
        "removed": [{"name": name, "type": of_a[name]["type"]} for name in of_a if name not in of_b],
        "retyped": [
            {"name": name, "a": of_a[name]["type"], "b": of_b[name]["type"]}
            for name in common
            if of_a[name]["type"] != of_b[name]["type"]
        ],
        "bins_of": bins_of,
        "columns": [_column(name, of_a[name], of_b[name], bins_of, found) for name in common],
        "keys": None if found.keys is None else found.keys.model_dump(),
        "notes": notes,
    }


def _side(record: Record, profile: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "key": str(record.key),
        "at": str(record.provenance.get("at", "")),
        "rows": profile["rows"],
        "digest": record.digest,
    }


def _asked(
    a: Record, b: Record, of_a: Mapping[str, Any], of_b: Mapping[str, Any], ctx: Context
) -> tuple[DiffParams | None, str | None, list[str]]:
    """What the worker is to do, whose bins it takes, and what cannot be told and why.

    The bins are those of A, which the rows of B are counted into. Where B's rows are gone, A's are counted into B's bins;
    where both are, only bins that are the same can be compared.
    """
    has_a, has_b = holds_rows(a, ctx), holds_rows(b, ctx)
    notes, keys = [], None
    if has_a and has_b:
        keys = _keys(a, b)
        if keys is None:
            notes.append("keys  not compared: both need the same `key`")
    else:
        gone = " and ".join(str(side.key) for side, held in ((a, has_a), (b, has_b)) if not held)
        notes.append(f"keys  not compared: the rows of {gone} are no longer there")
    frozen_of, other_of, bins_of = (of_b, of_a, "b") if has_a and not has_b else (of_a, of_b, "a")
    frozen = {name: item["bins"] for name, item in frozen_of.items() if item["bins"] is not None and name in other_of}
    if has_a or has_b:
        counted = Source.of((b if has_b else a).outputs)
        return DiffParams.model_validate({"frozen": frozen, "counted": counted, "keys": keys}), bins_of, notes
    counts = {
        name: other_of[name]["bins"] for name, bins in frozen.items() if _cuts(bins) == _cuts(other_of[name]["bins"])
    }
    frozen = {name: frozen[name] for name in counts}
    notes.append("PSI and JS  only of columns that were cut into the same bins: no rows are there to count anew")
    return DiffParams.model_validate({"frozen": frozen, "counts": counts}) if counts else None, bins_of, notes


def _cuts(bins: Mapping[str, Any] | None) -> object:
    return None if bins is None else bins.get("edges", bins.get("values"))


def _keys(a: Record, b: Record) -> KeysParams | None:
    one, other = Source.of(a.outputs), Source.of(b.outputs)
    if not one.key or one.key != other.key or not set(one.key) <= one.columns.keys() & other.columns.keys():
        return None
    return KeysParams(a=one, b=other, key=one.key)


def _run(params: DiffParams, a: Record, b: Record, ctx: Context) -> DiffResult:
    """Let the worker compare. Its folder is ours alone, and gone when it is done: what it found is of this moment."""
    folder = ctx.home / "diffs" / digest([str(a.key), str(b.key)])
    job.discard(folder)
    try:
        with watched(ctx, "comparing") as told:
            return DiffResult.model_validate(job.run(PROGRAM, params.model_dump(mode="json"), folder, told).outputs)
    finally:
        job.discard(folder)


def _column(
    name: str, a: Mapping[str, Any], b: Mapping[str, Any], bins_of: str | None, found: DiffResult
) -> dict[str, Any]:
    moved, counted = found.distances.get(name), found.counts.get(name)
    frozen = (a if bins_of == "a" else b)["bins"]
    pair = None
    if counted is not None:
        other = counted.model_dump(mode="json")
        pair = {"a": frozen, "b": other} if bins_of == "a" else {"a": other, "b": frozen}
    return {
        "name": name,
        "changed": any(a[field] != b[field] for field in _FIGURES),
        "a": {field: a[field] for field in _SHOWN},
        "b": {field: b[field] for field in _SHOWN},
        "psi": None if moved is None else moved.psi,
        "psi_p_value": None if moved is None else moved.psi_p_value,
        "jensen_shannon": None if moved is None else moved.jensen_shannon,
        "bins": pair,
    }
