"""What a command that changes something leaves behind: its run, with its events as they come and how it ended."""

from __future__ import annotations

import os
from contextlib import suppress

from mlctl.engine.applier import Applied
from mlctl.engine.ledger import Ledger
from mlctl.engine.runs import RunFolder, now, share
from mlctl.engine.saved import codec
from mlctl.engine.store import LocalStore
from mlctl.types.change import Plan
from mlctl.types.diagnostic import MlctlError
from mlctl.types.event import Event, StepGate, StepProgress
from mlctl.types.secret import Secrets
from mlctl.views.human.result import counts
from mlctl.views.json import diagnostics as json_diagnostics
from mlctl.views.json import plan as json_view
from mlctl.workspace import Workspace


class Recorder:
    """Writes down one run. A disk that is full must not stop the work: the state says what was done, this only tells of it."""

    def __init__(self, folder: RunFolder, workspace: Workspace, secrets: Secrets) -> None:
        self.folder = folder
        self.handed_over = False  # to a supervisor, which then writes the end
        self._workspace = workspace
        self.secrets = secrets
        self._objects: dict[str, str] = {}

    def begin(self, plan: Plan) -> None:
        """The run is under way: the lock is held, the plan is what follows."""
        with suppress(OSError):
            self.folder.update(phase="applying", pid=os.getpid())
        for line in (json_view.header(), *json_view.lines(plan)):
            self._write(line)

    def tell(self, event: Event) -> None:
        """One event. Beside what `--json` prints stands the whole change, for whoever follows the run as on a terminal."""
        line = json_view.event_json(event)
        if not isinstance(event, StepGate | StepProgress):
            line["change"] = codec.change_json(event.change)
        self._write(line)

    def used(self, ledger: Ledger) -> None:
        """Which objects are in use when the work is done: what a rollback would go back to."""
        made = {record.key.address: ledger.made(record.key.address) for record in ledger}
        self._objects = {
            str(address): str(record.key) for address, record in sorted(made.items()) if record is not None
        }

    def end(self, applied: Applied) -> None:
        """The run is over, or goes on with the supervisor that took it over."""
        if not self.handed_over:
            summary = {
                "type": "apply_summary",
                "exit_code": int(applied.exit_code),
                "seconds": round(applied.seconds, 3),
            }
            self._write({**summary, **counts(applied)})
            self._finish(int(applied.exit_code), counts(applied))
        self.folder.let_go()

    def fail(self, error: MlctlError) -> None:
        """The run broke off: the state could not be written, or the like."""
        if not self.handed_over:
            for item in error.diagnostics:
                self._write(json_diagnostics.to_json(item))
            self._finish(int(error.exit_code), {})
        self.folder.let_go()

    def cut_off(self, code: int) -> None:
        """The process is about to end in the middle of it."""
        if not self.handed_over:
            with suppress(OSError, MlctlError):
                self.folder.update(phase="ended", ended=now(), exit_code=code)

    def _finish(self, code: int, tally: dict[str, int]) -> None:
        with suppress(OSError, MlctlError):
            serial = self._workspace.store.read().serial
            self.folder.update(
                phase="ended", ended=now(), exit_code=code, counts=tally, serial_after=serial, objects=self._objects
            )
        self._share()

    def _share(self) -> None:
        """Keep the run beside a state that others share. That it cannot be kept there is no failure of the work."""
        if not isinstance(self._workspace.store, LocalStore):
            with suppress(OSError, MlctlError):
                share(self.folder, self._workspace.store)

    def _write(self, line: dict[str, object]) -> None:
        with suppress(OSError):
            self.folder.tell(self.secrets.hidden(line))
