"""The verdicts of feature parity, as text."""

from __future__ import annotations

from mlctl.types.jobs.features import Difference, Parity
from mlctl.types.jobs.parity import LogParity, SkewedRow
from mlctl.types.units import format_duration
from mlctl.views.human.style import Paint, columns
from mlctl.views.human.text import safe


def online(result: Parity, *, color: bool) -> str:
    """Of a view: the verdict on one line, and what is behind it on others."""
    paint = Paint(color)
    verdict = paint("offline = online", "green") if result.passed else paint("OFFLINE AND ONLINE DIFFER", "red")
    lines = [
        f"{safe(result.view)}: {verdict} for {result.keys:,} keys, {result.values:,} values at {result.at}; "
        f"largest relative difference {result.max_relative:.3g}, {result.tolerance:g} allowed"
    ]
    if result.ahead:
        lines.append(
            f"  {result.ahead:,} keys are served by something newer than the snapshots, and are not compared; "
            "`mlctl features materialize` brings the snapshots up to it"
        )
    if not result.passed and result.keys:
        lines.append(f"  {result.mismatched:,} values differ, {result.null_mismatches:,} are missing on one side only")
    if not result.passed and result.worst is not None:
        lines.append(f"  the worst: {_difference(result.worst)}")
    return "\n".join(lines) + "\n"


def log(result: LogParity, name: str, *, color: bool) -> str:
    """Of a prediction log: the verdict, each feature, how far the store was behind, and the worst values."""
    paint = Paint(color)
    verdict = (
        paint("the model saw what training would have seen", "green")
        if result.passed
        else paint("THE MODEL SAW WHAT TRAINING WOULD NOT HAVE SEEN", "red")
    )
    if not result.compared:
        verdict = paint("there is nothing to compare", "yellow")
    lines = [
        f"{safe(name)}: {verdict}",
        f"  {result.compared:,} of {result.predictions:,} predictions compared{_rest(result)}",
    ]
    rows = [["feature", "view", "compared", "stale", "differ", "missing", "largest difference"]]
    rows += [
        [
            safe(item.feature), safe(item.view), f"{item.compared:,}", f"{item.stale:,}", f"{item.mismatched:,}",
            f"{item.null_mismatches:,}", f"{item.max_relative:.3g}" if item.mismatched else "",
        ]
        for item in result.features
    ]  # fmt: skip
    if result.features:
        lines += ["", *(f"  {line}" for line in columns(rows))]
    for item in result.lags:
        if item.stale_rows:
            lines.append(
                f"  {safe(item.view)} was behind for {item.stale_rows:,} predictions, {item.absent_rows:,} of them without a value; "
                f"at most {format_duration(round(item.max_lag_seconds, 3))} late"
            )
    if result.worst:
        lines += ["", "  the worst:", *(f"    {_skewed(row)}" for row in result.worst)]
    return "\n".join(lines) + "\n"


def _rest(result: LogParity) -> str:
    left = {
        "without keys": result.without_keys,
        "of other versions": result.other_versions,
        "lines unreadable": result.unreadable,
    }
    told = [f"{count:,} {what}" for what, count in left.items() if count]
    return f" ({', '.join(told)})" if told else ""


def _difference(item: Difference) -> str:
    relative = "" if item.relative is None else f", relative {item.relative:.3g}"
    return f"`{safe(item.feature)}` of {safe(str(item.key))}: {item.offline} offline, {item.online} online{relative}"


def _skewed(row: SkewedRow) -> str:
    key = ", ".join(f"{name}={value}" for name, value in row.key.items())
    return (
        f"{safe(row.request_id)} at {row.ts}: `{safe(row.feature)}` of {safe(key)} was {row.served}, "
        f"and {row.expected} is right"
    )
