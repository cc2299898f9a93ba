"""mlctl console: expressions over the project and what was made, evaluated one by one."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Annotated

import typer

from mlctl.cli.evaluating import Console
from mlctl.cli.options import AsJson, emit_json, make_app
from mlctl.cli.project import in_project
from mlctl.types.diagnostic import ExitCode, MlctlError
from mlctl.types.value import Json
from mlctl.views.human import diagnostics
from mlctl.views.human.style import wants_color, width
from mlctl.workspace import Workspace

app = make_app()

_PROMPT = "> "
_HISTORY = 500  # lines that a session remembers; they are not written to a file, since one may hold anything
_DELIMITERS = " \t\n`~!@#%^&*()=+{}\\|;:'<>,/?"  # not `.`, `[`, `]`, `\"` and `$`: an address is one word


@app.command(
    help="Evaluate an expression: a path to an output or a variable, a text with `${...}`, or JMESPath over all resources.\n\n"
    "Without an expression each line of standard input is one; on a terminal there is a prompt. Changes nothing. "
    "Prints JSON; secrets are printed as (sensitive).\n\n"
    "Examples:\n\n  mlctl console training.churn.metrics.roc_auc\n\n  mlctl console 'http://localhost:${deployments.churn_api.port}/docs'\n\n"
    "  mlctl console \"resources[?section=='deployments'].name\"\n\n  mlctl console < questions.txt"
)
@in_project
def console(
    workspace: Workspace,
    expression: Annotated[
        str | None, typer.Argument(help="The expression; lines of standard input when left out.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Evaluate one expression, or one after the other."""
    evaluator = Console(workspace)
    if expression is not None:
        _print(expression, evaluator.value(expression), as_json)
        return ExitCode.OK
    interactive = sys.stdin.isatty() and not as_json
    failed = False
    for line in _prompted(evaluator) if interactive else sys.stdin:
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        try:
            _print(text, evaluator.value(text), as_json)
        except MlctlError as error:
            failed = True
            _tell(error, as_json)
    return ExitCode.ERROR if failed and not interactive else ExitCode.OK


def _print(expression: str, value: Json, as_json: bool) -> None:
    if as_json:
        emit_json({"type": "console", "expression": expression, "value": value})
    else:
        print(json.dumps(value, indent=2, ensure_ascii=False), flush=True)


def _tell(error: MlctlError, as_json: bool) -> None:
    if as_json:
        from mlctl.views.json.diagnostics import to_json

        for item in error.diagnostics:
            emit_json(to_json(item))
    else:
        print(
            diagnostics.render(error.diagnostics, color=wants_color(sys.stderr), width=width()), end="", file=sys.stderr
        )


def _prompted(evaluator: Console) -> Iterator[str]:
    """Lines of a person, with history and completion, until `exit` or the end of input."""
    try:
        import readline
    except ImportError:  # a Python without it: lines are read all the same
        pass
    else:
        readline.set_history_length(_HISTORY)
        readline.set_completer_delims(_DELIMITERS)
        readline.set_completer(lambda text, state: complete(evaluator.names, text, state))
        readline.parse_and_bind("tab: complete")
    print("Addresses, outputs, ${...} and JMESPath; TAB completes, `exit` ends.", file=sys.stderr)
    while True:
        try:
            line = input(_PROMPT)
        except EOFError:
            print(file=sys.stderr)
            return
        except KeyboardInterrupt:  # drops the line, as in a shell
            print(file=sys.stderr)
            continue
        if line.strip() in ("exit", "quit"):
            return
        yield line


def complete(names: list[str], text: str, state: int) -> str | None:
    """The completion number `state` of a word, up to its next dot; what stands before, such as `${`, stays."""
    before, mark, word = text.rpartition("${")
    found: list[str] = []
    for name in names:
        if name.startswith(word):
            end = name.find(".", len(word) + 1)
            candidate = before + mark + (name if end < 0 else name[:end])
            if candidate not in found:
                found.append(candidate)
    return found[state] if state < len(found) else None
