"""The profile of a dataset as its worker program wrote it, and what in it is worth a look."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mlctl.provider import Context
from mlctl.types.diagnostic import MlctlError
from mlctl.types.state import Record
from mlctl.types.units import counted

_MANY_NULLS = 0.5
_FEW_ROWS = 30  # in fewer rows nothing said of a distribution means much
_NEARLY_ALL = 0.99
_UNIQUE = 0.96  # of the values: distinct ones are counted to 1-2 %
_NAMED = 5  # columns of a table without rows
_MANY_VALUES = 10_000  # of a text column
_FAR = 20.0  # widths of the middle half that an extreme value lies beyond it
_SKEW = (
    0.4  # the nonparametric skew, |mean - median| / standard deviation; it is at most 1, and 0.31 for an exponential
)


@dataclass(frozen=True, slots=True)
class Remark:
    """Something about a column that a person should know before it is used."""

    column: str
    # no-rows, repeated-key; all-null, constant, nearly-constant, many-nulls, infinite, unique, high-cardinality, skew, far-values;
    # of text: mostly-numbers, decimal-commas, dates-as-text, spelling
    code: str
    text: str


def read_profile(record: Record, ctx: Context) -> dict[str, Any]:
    """The profile of a dataset that was made. Raises MlctlError when there is none, or it cannot be read."""
    path = record.outputs.get("profile")
    address = str(record.key.address)
    if not isinstance(path, str):
        raise MlctlError.of(
            "data.no-profile",
            f"{record.key} has no profile",
            "an earlier version of mlctl made it, which kept none",
            "run `mlctl apply`: it profiles the current version anew",
            address=address,
        )
    try:
        found: dict[str, Any] = json.loads((ctx.root / path).read_bytes())
    except FileNotFoundError:
        raise MlctlError.of(
            "data.no-profile",
            f"the profile of {record.key} is gone",
            f"there is no file `{path}`: it was removed, or made on another machine",
            f"run `mlctl apply --replace {address}`",
            address=address,
        ) from None
    except (OSError, ValueError) as error:
        raise MlctlError.of(
            "data.bad-profile",
            f"the profile of {record.key} cannot be read",
            f"{path}: {error}",
            f"run `mlctl apply --replace {address}`",
            address=address,
        ) from error
    if not isinstance(found, dict) or found.get("format") != 1:
        raise MlctlError.of(
            "data.bad-profile",
            f"the profile of {record.key} is of another format",
            f"{path} was written by another version of mlctl",
            f"run `mlctl apply --replace {address}`",
            address=address,
        )
    return found


def remarks(profile: Mapping[str, Any]) -> list[Remark]:
    """What is worth a look: of the table, then column by column."""
    if not profile["rows"]:
        names = ", ".join(column["name"] for column in profile["columns"][:_NAMED])
        return [Remark(names, "no-rows", "no rows: the file has only the names of columns")]
    return [*_of_key(profile.get("key"), profile["rows"])] + [
        Remark(column["name"], code, text)
        for column in profile["columns"]
        for code, text in _of(column, profile["rows"])
    ]


def _of_key(key: Mapping[str, Any] | None, rows: int) -> Iterator[Remark]:
    """A key that does not tell rows apart."""
    if key is not None and key["repeated"]:
        found = counted(key["repeated"], "row")
        text = f"{found} of {rows:,} {'repeats' if key['repeated'] == 1 else 'repeat'} the key of an earlier one: the key does not tell rows apart"
        yield Remark(", ".join(key["columns"]), "repeated-key", text)


def _of(column: Mapping[str, Any], rows: int) -> Iterator[tuple[str, str]]:
    nulls, distinct = column["nulls"], column["approx_distinct"]
    values = rows - nulls
    if not rows:
        return
    if not values:
        yield "all-null", "every row is null"
        return
    if nulls / rows > _MANY_NULLS:
        yield "many-nulls", f"{nulls / rows:.0%} of the rows are null"
    if column.get("infinite"):
        yield "infinite", f"{column['infinite']:,} values are infinite; they are left out of all figures"
    if _constant(column):
        yield "constant", "every value is the same"
        return
    top = column["top"][0]["count"] if column["top"] else 0
    if values >= _FEW_ROWS and top / values > _NEARLY_ALL:
        yield "nearly-constant", f"{_almost(top / values)} of the values are the same"
    if values >= _FEW_ROWS and distinct >= _UNIQUE * values and _may_be_key(column["type"]):
        yield "unique", "about as many distinct values as rows: a key, which no model learns from"
    elif column["type"] == "varchar" and distinct > _MANY_VALUES:
        yield "high-cardinality", f"about {distinct:,} distinct texts: too many for categories, and too many to compare"
    yield from _of_text(column.get("text") or {})
    if values >= _FEW_ROWS and distinct > 2:  # of two values, such as those of a label, the rarer one is no tail
        yield from _shape(column)


def _of_text(text: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Of a text column: that its values are something else, or one value in several spellings."""
    if "numbers" in text:
        odd, share = text.get("odd"), text["numbers"] / text["rows"]
        words = "all values are numbers, written as text"
        if odd is not None:
            verb = "is" if odd["count"] == 1 else "are"
            words = f"{_almost_whole(share)} are numbers; {counted(odd['count'], 'row')} {verb} `{odd['value']}`"
            rest = text["rows"] - text["numbers"] - odd["count"]
            words += f" and {counted(rest, 'row')} something else" if rest else ""
        yield "mostly-numbers", words
    if "commas" in text:
        yield "decimal-commas", f"numbers with a decimal comma in {counted(text['commas'], 'row')}: read as text"
    dates = text.get("dates") or {}
    if dates:
        forms = ", ".join(f"{count:,} as {form}" for form, count in dates.items())
        several = "dates in several forms" if len(dates) > 1 else "dates that are read as text"
        yield "dates-as-text", f"{several}: {forms}"
    if "folded" in text:
        noun = "value differs" if text["folded"] == 1 else "values differ"
        yield "spelling", f"{text['folded']:,} {noun} from another only in case or in spaces around it"


def _shape(column: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Of a numeric column: one tail much longer than the other, or a few values far from all others."""
    levels = column["quantiles"]
    low, high, mean, std = (column[name] for name in ("min", "max", "mean", "std"))
    if not levels or isinstance(low, str) or None in levels.values() or None in (mean, std) or not std:
        return
    lower, middle, upper = (levels[level] for level in ("0.25", "0.5", "0.75"))
    if abs(mean - middle) / std > _SKEW:
        side = "right" if mean > middle else "left"
        yield "skew", f"a long tail to the {side}: the mean is {mean:.4g} and the median {middle:.4g}"
    width = upper - lower
    if width > 0 and max(high - upper, lower - low) > _FAR * width:
        far = high if high - upper > lower - low else low
        yield "far-values", f"values as far out as {far:.4g}, where half of all lie between {lower:.4g} and {upper:.4g}"


def _constant(column: Mapping[str, Any]) -> bool:
    if column["min"] is not None:
        return bool(column["min"] == column["max"]) and not column.get("infinite")
    return bool(column["approx_distinct"] == 1)


def _may_be_key(found: str) -> bool:
    return found in ("varchar", "uuid") or found.endswith(("int", "integer"))


def _almost_whole(share: float) -> str:
    """A share near one as a whole percentage that is not rounded up to all of them."""
    return f"{min(share, 0.99):.0%}" if share < 1 else "100%"


def _almost(share: float) -> str:
    """A share near one as a percentage that is not rounded up to all of them."""
    return f"{min(share, 0.9999):.2%}" if share < 1 else "100%"
