"""Features for people: what there is, all of one view, and rows as they are served."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlctl.types.units import format_duration
from mlctl.types.value import Json
from mlctl.views.human.style import Paint
from mlctl.views.human.table import table
from mlctl.views.human.text import safe

_HOUR, _DAY = 3600, 86_400


def listing(found: Mapping[str, Sequence[Mapping[str, Any]]], *, color: bool) -> str:
    """One table for each sort that there is something of."""
    paint = Paint(color)
    parts = []
    if found["feature_views"]:
        heads = ["FEATURE VIEW", "KEYS", "FEATURES", "TTL", "ROWS", "ONLINE", "VALUES OF", "AGE"]
        rows = [_view_row(item) for item in found["feature_views"]]
        parts.append(table(heads, rows, right=["FEATURES", "ROWS", "ONLINE"], color=color))
    if found["on_demand_views"]:
        rows = [[item["name"], ", ".join(item["features"]), ", ".join(item["request"]), item["function"]] for item in found["on_demand_views"]]  # fmt: skip
        parts.append(table(["ON DEMAND", "FEATURES", "REQUEST", "FUNCTION"], rows, color=color))
    if found["feature_services"]:
        rows = [[item["name"], _names(item["keys"]), str(len(item["features"])), ", ".join(item["views"])] for item in found["feature_services"]]  # fmt: skip
        parts.append(table(["SERVICE", "KEYS", "FEATURES", "VIEWS"], rows, right=["FEATURES"], color=color))
    if found["entities"]:
        rows = [[item["name"], _typed(item["keys"])] for item in found["entities"]]
        parts.append(table(["ENTITY", "KEYS"], rows, color=color))
    for item in found.get("unfinished", ()):
        parts.append(f"{safe(item['address'])} is not whole: its last apply failed, or was cut off. Run: mlctl apply\n")
    return "\n".join(parts) or paint("No features have been made yet.", "dim") + "\n"


def _view_row(item: Mapping[str, Any]) -> list[str]:
    online = "no" if not item["online"] else f"{item['online_keys']:,} keys"
    return [
        item["name"],
        _names(item["keys"]),
        str(len(item["features"])),
        "-" if item["ttl_seconds"] is None else format_duration(item["ttl_seconds"]),
        f"{item['rows']:,}",
        online,
        _moment(item["online_until"] or item["until"]),
        age(item["age_seconds"]),
    ]


def description(item: Mapping[str, Any], *, color: bool) -> str:
    """Everything of one view."""
    paint = Paint(color)
    ttl = "values do not expire" if item["ttl_seconds"] is None else format_duration(item["ttl_seconds"])
    every = "each row of its source" if not item["grid_seconds"] else f"every {format_duration(item['grid_seconds'])}"
    facts = [
        ("entity", f"{item['entity']} ({_typed(item['keys'])})"),
        ("source", item["source"]),
        ("owner", item["owner"]),
        ("ttl", ttl),
        ("snapshots", f"{item['rows']:,} of {item['snapshot_keys']:,} keys, {every}, {_moment(item['since'])} to {_moment(item['until'])}"),
        ("offline", item["offline"]),
        ("online", _online(item)),
    ]  # fmt: skip
    text = (
        paint(safe(item["address"]), "bold")
        + (f": {safe(item['description'])}" if item["description"] else "")
        + "\n\n"
    )
    text += "".join(f"  {name:<10} {safe(str(value))}\n" for name, value in facts if value)
    rows = []
    for name, dtype in item["features"].items():
        seen, made = item["statistics"][name], item["lineage"].get(name, {})
        rows.append([name, dtype, _made_of(made), _share(seen["nulls"], item["rows"]), *(_figure(seen[part]) for part in ("min", "median", "mean", "max"))])  # fmt: skip
    heads = ["FEATURE", "TYPE", "FROM", "NULLS", "MIN", "MEDIAN", "MEAN", "MAX"]
    return text + "\n" + table(heads, rows, right=heads[3:], color=color)


def rows(found: Sequence[Mapping[str, Any]], *, color: bool) -> str:
    """Rows as they are served, one a line: keys, features, and how old the values are. A dash is missing or expired."""
    names = list(found[0]["features"]) if found else []
    keys = list(found[0]["keys"]) if found else []
    views = list(found[0]["event_times"]) if found else []
    times = ["EVENT TIME"] if len(views) == 1 else [f"TIME OF {view}" for view in views]
    cells = [
        [*(str(item["keys"][key]) for key in keys), *(_value(item["features"][name]) for name in names),
         *(_moment(item["event_times"][view]) for view in views)]
        for item in found
    ]  # fmt: skip
    return table([*keys, *names, *times], cells, right=names, color=color)


def age(seconds: int) -> str:
    """How long ago, in the unit that fits."""
    if seconds < _HOUR:
        return f"{seconds // 60} min"
    return f"{seconds // _HOUR} h" if seconds < 2 * _DAY else f"{seconds // _DAY} d"


def _online(item: Mapping[str, Any]) -> str:
    if not item["online"]:
        return "no"
    where = item["online_store"] or "a store whose password is not known here"
    return f"{item['online_keys']:,} keys in {where}, values of {_moment(item['online_until'])}"


def _made_of(made: Mapping[str, Any]) -> str:
    """`sum(fare) over 7d where ...`."""
    columns = ", ".join(made.get("columns", []))
    how = f"{made['aggregate']}({columns})" if made.get("aggregate") else columns
    window = f" over {made['window']}" if made.get("window") else ""
    return how + window + (f" where {made['where']}" if made.get("where") else "")


def _names(keys: Sequence[Mapping[str, str]]) -> str:
    return ", ".join(key["name"] for key in keys)


def _typed(keys: Sequence[Mapping[str, str]]) -> str:
    return ", ".join(f"{key['name']} {key['type']}" for key in keys)


def _moment(text: str | None) -> str:
    """To the second, and to the minute where the seconds are nought."""
    if text is None:
        return "-"
    short = text[:19].replace("T", " ")
    return short.removesuffix(":00") if text[19:] in ("+00:00", "") else short


def _value(value: Json) -> str:
    return "-" if value is None else str(value)


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:,.6g}"


def _share(count: int, of: int) -> str:
    return "" if not count or not of else f"{100 * count / of:.1f} %"
