"""Price lists in files: the user's own and the project's, with a place for everything that is wrong with them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from mlctl.block import Block
from mlctl.estimate.prices import DEAREST, Confidence, PriceList, PriceRow, Tier, gpu_name, gpu_names
from mlctl.spec.places import Place
from mlctl.spec.reading import displayed
from mlctl.spec.report import Report
from mlctl.spec.source import Source
from mlctl.spec.suggest import Suggestions, found
from mlctl.spec.validation import validate
from mlctl.types.diagnostic import Diagnostic, MlctlError, SourceRange, did_you_mean

VARIABLE = "MLCTL_PRICES"  # another file than the user's own, or `none`
DAY_VARIABLE = "MLCTL_PRICES_ON"  # the day that prices are judged by, where it is not today
_ROWS = "write `rows:` and below it one `- {gpu: H100, provider: NAME, tier: on_demand, usd: 3.5, as_of: 2026-01-31, source: WHERE}` a price"
STALE_VARIABLE = "MLCTL_ALLOW_STALE_PRICES"
Written = Annotated[str, Field(min_length=1)]
Dollars = Annotated[float, Field(gt=0, le=DEAREST)]


def _gpu(text: str) -> str:
    known = gpu_name(text)
    if known is None:
        raise ValueError(f"`{text}` is no device that mlctl knows; {did_you_mean(text, gpu_names())}")
    return known


def _day(value: object) -> object:
    """A day that has been. Raises ValueError."""
    text = value.isoformat() if isinstance(value, date) else value
    try:
        known = date.fromisoformat(text if isinstance(text, str) else "")
    except ValueError:
        raise ValueError("it is a date such as 2026-01-31") from None
    if known > max(date.today(), day()) + timedelta(days=1):  # a day more, since it is tomorrow already somewhere
        raise ValueError(f"{known} is still to come")
    return text


class Row(Block):
    """One price of one device for an hour, as a price list has it."""

    gpu: Annotated[str, AfterValidator(_gpu)]
    provider: Written
    tier: Tier
    usd: Dollars
    low: Dollars | None = None
    high: Dollars | None = None
    region: str = ""
    min_gpus: Annotated[int, Field(ge=1, le=100_000)] = 1
    as_of: Annotated[date, BeforeValidator(_day)]
    source: Written
    confidence: Confidence = "listed"

    @model_validator(mode="after")
    def _ordered(self) -> Row:
        if not (self.low or self.usd) <= self.usd <= (self.high or self.usd):
            raise ValueError("`low` is at most `usd`, and `high` at least")
        return self


def read(path: Path) -> tuple[PriceRow, ...]:
    """The rows of a file. Raises MlctlError with everything that is wrong with it."""
    rows, problems = parsed(Source.parse(path, displayed(path)))
    if problems:
        raise MlctlError(problems)
    return rows


def parsed(source: Source) -> tuple[tuple[PriceRow, ...], list[Diagnostic]]:
    """The rows of a price list and all its problems, each with its place."""
    if source.diagnostics:
        return (), list(source.diagnostics)
    report, suggest = Report(), Suggestions()
    document = source.value
    listed = document.get("rows") if isinstance(document, Mapping) else document
    if isinstance(document, Mapping) and "rows" in document and listed is None:  # all of them are commented out
        listed = []
    if not isinstance(document, Mapping) or not isinstance(listed, list):
        summary, why = f"{source.name} is no price list", f"{found(listed)} stands there"
        where = source.where(("rows",)) or SourceRange(source.name, 1, 1, 2)
        return (), [Diagnostic("prices.no-rows", summary, why, _ROWS, where=where)]
    for name in document:
        if name != "rows":
            summary, why = f"unknown field `{name}` in {source.name}", "a price list has nothing but `rows`"
            fix = suggest(name, ["rows"]) or "remove it"
            report.at(source, (name,), "spec.unknown-field", summary, why, fix, key=True)
    rows = [_row(item, number, Place(source, ("rows", number)), report, suggest) for number, item in enumerate(listed)]
    return tuple(row for row in rows if row is not None), report.sorted([source])


def _row(item: Any, number: int, place: Place, report: Report, suggest: Suggestions) -> PriceRow | None:
    """One row, or None and its problems."""
    label = f"row {number + 1}"
    if not isinstance(item, Mapping):
        report.at(place, (), "spec.wrong-type", f"{label} takes a block", f"{found(item)} stands there", _ROWS)
        return None
    made, problems = validate(Row, item, json.dumps(item), label, suggest)
    for problem in problems:
        report.problem(place, (), problem, None)
    return None if made is None else PriceRow(**made.model_dump())


Where = Callable[[], SourceRange | None]  # looked up when something is wrong there, since that takes its time


def lists(root: Path, settings: Mapping[str, Any], where: Where = lambda: None) -> tuple[PriceList, PriceList]:
    """The user's price list and the project's, which is `where` in the project. Nothing is looked for before it is asked for."""

    @cache
    def users() -> tuple[PriceRow, ...]:
        path = users_file()
        return () if path is None else read(path)

    @cache
    def projects() -> tuple[PriceRow, ...]:
        named = settings.get("prices")
        return () if named is None else read(projects_file(root, named["file"], where))

    return users, projects


def problems(projects: PriceList) -> list[Diagnostic]:
    """All that is wrong with a price list."""
    try:
        projects()
    except MlctlError as error:
        return list(error.diagnostics)
    return []


def projects_file(root: Path, name: str, where: Where) -> Path:
    """The project's price list. Raises MlctlError for one that lies outside, or is not there."""
    path = (root / name).resolve()
    if not path.is_relative_to(root.resolve()):
        summary, why = (
            f"the path `{name}` leaves the project folder",
            "a project reads only below the folder of its mlctl.yaml",
        )
        raise MlctlError(
            [Diagnostic("spec.path-outside", summary, why, "move the file into the project", where=where())]
        )
    if not path.is_file():
        summary, why = f"there is no price list `{name}`", f"it was looked for at {displayed(path)}"
        fix = f"write it, or make it with `mlctl cost import FILE --from skypilot -o {name}`; without a list of its own a project needs no `prices`"
        raise MlctlError([Diagnostic("prices.missing", summary, why, fix, where=where())])
    return path


def users_file() -> Path | None:
    """The price list of whoever runs the command, for all of their projects. Raises MlctlError when one is named that is not there."""
    named = os.environ.get(VARIABLE, "")
    if named == "none":
        return None
    if named:
        path = Path(named).expanduser()
        if not path.is_file():
            why = f"`{VARIABLE}` names it as the price list of all projects"
            raise MlctlError.of(
                "prices.missing",
                f"there is no price list at {displayed(path)}",
                why,
                "correct the path, or write `none`",
            )
        return path
    path = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "mlctl" / "prices.yaml"
    return path if path.is_file() else None


def stale_allowed() -> bool:
    """Whether the environment lets old prices be used. Raises MlctlError for another word than `0` or `1`."""
    said = os.environ.get(STALE_VARIABLE) or "0"
    if said not in ("0", "1"):
        why = "it says whether prices of any age may be used"
        raise MlctlError.of("cli.usage", f"`{STALE_VARIABLE}` is `{said}`", why, "set it to 1, or unset it")
    return said == "1"


def day() -> date:
    """The day that prices are judged by: today, unless the environment names another. Raises MlctlError for what is no date."""
    named = os.environ.get(DAY_VARIABLE)
    if not named:
        return date.today()
    try:
        return date.fromisoformat(named)
    except ValueError:
        raise MlctlError.of(
            "cli.usage",
            f"`{DAY_VARIABLE}` is `{named}`, which is no date",
            "prices are judged by that day",
            "write it as 2026-01-31, or unset it",
        ) from None
