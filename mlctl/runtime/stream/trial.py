"""A trial of events before they are kept for good: one that no window can be computed over would stop every later step.

The log forgets nothing, so such an event would also fail every materialization. It belongs with the dead letters.
"""

# ruff: noqa: S608 (names go through quote(), expressions are checked before they come here)

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import duckdb

from mlctl.runtime.features.expression import embed, with_expressions
from mlctl.runtime.features.inputs import Input, inputs_of
from mlctl.runtime.features.partials import measure
from mlctl.runtime.profile.database import database, quote, shorten
from mlctl.runtime.stream.log import log_relation
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.features import MaterializeParams
from mlctl.types.jobs.stream import SEQUENCE


class Trial:
    """Computes with events as the windows will: filters, expressions, and what is summed. To be used by one thread."""

    def __init__(self, view: MaterializeParams, folder: Path) -> None:
        self._view = view
        self._file = folder / "trial.jsonl"
        self._open = ExitStack()
        self._connection: Any = self._open.enter_context(database(folder / "trial"))
        self._inputs: list[Input] | None = None

    def close(self) -> None:
        """Let the database go."""
        self._open.close()
        self._file.unlink(missing_ok=True)

    def refused(self, events: Sequence[Mapping[str, Any]]) -> dict[int, str]:
        """The events, by their place, that windows cannot be computed over, and why. The others can be, all together."""
        if not events:
            return {}
        reason = self._fails(events)
        if not reason:
            return {}
        if len(events) == 1:
            return {0: reason}
        middle = len(events) // 2
        found = self.refused(events[:middle])
        return found | {middle + place: why for place, why in self.refused(events[middle:]).items()}

    def _fails(self, events: Sequence[Mapping[str, Any]]) -> str:
        """Why the windows over these events cannot be computed, or nothing."""
        with open(self._file, "w", encoding="utf-8") as stream:
            stream.writelines(json.dumps({SEQUENCE: 0, **event}, ensure_ascii=False) + "\n" for event in events)
        view, run = self._view, self._connection.execute
        table = with_expressions(log_relation([self._file], view.source), view.expressions)
        where = "" if view.where is None else f" WHERE {embed(view.where)}"
        moment = f"CAST({quote(view.timestamp)} AS TIMESTAMP)"
        try:
            run(f"CREATE OR REPLACE TEMP TABLE tried AS SELECT * FROM ({table}){where}")
            inputs = self._known_inputs()
            values = "".join(f", {item.sql} AS {item.name}" for item in inputs)
            run(f"CREATE OR REPLACE TEMP TABLE events AS SELECT {moment} AS moment, 0 AS step{values} FROM tried")
            measure(self._connection, inputs)
        except duckdb.Error as error:
            return shorten(str(error))
        except MlctlError as error:
            return error.diagnostics[0].summary
        return ""

    def _known_inputs(self) -> list[Input]:
        if self._inputs is None:
            types = {row[0]: row[1].lower() for row in self._connection.execute("DESCRIBE tried").fetchall()}
            self._inputs = list(inputs_of(self._view.features, types).values())
        return self._inputs
