"""What a gateway keeps in its folder, so that it can be opened, and brought back, by a process that knows nothing of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from mlctl.files import atomic
from mlctl.rollout.routes import Routes
from mlctl.runtime.gateway.base import Answered
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.rollout import GatewaySpec

SPEC_FILE = "spec.json"
ROUTES_FILE = "routes.json"
_COUNTS_FILE = "counts.json"

Counted = Mapping[str, tuple[int, int]]  # requests and errors, by whatever counts them


def save_spec(folder: Path, spec: GatewaySpec) -> None:
    """Replace the spec, if it is another."""
    _save(folder / SPEC_FILE, spec.model_dump(mode="json"))


def load_spec(folder: Path) -> GatewaySpec | None:
    """The spec of the last start."""
    stored = atomic.read_object(folder / SPEC_FILE)
    return None if stored is None else GatewaySpec.model_validate(stored)


def save_routes(folder: Path, routes: Routes) -> None:
    """Replace the routes, if they are others."""
    _save(folder / ROUTES_FILE, routes_to(routes))


def load_routes(folder: Path) -> Routes | None:
    """The routes of the last `configure`."""
    stored = atomic.read_object(folder / ROUTES_FILE)
    return None if stored is None else routes_from(stored)


def routes_to(routes: Routes) -> dict[str, Any]:
    """As JSON. The order of shares means something, and objects of files are sorted: they become lists."""
    return {
        "backends": {name: asdict(backend) for name, backend in routes.backends.items()},
        "shares": [[name, share] for name, share in routes.shares.items()],
        "unit": None if routes.unit is None else routes.unit.model_dump(mode="json"),
        "mirror": None if routes.mirror is None else asdict(routes.mirror),
        "serial": routes.serial,
    }


def routes_from(stored: Mapping[str, Any]) -> Routes:
    """Read what `routes_to` wrote. Raises ValueError."""
    return _ROUTES.validate_python({**stored, "shares": dict(stored["shares"])})


_ROUTES = TypeAdapter(Routes)


class Tally:
    """Counts that only grow, of sources that begin anew from nothing or vanish: what those had counted is kept in a file."""

    def __init__(self, folder: Path, variant: Callable[[str], tuple[str, bool]]) -> None:
        self._path = folder / _COUNTS_FILE
        self._variant = variant
        stored = atomic.read_object(self._path) or {}
        self._settled = {name: (int(item[0]), int(item[1])) for name, item in stored.get("settled", {}).items()}
        self._last = {name: (int(item[0]), int(item[1])) for name, item in stored.get("last", {}).items()}
        self._life = stored.get("life")

    def take(self, counted: Counted, life: str) -> None:
        """What the sources say now, in this life of the process that has them. Who says less than before was gone meanwhile."""
        before = (dict(self._settled), dict(self._last), self._life)
        for name, last in self._last.items():
            now = counted.get(name, (0, 0))
            if life != self._life or now[0] < last[0] or now[1] < last[1]:
                self._settled[name] = _plus(self._settled.get(name, (0, 0)), last)
        self._last, self._life = dict(counted), life
        if before != (self._settled, self._last, self._life):
            with suppress(OSError):  # a disk that is full stops no counting: who has the counts still has them
                atomic.write_json(self._path, {"settled": self._settled, "last": self._last, "life": life})

    def totals(self, *, mirrored: bool) -> dict[str, Answered]:
        """By variant."""
        found: dict[str, tuple[int, int]] = {}
        for counts in (self._settled, self._last):
            for name, item in counts.items():
                variant, copies = self._variant(name)
                if copies == mirrored:
                    found[variant] = _plus(found.get(variant, (0, 0)), item)
        return {variant: Answered(*item) for variant, item in found.items()}


def _plus(one: tuple[int, int], two: tuple[int, int]) -> tuple[int, int]:
    return one[0] + two[0], one[1] + two[1]


def write(path: Path, value: Mapping[str, Any]) -> None:
    """Swap a file. Raises MlctlError `gateway.cannot-write`; what was there stays."""
    try:
        atomic.write_json(path, value)
    except OSError as error:
        raise MlctlError.of(
            "gateway.cannot-write",
            f"the gateway's {path.name} cannot be written",
            str(error),
            f"make room in {path.parent}, or give yourself the right to write there",
        ) from None


def _save(path: Path, value: dict[str, Any]) -> None:
    if atomic.read_object(path) != value:
        write(path, value)
