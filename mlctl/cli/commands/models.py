"""mlctl models: what was registered, where it comes from, and whether it comes out the same again."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from mlctl.cli.options import AsJson, emit_json, make_group
from mlctl.cli.project import in_project
from mlctl.types.diagnostic import ExitCode, MlctlError
from mlctl.views.human.style import wants_color
from mlctl.workspace import Workspace

app = make_group(
    "Models: what is registered, where a model comes from, whether training it again gives the same, and its files.\n\n"
    "A model is named by its training, `training.churn`, or in the registry: `churn` (its newest version), `churn@champion`, "
    "`churn/3`.\n\n"
    "Examples:\n\n  mlctl models list\n\n  mlctl models provenance churn@champion\n\n"
    "  mlctl models card churn --out MODEL_CARD.md\n\n  mlctl models reproduce churn/3"
)
Model = Annotated[str, typer.Argument(metavar="MODEL", help="`training.NAME`, `NAME`, `NAME@ALIAS` or `NAME/VERSION`.")]


@app.command(
    "list",
    help="List registered models: versions, aliases, metrics of their evaluation.\n\n"
    "Examples:\n\n  mlctl models list\n\n  mlctl models list --json | jq -r .name",
)
@in_project
def list_(workspace: Workspace, as_json: AsJson = False) -> int:
    """Ask the registry."""
    from mlctl.cli.models_tracing import ask, tracking_uri
    from mlctl.types.jobs.models import ListModels
    from mlctl.types.jobs.tracking import database_path
    from mlctl.views.human.models import listed

    _, context = workspace.reader()
    uri = tracking_uri(context)
    database = database_path(uri, workspace.root)
    there = database is None or database.exists()
    versions = ask(ListModels(uri=uri), context, "listing models")["versions"] if there else []
    if as_json:
        for item in versions:
            emit_json({"type": "model", **item})
    else:
        asked = {address: list(record.spec.get("require") or {}) for address, record in workspace.records().items()}
        print(listed(versions, asked, color=wants_color(sys.stdout)), end="")
    return 0


@app.command(
    "provenance",
    help="Show what a model was made of: data, code, base, hyperparameters, environment, devices; and whether that is still "
    "as it was.\n\nExamples:\n\n  mlctl models provenance training.churn\n\n  mlctl models provenance churn@champion --json",
)
@in_project
def provenance(workspace: Workspace, model: Model, as_json: AsJson = False) -> int:
    """Look it up and check it."""
    from mlctl.cli.models_tracing import trace
    from mlctl.views.human.models import traced

    found = trace(workspace, model)
    if as_json:
        checks = [item.model_dump() for item in found.checks]
        emit_json({"type": "provenance", "model": found.name, "version": found.version, "document": found.document, "checks": checks})  # fmt: skip
    else:
        print(traced(found.name, found.document, found.checks, color=wants_color(sys.stdout)), end="")
    return 0


@app.command(
    "card",
    help="Write a model card as Markdown: what it is for, whose it is, data, metrics, limits, how it was trained and how to "
    "train it again. Only what is known stands in it.\n\n"
    "Examples:\n\n  mlctl models card churn@champion\n\n  mlctl models card training.churn --out MODEL_CARD.md",
)
@in_project
def card(
    workspace: Workspace,
    model: Model,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The file to write; the terminal when left out.")
    ] = None,
) -> int:
    """Put it together."""
    from mlctl.cli.models_tracing import trace
    from mlctl.files import atomic
    from mlctl.views.markdown.card import render

    found = trace(workspace, model)
    records = workspace.records()
    registered = None if found.version is None else str(found.version["address"] or "")
    evaluations = [
        record
        for address, record in records.items()
        if address.startswith("evaluations.") and (address == registered or _judged(record.outputs, found.document))
    ]
    text = render(found.name, found.document, found.record, evaluations, found.version)
    if out is None:
        sys.stdout.write(text)
        return 0
    try:
        atomic.write_bytes(out, text.encode(), mode=0o644)
    except OSError as error:
        raise MlctlError.of("cli.not-written", f"{out} cannot be written", str(error), "name another file") from None
    print(f"wrote {out}", file=sys.stderr)
    return 0


@app.command(
    "reproduce",
    help="Train a model again from what was recorded of it, beside everything else, and compare: its weights, else its "
    "metrics. Exit 5 when it differs, or when its data or code is no longer there. What is cut off goes on next time.\n\n"
    "Examples:\n\n  mlctl models reproduce churn/3\n\n  mlctl models reproduce training.churn --tolerance 0.02 --json",
)
@in_project
def reproduce(
    workspace: Workspace,
    model: Model,
    tolerance: Annotated[
        float, typer.Option("--tolerance", min=0, help="By how much, of its value, a metric may differ.")
    ] = 0.01,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the folder of the new training.")] = False,
    as_json: AsJson = False,
) -> int:
    """Train and compare."""
    from mlctl.cli.models_reproduction import not_the_same
    from mlctl.cli.models_reproduction import reproduce as again
    from mlctl.cli.models_tracing import trace
    from mlctl.views.human.models import compared, differences

    found = trace(workspace, model)
    color = wants_color(sys.stdout)
    if not as_json:
        print(differences(not_the_same(found.checks), color=color), end="", flush=True)
    report = again(workspace, found, tolerance, keep=keep)
    if as_json:
        emit_json({"type": "reproduction", **report})
    else:
        print(compared(report, color=color), end="")
    return ExitCode.DRIFT if report["verdict"] == "different" else ExitCode.OK


@app.command(
    "export",
    help="Copy a trained language model to a folder that others can load: the whole model (its adapter merged into it), or the "
    "adapter alone, as safetensors.\n\n"
    "Examples:\n\n  mlctl models export training.chat --out chat\n\n"
    "  mlctl models export training.chat --out adapter --format adapter\n\n"
    "  mlctl models export training.chat --out chat-fp16 --precision fp16",
)
@in_project
def export(
    workspace: Workspace,
    address: Annotated[str, typer.Argument(help="The training, for example training.chat.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to make; it must not exist.")],
    form: Annotated[str, typer.Option("--format", metavar="merged|adapter", help="What of it.")] = "merged",
    precision: Annotated[
        str | None, typer.Option("--precision", metavar="fp32|bf16|fp16", help="As it was trained when left out.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Have the worker copy it."""
    from mlctl.cli.models_files import export_model

    made = export_model(workspace, address, out, form, precision)
    if as_json:
        emit_json({"type": "model_exported", "address": address, **made})
    else:
        print(f"wrote {made['folder']} ({made['format']})")
    return 0


@app.command(
    "convert",
    help="Convert a GGUF file to safetensors, once, into a folder that a training can begin with (`model: {type: causal_lm, "
    "base: FOLDER}`).\n\n"
    "Examples:\n\n  mlctl models convert smol.Q8_0.gguf bases/smol\n\n  mlctl models convert smol.gguf bases/smol --precision fp32",
)
def convert(
    source: Annotated[Path, typer.Argument(help="The GGUF file, or a folder with one.")],
    folder: Annotated[Path, typer.Argument(help="The folder to make; it must not exist.")],
    precision: Annotated[str, typer.Option("--precision", metavar="fp32|bf16|fp16", help="Of the weights.")] = "bf16",
    as_json: AsJson = False,
) -> int:
    """Have the worker convert it."""
    from mlctl.cli.models_files import convert_model

    made = convert_model(source, folder, precision)
    if as_json:
        emit_json({"type": "model_converted", **made})
    else:
        print(f"wrote {made['folder']}: {made['parameters']:,} parameters")
    return 0


def _judged(outputs: object, document: object) -> bool:
    """Whether an evaluation let this very model through."""
    return isinstance(outputs, dict) and isinstance(document, dict) and outputs.get("run_id") == document["run_id"]
