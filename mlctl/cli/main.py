"""The entry point: finds the command, runs it, and turns every end into an exit code and a message."""

from __future__ import annotations

import atexit
import gc
import io
import os
import sys
from collections.abc import Sequence

# pydantic looks through every installed package for plugins of its own; that is a tenth of a plan's time, and we use none
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

VALUED = {"-C", "--project", "-f", "--file", "-e", "--env", "--var", "--var-file"}


OUTPUT = "<stdout>"  # the file of an error that came of printing


class _Output(io.TextIOWrapper):
    """What is printed. When it cannot be written, as on a full disk behind `>`, the error says that it was the output."""

    _under: io.TextIOWrapper

    @classmethod
    def over(cls, stream: io.TextIOWrapper) -> _Output:
        """Over the same bytes as another. What its encoding has no letters for is escaped."""
        stream.flush()
        at_once, through = stream.line_buffering, stream.write_through
        made = cls(stream.buffer, stream.encoding, "backslashreplace", line_buffering=at_once, write_through=through)
        made._under = stream  # which closes the bytes when nobody holds it any more
        return made

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError as error:
            error.filename = OUTPUT
            raise

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            error.filename = OUTPUT
            raise


def main() -> None:
    """Run the command line of this process and exit."""
    if sys.getfilesystemencoding() == "ascii" and os.environ.get("PYTHONUTF8") != "1":
        _in_utf8()
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started us, as `>&-` and some schedulers do
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))
    sys.stdout = _Output.over(sys.stdout)  # type: ignore[arg-type]
    gc.disable()  # modules that are imported are no garbage; `dispatch` goes on with it
    try:
        code = run(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of a pipe (head, less) went away: not an error of ours
        mute()
        code = 0
    except OSError as error:  # such as a full disk behind `>`
        mute()
        print(f"error[cli.cannot-write]: the output cannot be written: {error.strerror}", file=sys.stderr)
        code = 1
    except KeyboardInterrupt:
        code = 130
    _end(code)


def _in_utf8() -> None:
    """Begin again with files that may be called anything: a locale of ASCII alone has no names for `daten/größe.csv`."""
    os.environ["PYTHONUTF8"] = "1"  # for the programs that we start too
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606  it is this program


def _end(code: int) -> None:
    """End the process without taking it apart object by object, which takes longer than some commands."""
    threading = sys.modules.get("threading")
    if threading is not None and threading.active_count() > 1:  # somebody's thread is to be waited for
        sys.exit(code)
    try:
        sys.stderr.flush()
    except OSError:
        pass  # nobody reads it
    atexit._run_exitfuncs()  # of tools that were used in this process
    os._exit(code)


def mute() -> None:
    """Send what is still printed to nowhere, what sits in the buffer included; else Python complains of it at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


def run(arguments: Sequence[str]) -> int:
    """Run a command line and give its exit code. Only --version and the root help are answered without imports."""
    leading, rest = _split(arguments)
    if rest and rest[0] in ("--version", "version") and len(rest) == 1:
        from mlctl import __version__

        print(f"mlctl {__version__}")
        return 0
    if not rest or rest[0] in ("-h", "--help", "help"):
        from mlctl.cli.catalogue import help_text

        sys.stdout.write(help_text())
        return 0 if rest else 1
    from mlctl.cli.dispatch import dispatch

    if {"-h", "--help"} & set(rest[1:]):
        leading = []  # help is of no project, and that of a group of commands takes no such options
    return dispatch(rest[0], [*rest[1:], *leading])


def _split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Project options that stand before the command, and the command with all that follows."""
    leading: list[str] = []
    rest = list(arguments)
    while rest and rest[0].startswith("-"):
        name, equals, _ = rest[0].partition("=")
        if name not in VALUED or (not equals and len(rest) < 2):
            break
        take = 1 if equals else 2
        leading += rest[:take]
        rest = rest[take:]
    return leading, rest


if __name__ == "__main__":
    main()
