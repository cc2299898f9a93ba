"""What parts of a monitor take from datasets and evaluations: rows that find their predictions, and scores that were held out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from mlctl.provider import Context, Desired
from mlctl.providers.evidently.spec.labels import Joined
from mlctl.types.diagnostic import Diagnostic, MlctlError, did_you_mean
from mlctl.types.jobs.labels import HeldOut, Joining
from mlctl.types.jobs.learnable import is_number
from mlctl.types.jobs.profile import Source

HELD_OUT_FILE = "held_out.json"
TIMES = ("timestamp", "date")


def joining(block: Joined, within: float, part: str, desired: Desired) -> Joining:
    """How rows of the block's dataset find predictions. Raises MlctlError for a column that is not there."""
    source, timestamp = rows_of(block.dataset, block.timestamp, part, desired)
    for field, name in (("id", block.id), *(("key", name) for name in block.key)):
        if name is not None:
            column(source, block.dataset, name, part, field)
    return Joining(
        dataset=block.dataset,
        source=source,
        timestamp=timestamp,
        id=block.id,
        key=block.key,
        within_window_seconds=within,
    )


def rows_of(dataset: str, timestamp: str | None, part: str, desired: Desired) -> tuple[Source, str]:
    """The rows of a dataset, and the column that says when each came. Raises MlctlError."""
    outputs = desired.input("datasets", dataset).outputs
    if "files" not in outputs:
        raise MlctlError.of(
            "monitor.rows-elsewhere",
            f"the rows of datasets.{dataset} stay in their database",
            f"`{part}` joins them to the prediction log, which is here",
            f"remove `copy: false` from datasets.{dataset}",
        )
    source = Source.of(outputs)
    named = timestamp or source.timestamp
    if named is None:
        raise MlctlError.of(
            "monitor.no-time",
            f"nothing says when a row of datasets.{dataset} came",
            "without a time, what comes late cannot be told from what came before its prediction",
            f"add `timestamp: COLUMN` to `{part}`, or to datasets.{dataset}",
        )
    kind = column(source, dataset, named, part, "timestamp")
    if not kind.startswith(TIMES):
        raise MlctlError.of(
            "monitor.no-time",
            f"`{named}` of datasets.{dataset} is no time: it is {kind}",
            "rows are ordered and aged by it",
            "write times as in ISO 8601, or name another column",
        )
    return source, named


def column(source: Source, dataset: str, name: str, part: str, field: str) -> str:
    """The type of a column. Raises MlctlError when there is none of this name."""
    if name in source.columns:
        return source.columns[name]
    raise MlctlError.of(
        "monitor.no-column",
        f"`{name}`, the `{field}` of `{part}`, is no column of datasets.{dataset}",
        f"its columns are {', '.join(sorted(source.columns)[:12])}",
        did_you_mean(name, source.columns) or f"name one of them in `{part}.{field}`",
    )


def number(source: Source, dataset: str, name: str, part: str, field: str) -> None:
    """See that a column holds numbers, or true and false. Raises MlctlError for text, which is never guessed at."""
    kind = column(source, dataset, name, part, field)
    if not is_number(kind):
        raise MlctlError.of(
            "monitor.not-a-number",
            f"`{name}` of datasets.{dataset} holds {kind}, and no numbers",
            "a text such as '1' or 'yes' counts for nothing until somebody says what it means",
            "write it as a number, or as true and false",
        )


def held_out(name: str, desired: Desired, ctx: Context) -> tuple[HeldOut, bytes, str]:
    """The held-out scores of an evaluation, their file, and the version of the model as the prediction log has it. Raises MlctlError."""
    outputs = desired.input("evaluations", name).outputs
    found = outputs.get("held_out")
    if not isinstance(found, str):
        raise MlctlError.of(
            "monitor.no-held-out",
            f"evaluations.{name} kept no scores",
            "it judged a language model, or was made by an earlier version of mlctl",
            f"`mlctl apply --replace evaluations.{name}` judges a model of rows anew",
        )
    try:
        data = ctx.path(found).read_bytes()
        scores = HeldOut.model_validate_json(data)
    except OSError as error:
        raise _unreadable(name, found, str(error.strerror)) from None
    except ValidationError as error:
        raise _unreadable(name, found, str(error.errors()[0]["msg"])) from None
    if not scores.scores:
        raise _unreadable(name, found, "it judged no row")
    version = outputs.get("version") or str(outputs.get("digest", ""))[:8]  # as deployments name it
    return scores, data, str(version)


def no_evaluation(part: str, why: str) -> Diagnostic:
    """A part that has nothing to compare with."""
    return Diagnostic(
        "monitor.no-evaluation",
        f"`{part}` has nothing to compare with",
        why,
        "add `evaluation: NAME` of the evaluation that judged the model, beside `deployment`",
        path=(part,),
    )


def idle(part: str, field: str, why: str, fix: str) -> Diagnostic:
    """A field that would have no effect."""
    return Diagnostic("monitor.no-effect", f"`{part}.{field}` has no effect", why, fix, path=(part, field))


def repeated(values: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Items that stand in a list before."""
    yield from ((index, value) for index, value in enumerate(values) if value in values[:index])


def joining_text(joined: Mapping[str, Any]) -> str:
    """How labels or events are joined, in a few words."""
    by = [*(["request id"] if joined["id"] else []), *joined["key"]]
    return f"datasets.{joined['dataset']} by {', '.join(by)}"


def _unreadable(name: str, path: str, why: str) -> MlctlError:
    return MlctlError.of(
        "monitor.no-held-out",
        f"the scores of evaluations.{name} cannot be used: {why}",
        f"they are in {path}",
        f"`mlctl apply --replace evaluations.{name}` makes them again",
    )
