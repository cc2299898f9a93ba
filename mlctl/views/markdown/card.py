"""A model card (Mitchell et al. 2019) as Markdown: only what is known of a model, and where that is to be found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mlctl.types.state import Record
from mlctl.views.human.models import devices, processes
from mlctl.views.human.style import seconds
from mlctl.views.markdown.text import code, plain


def render(
    name: str,
    document: Mapping[str, Any],
    training: Record | None,
    evaluations: Sequence[Record],
    version: Mapping[str, Any] | None,
) -> str:
    """The whole card."""
    sections = [
        _head(name, document, training, version),
        _data(document, training),
        _metrics(document, evaluations, version),
        _limits(document, evaluations),
        _how(document),
        _again(name, document, version),
    ]
    return "\n".join(line for section in sections for line in section)


def _head(
    name: str, document: Mapping[str, Any], training: Record | None, version: Mapping[str, Any] | None
) -> Iterator[str]:
    yield f"# {plain(name)}"
    yield ""
    spec = training.spec if training is not None else {}
    if spec.get("description"):
        yield from (plain(str(spec["description"])), "")
    facts = {"Training": document["address"], "Owner": _owner(training), "Task": _task(document, training)}
    if version is not None:
        facts["Aliases"] = ", ".join(version["aliases"])
    if spec.get("tags"):
        facts["Tags"] = ", ".join(f"{key}: {value}" for key, value in dict(spec["tags"]).items())
    yield from (f"- {key}: {plain(str(value))}" for key, value in facts.items() if value)
    yield ""


def _owner(training: Record | None) -> str:
    if training is None:
        return ""
    owner = training.provenance.get("owner")
    project = ", ".join(f"{key}: {value}" for key, value in owner.items()) if isinstance(owner, Mapping) else ""
    return str(training.spec.get("owner") or project)


def _task(document: Mapping[str, Any], training: Record | None) -> str:
    if training is None:
        return str(document["recipe"]["model"]["type"])
    target = training.outputs.get("target")
    return f"{training.outputs.get('task')}{f', foretells {target}' if target else ''}"


def _data(document: Mapping[str, Any], training: Record | None) -> Iterator[str]:
    yield from ("## Data", "", "| name | rows | digest |", "| --- | ---: | --- |")
    for item in document["data"]:
        rows = f"{item['rows']:,}" if item["rows"] is not None else ""
        yield f"| {code(item['name'])} | {rows} | {code(item['digest'][:16])} |"
    yield ""
    if document["result"].get("rows") is not None:
        yield from (_used(document, training), "")
    base = document.get("base")
    if base is not None:
        digest = f"digest {code(base['digest'][:16])}" if base["digest"] else f"revision {code(str(base['revision']))}"
        yield from (f"It began with the weights of {code(base['base'])}, {digest}.", "")
    features = (training.outputs.get("serving") or {}) if training is not None else {}
    if isinstance(features, Mapping) and features.get("columns"):
        yield from (f"It reads {', '.join(code(str(item)) for item in features['columns'])}.", "")


def _used(document: Mapping[str, Any], training: Record | None) -> str:
    """How much it learnt from. Of a text that may be rows of several documents."""
    rows, among = f"{document['result']['rows']:,}", "those to validate on among them"
    if document["recipe"]["model"]["type"] != "causal_lm":
        return f"{rows} rows were used, {among}."
    if not packed(training):
        return f"{rows} documents were used, {among}."
    given = next((item["rows"] for item in document["data"] if item["rows"] is not None), None)
    of = "Documents" if given is None else f"{given:,} documents"
    return f"{of} were packed into {rows} sequences of tokens, {among}."


def packed(training: Record | None) -> bool:
    """Whether a training of text puts several documents into a row, as it does unless it is told not to."""
    data = training.spec.get("data") if training is not None else None
    return not isinstance(data, Mapping) or data.get("packing", True) is not False


def _metrics(
    document: Mapping[str, Any], evaluations: Sequence[Record], version: Mapping[str, Any] | None
) -> Iterator[str]:
    judged = {str(item.key.address): item.outputs.get("metrics") or {} for item in evaluations}
    if not judged and version is not None and version["metrics"]:
        judged = {str(version["address"]): version["metrics"]}
    columns = {"validation rows": document["result"]["metrics"], **judged}
    names = list(dict.fromkeys(name for metrics in columns.values() for name in metrics))
    yield from (
        "## Metrics",
        "",
        f"| metric | {' | '.join(map(plain, columns))} |",
        f"| --- |{' ---: |' * len(columns)}",
    )
    for name in names:
        values = (metrics.get(name) for metrics in columns.values())
        yield f"| {code(name)} | {' | '.join('' if value is None else f'{value:.4f}' for value in values)} |"
    yield ""


def _limits(document: Mapping[str, Any], evaluations: Sequence[Record]) -> Iterator[str]:
    """What it was not shown to do."""
    lines = []
    for item in evaluations:
        if item.gate is not None:
            rows = item.outputs.get("rows")
            lines.append(f"- {code(str(item.key.address))}: {plain(item.gate.summary)}{f', on {rows:,} rows' if isinstance(rows, int) else ''}")  # fmt: skip
            lines += [f"  - {plain(detail)}" for detail in item.gate.details]
            if item.gate.approval is not None:
                lines.append(f"  - let through by {plain(item.gate.approval.who)}: {plain(item.gate.approval.why)}")
    if not lines:
        lines.append(
            "- No evaluation has judged it: its metrics are those of the rows it was validated on while it learnt."
        )
    if document["code"]["dirty"]:
        lines.append("- Its code was not committed as it was when it was trained.")
    yield from ("## Limits", "", *lines, "")


def _how(document: Mapping[str, Any]) -> Iterator[str]:
    recipe, execution, result = document["recipe"], document["execution"], document["result"]
    optimizer = recipe["optimizer"]
    facts = {
        "Model": recipe["model"]["type"],
        "Method": recipe["method"]["type"],
        "Parameters": _parameters(execution),
        "Optimizer": f"{optimizer['type']}, learning rate {optimizer['lr']:g}, schedule {optimizer['schedule']}",
        "Batches": f"of {recipe['batch_size']} rows, {recipe['epochs']} epochs, {result['steps']} steps ({result['status']})",
        "Precision": recipe["precision"],
        "Spread": f"{execution['layout']['strategy']} on {processes(execution)}, engine {execution['engine']}",
        "Devices": devices(document["devices"]),
        "Time": seconds(result["seconds"]),
        "Seed": f"{document['seed']}, {'' if document['deterministic'] else 'not '}deterministic",
    }
    yield from (
        "## How it was trained",
        "",
        *(f"- {key}: {plain(str(value))}" for key, value in facts.items() if value),
        "",
    )


def _parameters(execution: Mapping[str, Any]) -> str:
    trainable, total = execution.get("trainable"), execution.get("parameters")
    return f"{total:,}, {trainable:,} of them trained" if trainable is not None and total is not None else ""


def _again(name: str, document: Mapping[str, Any], version: Mapping[str, Any] | None) -> Iterator[str]:
    reference = document["address"] if version is None else f"{version['name']}/{version['version']}"
    environment, commit = document["environment"], document["code"]["commit"]
    yield from ("## How to train it again", "", f"    mlctl models reproduce {reference}", "")
    if commit is not None:
        yield f"- Code: commit {code(commit)}{', with changes that its run keeps as git.diff' if document['code']['dirty'] else ''}"
    yield f"- Environment: mlctl {plain(environment['mlctl'])}, Python {plain(environment['python'])}; packages in requirements.txt of its run"
    yield f"- Run: {code(str(document['run_id']))}, weights {code(str(document['result']['digest']))}"
    yield ""
