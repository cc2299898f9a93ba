"""Run one command by name. Every error leaves through here as diagnostics and an exit code, never as a traceback."""

from __future__ import annotations

import gc
import importlib
import json
import keyword
import sys
import time
from dataclasses import replace
from itertools import count
from pathlib import Path

import typer
from typer import Abort, Exit
from typer._click.exceptions import ClickException, NoSuchOption, UsageError
from typer.core import TyperGroup

from mlctl import __version__
from mlctl.cli.catalogue import commands
from mlctl.cli.main import OUTPUT, VALUED
from mlctl.types.diagnostic import Diagnostic, ExitCode, MlctlError, did_you_mean, system_refused
from mlctl.types.secret import HIDDEN, redacted

_GARBAGE_THRESHOLD = (
    100_000  # objects more before the next look; Python's own 700 costs a tenth of a plan of 1,000 resources
)

# What others call it. A near spelling of another command would mislead.
_MEANT = {
    "lineage": "see `mlctl graph` for what is made of what, and `mlctl models provenance` for what a model is made of",
}


def dispatch(name: str, arguments: list[str]) -> int:
    """Import the command's module and run it. Its exit code is what it returns, or what its error says."""
    as_json = "--json" in arguments
    if name not in commands():
        return fail([_unknown(name)], ExitCode.ERROR, as_json=as_json)
    module = importlib.import_module(f"mlctl.cli.commands.{module_of(name)}")
    app: typer.Typer = module.app
    _collect_seldom()
    try:
        program = typer.main.get_command(app)
        lone = isinstance(program, TyperGroup) and (not arguments or arguments[0] in VALUED)
        code = program.main(args=["--help"] if lone else arguments, prog_name=f"mlctl {name}", standalone_mode=False)
        return ExitCode.ERROR if lone else int(code or 0)
    except Exit as stop:
        return stop.exit_code
    except UsageError as error:
        command = error.ctx.command_path if error.ctx is not None else f"mlctl {name}"
        return fail(
            [Diagnostic("cli.usage", _listed(error).format_message(), "", f"see `{command} --help`")],
            ExitCode.ERROR,
            as_json=as_json,
        )
    except ClickException as error:
        return fail([Diagnostic("cli.error", error.format_message())], ExitCode.ERROR, as_json=as_json)
    except (Abort, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
        return ExitCode.INTERRUPTED
    except MlctlError as error:
        return fail(list(error.diagnostics), error.exit_code, as_json=as_json)
    except SystemExit as end:  # Typer's answer to a pipe that nobody reads
        raise BrokenPipeError from end
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.filename == OUTPUT:
            raise  # `main` tells it
        return fail([system_refused(error)], ExitCode.ERROR, as_json=as_json)
    except Exception as error:
        return fail([_report(error, [name, *arguments])], ExitCode.BUG, as_json=as_json)


def _listed(error: UsageError) -> UsageError:
    """The same error, with suggestions of options that the help lists too."""
    if isinstance(error, NoSuchOption) and error.ctx is not None and error.possibilities:
        hidden = {name for item in error.ctx.command.params if getattr(item, "hidden", False) for name in item.opts}
        error.possibilities = [name for name in error.possibilities if name not in hidden]
    return error


def _collect_seldom() -> None:
    """Go on looking for garbage where `main` stopped it: not among the modules, which stay, and seldom, since little is in cycles."""
    if not gc.isenabled():
        gc.freeze()
        gc.set_threshold(_GARBAGE_THRESHOLD)
        gc.enable()


def module_of(name: str) -> str:
    """The module of a command: `force-unlock` is in `force_unlock.py`, and `import`, a word of Python, in `import_.py`."""
    plain = name.replace("-", "_")
    return f"{plain}_" if keyword.iskeyword(plain) else plain


def fail(diagnostics: list[Diagnostic], code: ExitCode, *, as_json: bool = False) -> int:
    """Show diagnostics, on stderr for people and on stdout as JSON lines for machines; secrets are in neither."""
    diagnostics = [
        replace(item, summary=redacted(item.summary), why=redacted(item.why), fix=redacted(item.fix))
        for item in diagnostics
    ]
    if as_json:
        from mlctl.views.json.diagnostics import to_json

        for item in diagnostics:
            print(json.dumps(to_json(item)))
    else:
        from mlctl.views.human import diagnostics as view
        from mlctl.views.human.style import wants_color, width

        sys.stdout.flush()
        print(view.render(diagnostics, color=wants_color(sys.stderr), width=width()).rstrip(), file=sys.stderr)
    return code


def _unknown(name: str) -> Diagnostic:
    """The diagnostic for what stands where a command should."""
    if name in VALUED:
        return Diagnostic("cli.usage", f"`{name}` needs a value", "", f"for example `mlctl {name} NAME plan`")
    if name.startswith("-"):
        why = "before a command stand only `-C`, `-f`, `-e` and `--var`; all other options come after it"
        return Diagnostic("cli.usage", f"there is no option `{name}` here", why, "see `mlctl --help`")
    fix = _MEANT.get(name) or did_you_mean(name, commands()) or "see `mlctl --help`"
    return Diagnostic("cli.unknown-command", f"there is no command `{name}`", "", fix)


def _report(error: Exception, arguments: list[str]) -> Diagnostic:
    """Write a report of a bug, and say where it is."""
    import platform
    import traceback

    said = [f"{item.partition('=')[0]}={HIDDEN}" if "=" in item else item for item in arguments]  # values of `--var`
    machine = f"mlctl {__version__}, Python {platform.python_version()}, {platform.platform()}"
    text = redacted(f"{machine}\narguments: {said}\n\n{''.join(traceback.format_exception(error))}")
    try:
        where = f"please report it with the file {_written(text)}"
    except OSError:
        where = f"please report it with this trace:\n{text}"
    return Diagnostic(
        "bug.internal",
        f"mlctl has a bug: {type(error).__name__}: {error}",
        "this should never happen, and nothing of the state is lost",
        where,
    )


def _written(text: str) -> Path:
    """The file that a report was put in: a new one, since two bugs may be met in one second. Raises OSError."""
    name = f"mlctl-bug-{time.strftime('%Y%m%d-%H%M%S')}"
    for number in count(1):
        path = Path.cwd() / (f"{name}.txt" if number == 1 else f"{name}-{number}.txt")
        try:
            with open(path, "x", encoding="utf-8", errors="backslashreplace") as stream:
                stream.write(text)
        except FileExistsError:
            continue
        break
    return path
