"""Which engine can do what: said before anything runs, where it is written, and never found out in the middle of a check."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mlctl.provider import Block
from mlctl.types.diagnostic import Diagnostic
from mlctl.types.jobs.checks import SHORT_RULES, Engine, SparkEngine, parse_rule
from mlctl.types.jobs.patterns import Flavour, flavoured

_FRAME = "expectations by name run on a data frame, which the engines `duckdb` and `great_expectations` make of the columns they need"
_FOREST = "the forest is grown and asked row by row in memory, and rows do not leave this engine"
_WAREHOUSE: dict[str, str] = {"expectation": _FRAME, "outliers: isolation_forest": _FOREST}

# Engine (for pushdown: with the database), then rule (`expectation` is any by name; some with their method), then why.
UNSUPPORTED: Mapping[str, Mapping[str, str]] = {
    "duckdb": {},
    "great_expectations": {},
    "spark": _WAREHOUSE,
    "pushdown: postgres": _WAREHOUSE,
    "pushdown: bigquery": _WAREHOUSE | {"outliers: iqr": "BigQuery has no exact quantile among its aggregates"},
    "pushdown: snowflake": _WAREHOUSE,
}

_FLAVOURS: Mapping[str, Flavour] = {
    "great_expectations": "python",
    "spark": "java",
    "pushdown: postgres": "postgres",
    "pushdown: snowflake": "snowflake",
}

# Settings of a Spark session that decide what SQL means, or that this program sets for its own folder.
_SPARK_OURS = (
    "spark.sql.session.timeZone",
    "spark.sql.ansi.enabled",
    "spark.sql.caseSensitive",
    "spark.sql.warehouse.dir",
)


def engine_problems(engine: Engine, rules: Sequence[Mapping[str, Any]], database: str = "") -> Iterator[Diagnostic]:
    """What of a data check its engine cannot do. `database` is the type of the one a pushdown goes to; without it, what none can do.

    Rules that cannot be read are passed over: `rule_problems` says what is wrong with those.
    """
    names = _names(engine, database)
    for index, entry in enumerate(rules):
        if found := _refused(entry, names):
            rule, why = found
            yield Diagnostic(
                "data.engine-cannot",
                f"the engine `{engine.type}` cannot do rule {index + 1}, `{rule}`",
                why,
                "take the rule to a data check with `engine: duckdb`, or take it out",
                path=("rules", index, *entry),
            )
    if isinstance(engine, SparkEngine):
        for key in engine.config:
            if key in _SPARK_OURS:
                yield Diagnostic(
                    "data.engine-cannot",
                    f"`{key}` is not to be set",
                    "mlctl sets it, so that every engine gives the same verdict",
                    "take it out",
                    path=("engine", "config", key),
                )


def place_problems(engine: Engine, name: str, dataset: Any, others: Mapping[str, Any]) -> Iterator[Diagnostic]:
    """What is wrong with a dataset's rows being where they are, for an engine. Arguments are `datasets` specs, by name."""
    everywhere = {name: dataset} | dict(others)
    for key, spec in everywhere.items():
        where = remote_type(spec)
        if engine.type == "pushdown" and where is None:
            yield _misplaced(
                f"`engine: pushdown` cannot check against datasets.{key}",
                "its rows are in files; pushdown asks the database that holds them",
                "set `copy: false` on a dataset of a database, or use another engine",
            )
        elif engine.type != "pushdown" and where is not None:
            yield _misplaced(
                f"the engine `{engine.type}` cannot read datasets.{key}",
                f"its rows stay in {where} (`copy: false`)",
                "use `engine: pushdown`, or take `copy: false` out",
            )
    if engine.type == "pushdown":
        first = _connection(dataset)
        for key, spec in others.items():
            if remote_type(spec) and _connection(spec) != first:
                yield _misplaced(
                    f"`engine: pushdown` cannot compare datasets.{name} with datasets.{key}",
                    "they are in different databases, and a query runs in one",
                    "copy both (without `copy: false`) and use another engine",
                )
    if engine.type in ("spark", "pushdown") and not list(getattr(dataset, "key", ())):
        yield _misplaced(
            f"the engine `{engine.type}` needs a key of datasets.{name}",
            "offending rows are named by their key: only a file read in order has row numbers",
            "give the dataset a `key`",
        )


def remote_type(dataset: Any) -> str | None:
    """The type of the database that keeps the rows of a dataset (`copy: false`), from its spec; None when they are copied or files."""
    database = getattr(dataset, "database", None)
    if database is None or _copied(dataset):
        return None
    return str(database.type)


def _copied(dataset: Any) -> bool:
    """`copy` is a method of every model, so the field has an alias in Python."""
    fields: Mapping[str, Any] = type(dataset).model_fields
    name = next((name for name, info in fields.items() if "copy" in (name, info.alias)), None)
    return True if name is None else bool(getattr(dataset, name))


def _connection(dataset: Any) -> Any:
    """What of a database block says which database it is."""
    database = getattr(dataset, "database", None)
    if not isinstance(database, Block):
        return None
    return {
        key: item for key, item in database.model_dump(mode="json").items() if key not in ("table", "query", "version")
    }


def _names(engine: Engine, database: str) -> list[str]:
    if engine.type != "pushdown":
        return [engine.type]
    return [f"pushdown: {database}"] if database else [name for name in UNSUPPORTED if name.startswith("pushdown")]


def _refused(entry: Mapping[str, Any], names: Sequence[str]) -> tuple[str, str] | None:
    """The rule and why, when none of these engines can do it."""
    [*rules] = entry
    if len(rules) != 1 or not isinstance(entry[rules[0]], Mapping):
        return None
    try:
        rule = parse_rule(entry)
    except ValueError:
        return None
    whys = [why_not(rules[0], rule, name) for name in names]
    if all(whys):
        return rules[0], str(whys[0])
    return None


def why_not(name: str, rule: Any, engine: str) -> str:
    """Why an engine (a key of UNSUPPORTED) cannot do a rule; empty when it can."""
    table = UNSUPPORTED[engine]
    for key in (name, f"{name}: {getattr(rule, 'method', '')}", "expectation" if name.startswith("expect") else name):
        if key in table:
            return table[key]
    pattern, flavour = getattr(rule, "pattern", None), _FLAVOURS.get(engine)
    if pattern is not None and flavour is not None:
        try:
            flavoured(pattern, flavour)
        except ValueError as error:
            return f"its pattern cannot be said in the regular expressions of that engine: {error}"
    return ""


def table() -> str:
    """Which engine does which rule, as a table of the guide."""
    rules = [name for name in SHORT_RULES if name != "outliers"]
    rules += ["outliers: z_score", "outliers: iqr", "outliers: isolation_forest", "expectation"]
    engines = [name for name in UNSUPPORTED if name != "duckdb"]
    lines = [f"| rule | {' | '.join(['duckdb', *engines])} |", "|---" * (len(engines) + 2) + "|"]
    for rule in sorted(rules):
        cells = ["no" if rule in UNSUPPORTED[engine] else "yes" for engine in ("duckdb", *engines)]
        shown = "any Great Expectations expectation" if rule == "expectation" else f"`{rule}`"
        lines.append(f"| {shown} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _misplaced(summary: str, why: str, fix: str) -> Diagnostic:
    return Diagnostic("data.engine-cannot", summary, why, fix, path=("engine",))
