"""How a person, a shell or a scheduler ends an apply early: detach, stop at the next checkpoint, or kill.

On a terminal the first Ctrl-C asks, while the running steps go on, and the second kills. Elsewhere nobody can be asked:
what can go on alone does, the rest stops at its next safe point. Nothing is lost either way: the journal is on the disk.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from mlctl.engine.runs import RunFolder
from mlctl.types.diagnostic import ExitCode
from mlctl.types.interrupt import Interrupt, Manner

_SHOW_CURSOR = "\x1b[?25h"  # live lines hide it
_KILL_GRACE_SECONDS = 3.0  # what a step that does not listen gets before the process ends without it
_POLL_SECONDS = 0.1
_QUESTION = "\n[d]etach / [s]top at the next checkpoint / [k]ill / [c]ontinue? "
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_TOLD = {
    Manner.DETACH: "stopping: trainings go on alone, and the next `mlctl apply` joins them; the rest is asked to save and end",
    Manner.STOP: "stopping: running steps are asked to save and end; press again to leave at once (nothing is lost)",
    Manner.KILL: "killing: running steps end now; what their last checkpoints hold is kept",
}


@dataclass
class Ending:
    """What this command does when it is asked to end.

    `detach` starts a supervisor that carries the run on and says how to join it; without it nobody is asked, and `default`
    is what a signal means. `pause` and `resume` take live lines off the terminal while a question stands there.
    """

    stop: Interrupt
    run: RunFolder | None = None
    default: Manner = Manner.DETACH
    detach: Callable[[], str] | None = None
    pause: Callable[[], None] = lambda: None
    resume: Callable[[], None] = lambda: None
    before_leaving: Callable[[], None] = lambda: None


class _Asker(threading.Thread):
    """Asks on the terminal in a thread of its own, so that steps begin, go on and end meanwhile."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(name="mlctl-ask", daemon=True)
        self.ending = ending
        self.wanted = threading.Event()
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.is_set():
            if not self.wanted.wait(_POLL_SECONDS):
                continue
            self.ending.pause()
            try:
                self._act(self._answer())
            finally:
                self.wanted.clear()
                self.ending.resume()

    def _answer(self) -> str:
        """The first letter of what was typed; `c` when the apply is over before that, `d` when the terminal is gone."""
        _say(_QUESTION)
        while not self.over.is_set() and not self.ending.stop.is_set():
            ready, _, _ = select.select([sys.stdin], [], [], _POLL_SECONDS)
            if not ready:
                continue
            typed = os.read(sys.stdin.fileno(), 1024)
            if not typed:
                return "d"
            letter = typed.decode(errors="replace").strip().lower()[:1]
            if letter in ("d", "s", "k", "c"):
                return letter
            _say(_QUESTION)
        return "c"

    def _act(self, letter: str) -> None:
        if letter == "d" and self.ending.detach is not None:
            _say(f"{self.ending.detach()}\n")
            self.ending.stop.request(Manner.DETACH)
        elif letter == "s":
            _say(f"{_TOLD[Manner.STOP]}\n")
            self.ending.stop.request(Manner.STOP)
        elif letter == "k":
            _kill(self.ending)


@contextmanager
def interruptible(ending: Ending) -> Iterator[None]:
    """Turn signals into requests to end for as long as the block runs."""
    asks = ending.detach is not None and sys.stdin.isatty() and sys.stdout.isatty()
    asker = _Asker(ending) if asks else None
    if asker is not None:
        asker.start()

    terminals = [handle for handle in (1, 2) if os.isatty(handle)]

    def on_signal(number: int, frame: object) -> None:
        if number == signal.SIGHUP:
            _forget(terminals)
        asked = None if ending.run is None else ending.run.asked()
        if number == signal.SIGINT and asker is not None and not ending.stop.is_set():
            if asker.wanted.is_set():
                _kill(ending)
            else:
                asker.wanted.set()
        elif asked is not None:
            _end(ending, Manner.KILL if asked == "kill" else Manner.STOP)
        else:
            _end(ending, ending.default)

    # who started us may have hangups ignored, as nohup does: that is to stay so
    heard = [number for number in _SIGNALS if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, on_signal) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if asker is not None:
            asker.over.set()
            asker.join()


def _forget(terminals: Iterable[int]) -> None:
    """Send what is still said to nowhere, where the terminal that it was for went away: writing there is an error from now on."""
    for handle in terminals:
        if not os.isatty(handle):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, handle)
            os.close(nowhere)


def _end(ending: Ending, manner: Manner) -> None:
    """The first signal asks in this manner; the next one kills."""
    if ending.stop.is_set() or manner is Manner.KILL:
        _kill(ending)
    else:
        ending.stop.request(manner)
        _say(f"\n{_TOLD[manner]}\n")


def _kill(ending: Ending) -> None:
    """End the steps now; and this process too, when one of them does not listen or it is asked yet again.

    It then ends there and then: an exception would wait for the threads of steps that do not listen.
    """
    if ending.stop.manner is Manner.KILL:
        _leave(ending)
    ending.stop.request(Manner.KILL)
    _say(f"\n{_TOLD[Manner.KILL]}\n")
    timer = threading.Timer(_KILL_GRACE_SECONDS, _leave, [ending])
    timer.daemon = True
    timer.start()


def _leave(ending: Ending) -> None:
    with suppress(Exception):
        ending.before_leaving()
    if sys.stdout.isatty():
        _say(_SHOW_CURSOR)
    os._exit(ExitCode.INTERRUPTED)


def _say(text: str) -> None:
    """Write to stderr from a signal handler, which may have interrupted a print."""
    with suppress(OSError):
        os.write(2, text.encode())
