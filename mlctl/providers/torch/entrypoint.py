"""The entry point of a `python` model, looked at without running it."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path

from mlctl.files.closure import code_closure
from mlctl.provider import Context
from mlctl.providers.torch.spec import Python
from mlctl.types.diagnostic import Diagnostic, MlctlError, did_you_mean

_FIELD = ("model", "entrypoint")


def check_entrypoint(model: Python, ctx: Context) -> list[Diagnostic]:
    """What is wrong with the file, the function or its parameters, found by parsing alone."""
    try:
        path = ctx.path(model.file)
        tree = ast.parse(path.read_bytes(), filename=model.file)
        code_closure(path, ctx.root)
    except MlctlError as error:
        return [Diagnostic(item.code, item.summary, item.why, item.fix, path=_FIELD) for item in error.diagnostics]
    except FileNotFoundError:
        nearby = [str(found.relative_to(ctx.root)) for found in (ctx.root / model.file).parent.glob("*.py")]
        return [
            Diagnostic(
                "training.entrypoint-missing",
                f"there is no file `{model.file}`",
                "the path is meant from the project folder",
                did_you_mean(model.file, nearby),
                path=_FIELD,
            )
        ]
    except (OSError, SyntaxError, ValueError) as error:
        return [
            Diagnostic(
                "training.entrypoint-unreadable",
                f"`{model.file}`, or a file it imports, cannot be read as Python",
                str(error),
                "correct the file",
                path=_FIELD,
            )
        ]
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    if model.function not in functions:
        return [
            Diagnostic(
                "training.entrypoint-missing",
                f"`{model.file}` defines no function `{model.function}`",
                "the entry point is a plain function at the top level of the file",
                did_you_mean(model.function, functions)
                or f"add `def {model.function}(features: list[str]) -> torch.nn.Module`",
                path=_FIELD,
            )
        ]
    return _check_arguments(functions[model.function].args, model)


def _check_arguments(arguments: ast.arguments, model: Python) -> list[Diagnostic]:
    names = [item.arg for item in arguments.posonlyargs + arguments.args]
    if not names and arguments.vararg is None:
        return [
            Diagnostic(
                "training.entrypoint-signature",
                f"`{model.function}` takes no arguments",
                "it is called as `build(features, **params)` with the list of feature names",
                "take the feature names as its first argument",
                path=_FIELD,
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
    """Every project file that building the model can load. Raises MlctlError."""
    try:
        return code_closure(ctx.path(model.file), ctx.root)
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
