"""The entry point of a `python` model, looked at without running it."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path

from mlctl.files.closure import code_closure
from mlctl.provider import Context
from mlctl.providers.torch.spec import Python
from mlctl.types.diagnostic import Diagnostic, MlctlError, did_you_mean


def check_entrypoint(model: Python, ctx: Context) -> list[Diagnostic]:
    """What is wrong with the files, the functions or their parameters, found by parsing alone."""
    found = _check_function(model.entrypoint, ("model", "entrypoint"), ctx, "features: list[str]", "torch.nn.Module")
    problems = found if isinstance(found, list) else _check_arguments(found, model)
    for field, count, takes, gives in (
        ("loss", 2, "outputs, targets", "torch.Tensor"),
        ("metrics", 2, "outputs, targets", "dict[str, float]"),
        ("dataset", 2, "files, split", "torch.utils.data.Dataset"),
    ):
        entry = getattr(model, field)
        if entry is None:
            continue
        found = _check_function(entry, ("model", field), ctx, takes, gives)
        if isinstance(found, list):
            problems += found
        elif found.vararg is None and len(found.posonlyargs + found.args) < count:
            name = entry.rpartition(":")[2]
            problems.append(
                Diagnostic(
                    "training.entrypoint-signature",
                    f"`{name}` takes fewer than {count} arguments",
                    f"it is called with ({takes})",
                    f"write `def {name}({takes}) -> {gives}`",
                    path=("model", field),
                )
            )
    return problems


def _check_function(
    entry: str, field: tuple[str, ...], ctx: Context, takes: str, gives: str
) -> ast.arguments | list[Diagnostic]:
    """The arguments of a function of the project, or what is wrong with the file it is in."""
    file, _, function = entry.rpartition(":")
    try:
        path = ctx.path(file)
        tree = ast.parse(path.read_bytes(), filename=file)
        code_closure(path, ctx.root)
    except MlctlError as error:
        return [Diagnostic(item.code, item.summary, item.why, item.fix, path=field) for item in error.diagnostics]
    except FileNotFoundError:
        nearby = [str(found.relative_to(ctx.root)) for found in (ctx.root / file).parent.glob("*.py")]
        return [
            Diagnostic(
                "training.entrypoint-missing",
                f"there is no file `{file}`",
                "the path is meant from the project folder",
                did_you_mean(file, nearby),
                path=field,
            )
        ]
    except (OSError, SyntaxError, ValueError) as error:
        return [
            Diagnostic(
                "training.entrypoint-unreadable",
                f"`{file}`, or a file it imports, cannot be read as Python",
                str(error),
                "correct the file",
                path=field,
            )
        ]
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    if function not in functions:
        return [
            Diagnostic(
                "training.entrypoint-missing",
                f"`{file}` defines no function `{function}`",
                "the entry point is a plain function at the top level of the file",
                did_you_mean(function, functions) or f"add `def {function}({takes}) -> {gives}`",
                path=field,
            )
        ]
    return functions[function].args


def _check_arguments(arguments: ast.arguments, model: Python) -> list[Diagnostic]:
    names = [item.arg for item in arguments.posonlyargs + arguments.args]
    if model.dataset is not None:
        names = ["", *names]  # such a model is built from `params` alone
    if not names and arguments.vararg is None:
        return [
            Diagnostic(
                "training.entrypoint-signature",
                f"`{model.function}` takes no arguments",
                "it is called as `build(features, **params)` with the list of feature names",
                "take the feature names as its first argument",
                path=("model", "entrypoint"),
            )
        ]
    takes = set(names[1:]) | {item.arg for item in arguments.kwonlyargs}
    unknown = [name for name in model.params if name not in takes] if arguments.kwarg is None else []
    required = {
        item.arg for item, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if default is None
    }
    required |= set(names[1 : len(names) - len(arguments.defaults)])
    problems = [
        Diagnostic(
            "training.entrypoint-signature",
            f"`{model.function}` has no parameter `{name}`",
            "each of `params` is passed by name",
            did_you_mean(name, takes),
            path=("model", "params", name),
        )
        for name in unknown
    ]
    problems += [
        Diagnostic(
            "training.entrypoint-signature",
            f"`{model.function}` needs a value for `{name}`",
            "it has no default",
            f"add `params: {{{name}: ...}}`",
            path=("model",),
        )
        for name in sorted(required - set(model.params))
    ]
    return problems


def closure(model: Python, ctx: Context) -> list[Path]:
    """Every project file that building and training the model can load. Raises MlctlError."""
    entries = [model.entrypoint, *filter(None, (model.loss, model.metrics, model.dataset))]
    files = dict.fromkeys(entry.rpartition(":")[0] for entry in entries)
    try:
        return sorted({path for file in files for path in code_closure(ctx.path(file), ctx.root)})
    except (OSError, SyntaxError, ValueError) as error:
        raise MlctlError.of(
            "training.entrypoint-unreadable",
            f"the code of `{model.entrypoint}` cannot be read",
            str(error),
            "correct the file",
        ) from None


def code_parts(model: Python, ctx: Context) -> Mapping[str, str]:
    """The files of the closure and their digests, as parts of a content key. Raises MlctlError."""
    root = ctx.root.resolve()
    return {f"code:{path.relative_to(root).as_posix()}": ctx.digests.file(path) for path in closure(model, ctx)}
