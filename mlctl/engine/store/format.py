"""The bytes of a state file, and how each older format becomes the present one.

The first line is the head: format, lineage, serial, whose it is, what is held, and who wrote it when, doing what. Then one object a
line, sorted, so that equal contents are equal bytes and diffs are short. The last line is the CRC-32 of all before it;
only what `mlctl state push` is given may be without.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from mlctl.types.address import ObjectKey
from mlctl.types.diagnostic import MlctlError
from mlctl.types.state import FORMAT, Held, Record, State

_TAIL = b'\n}, "checksum": "'


class DamagedError(ValueError):
    """Bytes that are not a state any more, and what is wrong with them."""


@dataclass(frozen=True, slots=True)
class Head:
    """The first line of a state file. `written` says by whom, when, in which operation, with how many changes."""

    format: int
    lineage: str
    serial: int
    written: Mapping[str, Any]


def encode(state: State, written: Mapping[str, Any] | None = None) -> bytes:
    """The bytes of a state file."""
    lines = [
        f"{json.dumps(str(key))}: {json.dumps(record.to_json(), sort_keys=True, allow_nan=False)}"
        for key, record in sorted(state.objects.items())
    ]
    head = {"format": FORMAT, "lineage": state.lineage, "serial": state.serial, "written": dict(written or {})}
    head |= _told(state)
    text = json.dumps(head)[:-1] + ', "objects": {\n' + ",\n".join(lines)
    body = text.encode("utf-8", "surrogatepass")
    return body + _TAIL + b'%08x"}\n' % zlib.crc32(body)


def decode(data: bytes, *, sealed: bool = True) -> State:
    """Read a state file of any format up to the present; `sealed` asks for the checksum that mlctl writes since format 2.

    Raises DamagedError, and MlctlError for a newer format.
    """
    try:
        value = json.loads(data)
        stored = _format(value)
        if "checksum" in value or (sealed and stored > 1):
            _compare(data, value.get("checksum"))
        for older in range(stored, FORMAT):
            value = UPGRADES[older](value)
        objects = {}
        for name, item in value["objects"].items():
            key = ObjectKey.parse(name)
            objects[key] = Record.from_json(key, item)
        held = None if value.get("held") is None else Held(**value["held"])
        project = _text(value.get("project", ""))
        return State(_text(value["lineage"]), _number(value["serial"]), objects, held, project)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise error if isinstance(error, DamagedError) else DamagedError(f"{type(error).__name__}: {error}") from error


def head(line: bytes) -> Head:
    """Read the first line of a state file. Raises DamagedError, and MlctlError for a newer format."""
    try:
        value = json.loads(line.rstrip() + b"}}") if line.rstrip().endswith(b"{") else json.loads(line)
        return Head(_format(value), _text(value["lineage"]), _number(value["serial"]), dict(value.get("written") or {}))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedError(f"{type(error).__name__}: {error}") from error


def to_json(state: State) -> dict[str, Any]:
    """A state as one JSON value, as `mlctl state pull` prints it and `mlctl state push` reads it."""
    value: dict[str, Any] = {"format": FORMAT, "lineage": state.lineage, "serial": state.serial, **_told(state)}
    return {**value, "objects": {str(key): record.to_json() for key, record in sorted(state.objects.items())}}


def _told(state: State) -> dict[str, Any]:
    """What a head says only where there is something to say."""
    held = {} if state.held is None else {"held": asdict(state.held)}
    return {**held, "project": state.project} if state.project else held


def _compare(data: bytes, checksum: object) -> None:
    body, mark, _ = data.rpartition(_TAIL)
    if not mark or f"{zlib.crc32(body):08x}" != checksum:
        raise DamagedError("its checksum does not match: it was changed after mlctl wrote it")


def _format(value: Any) -> int:
    stored = _number(value["format"])
    if stored > FORMAT:
        raise MlctlError.of(
            "state.newer-format",
            f"the state has format {stored}, this mlctl knows formats up to {FORMAT}",
            "a newer mlctl wrote it",
            "upgrade mlctl",
        )
    if stored < 1:
        raise DamagedError(f"there is no format {stored}")
    return stored


def _number(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise DamagedError(f"{value!r} stands where a number should")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise DamagedError(f"{value!r} stands where a text should")
    return value


def _from_1(value: dict[str, Any]) -> dict[str, Any]:
    """Format 2 added approvals of gates, protection, origins, failures and what is held: all absent means none."""
    return {**value, "format": 2}


# From each older format to the next one. A fixture of every format stands in tests/unit/engine/fixtures.
UPGRADES: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _from_1}
