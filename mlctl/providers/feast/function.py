"""The function behind an on-demand view, looked at without running it."""

from __future__ import annotations

import ast
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from mlctl.files.closure import code_closure
from mlctl.provider import Context
from mlctl.providers.feast.spec import OnDemandViewSpec
from mlctl.types.diagnostic import Diagnostic, MlctlError, did_you_mean

_FIELD = ("function",)


@dataclass(frozen=True, slots=True)
class Signature:
    """What a function reads: its parameters by name, and whether it takes whatever else there is (`**columns`)."""

    names: tuple[str, ...]
    rest: bool

    def inputs(self, request: Collection[str], features: Collection[str]) -> list[str]:
        """The features among what it reads, in their order."""
        return [name for name in features if name not in request and (self.rest or name in self.names)]


def signature_of(spec: OnDemandViewSpec, ctx: Context) -> Signature:
    """The parameters of the function. Raises MlctlError."""
    try:
        path = ctx.path(spec.file)
        tree = ast.parse(path.read_bytes(), filename=spec.file)
    except FileNotFoundError:
        nearby = [str(found.relative_to(ctx.root)) for found in (ctx.root / spec.file).parent.glob("*.py")]
        raise _problem(
            "features.function-missing",
            f"there is no file `{spec.file}`",
            "the path is meant from the project folder",
            did_you_mean(spec.file, nearby),
        ) from None
    except (OSError, SyntaxError, ValueError) as error:
        raise _unreadable(spec, error) from None
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    if spec.name not in functions:
        raise _problem(
            "features.function-missing",
            f"`{spec.file}` defines no function `{spec.name}`",
            "it is a plain function at the top level of the file",
            did_you_mean(spec.name, functions),
        )
    arguments = functions[spec.name].args
    if arguments.vararg is not None or arguments.posonlyargs or arguments.defaults or any(arguments.kw_defaults):
        raise _problem(
            "features.function-signature",
            f"`{spec.name}` takes arguments that are not columns",
            "every column it reads is passed by its name; a parameter with a default would hide that a column is not there",
            "name each column as a plain parameter: `def ratios(amount_7d, basket_value):`",
        )
    names = tuple(item.arg for item in [*arguments.args, *arguments.kwonlyargs])
    return Signature(names, arguments.kwarg is not None)


def function_files(spec: OnDemandViewSpec, ctx: Context) -> list[Path]:
    """Every project file that running the function can load. Raises MlctlError."""
    try:
        return code_closure(ctx.path(spec.file), ctx.root)
    except (OSError, SyntaxError, ValueError) as error:
        raise _unreadable(spec, error) from None


def function_problems(spec: OnDemandViewSpec, ctx: Context) -> list[Diagnostic]:
    """What is wrong with the file and the function, by themselves and beside the fields of the block."""
    try:
        signature = signature_of(spec, ctx)
        function_files(spec, ctx)
    except MlctlError as error:
        return [
            Diagnostic(item.code, item.summary, item.why, item.fix, path=item.path or _FIELD)
            for item in error.diagnostics
        ]
    problems = []
    if not signature.rest:
        problems += [
            Diagnostic(
                "features.unused",
                f"`{spec.name}` does not read `{name}`",
                "what a request brings is passed by its name",
                did_you_mean(name, signature.names) or "take it as a parameter, or out of `request`",
                path=("request", name),
            )
            for name in spec.request
            if name not in signature.names
        ]
        unknown = [name for name in signature.names if name not in spec.request]
        if unknown and not spec.views:
            problems.append(unknown_input(spec, unknown[0], spec.request))
    if not signature.names and not signature.rest:
        problems.append(
            Diagnostic(
                "features.function-signature",
                f"`{spec.name}` reads nothing",
                "a feature is computed from what a request brings, or from other features",
                "name the columns it reads as its parameters",
                path=_FIELD,
            )
        )
    return problems


def unknown_input(spec: OnDemandViewSpec, name: str, known: Collection[str]) -> Diagnostic:
    """A parameter that no request and no view brings."""
    return Diagnostic(
        "features.unknown-input",
        f"`{spec.name}` reads `{name}`, which is neither in `request` nor a feature of its views",
        "every parameter is a column that is there when the function is called",
        did_you_mean(name, known) or "add it to `request`, or name its view in `views`",
        path=_FIELD,
    )


def _unreadable(spec: OnDemandViewSpec, error: Exception) -> MlctlError:
    return _problem(
        "features.function-unreadable",
        f"`{spec.file}`, or a file it imports, cannot be read as Python",
        str(error),
        "correct the file",
    )


def _problem(code: str, summary: str, why: str, fix: str) -> MlctlError:
    return MlctlError([Diagnostic(code, summary, why, fix, path=_FIELD)])
