"""What an import of prices did, as people read it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mlctl.estimate.catalogues import Catalogue
from mlctl.estimate.prices import PriceRow
from mlctl.spec.price_merging import Merged
from mlctl.views.human.text import safe

_ROWS_SHOWN = 20


def render(target: str, found: Catalogue, result: Merged, *, named: bool) -> str:
    """The rows that came in, those that changed, and what was not taken over."""
    lines = [
        safe(f"{target}: {len(result.added)} added, {len(result.changed)} changed, {result.same} as they were")
        + (f"; nothing was said of {result.kept} more" if result.kept else "")
    ]
    lines += _cut([f"  + {_row(row)}  {_dollars(row)}" for row in result.added])
    lines += _cut([f"  ~ {_row(now)}  {_dollars(was)} -> {_dollars(now)}" for was, now in result.changed])
    lines += _counted("not known here", found.unknown)
    lines += _counted("left out", found.left_out)
    if not named:
        lines.append(safe(f"The project does not read it yet: write `prices: {target}` into its mlctl.yaml."))
    return "\n".join(lines)


def _row(row: PriceRow) -> str:
    number = f" from {row.min_gpus}" if row.min_gpus > 1 else ""
    return safe(" ".join(part for part in (f"{row.gpu}{number}", row.tier, row.provider, row.region) if part))


def _dollars(row: PriceRow) -> str:
    spread = f" ({row.least:g} to {row.most:g})" if row.least < row.most else ""
    return f"${row.usd:g}{spread}, {row.as_of}"


def _cut(lines: list[str]) -> list[str]:
    left = len(lines) - _ROWS_SHOWN
    return lines if left <= 0 else [*lines[:_ROWS_SHOWN], f"    and {left} more"]


def _counted(label: str, found: Mapping[str, int]) -> Iterator[str]:
    if found:
        most = sorted(found.items(), key=lambda item: (-item[1], item[0]))
        yield safe(f"  {label}: {', '.join(f'{name} ({count:,})' for name, count in most)}")
