"""The one place from which a kind is asked something that changes nothing. A kind may be anybody's, and a record may have been
written by hand: whatever a method raises, or gives of the wrong type, leaves as an MlctlError that names the kind and the resource.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from mlctl.estimate.prices import with_rates
from mlctl.estimate.workload import Workload
from mlctl.provider import ChecksTogether, Context, Describes, Desired, Estimates, Keyed, Kind, Movable, Observed
from mlctl.types.address import Address
from mlctl.types.change import FieldChange
from mlctl.types.diagnostic import Diagnostic, MlctlError, system_refused
from mlctl.types.estimate import Estimate
from mlctl.types.state import Record

T = TypeVar("T")


def check(kind: Kind, address: Address, spec: Any, ctx: Context) -> Sequence[Diagnostic]:
    """The problems that a kind finds in a block offline."""
    return _asked(kind, "check", address, lambda: _all(Diagnostic, kind.check(spec, ctx)))


def check_together(
    kind: Kind, specs: Mapping[Address, Any], uses: Mapping[Address, Collection[Address]], ctx: Context
) -> Sequence[tuple[Address, Diagnostic]]:
    """The contradictions that a kind finds between blocks of a project; most kinds look for none."""
    if not isinstance(kind, ChecksTogether):
        return ()
    first = next(address for address in specs if address.section == kind.section)
    return _asked(kind, "check_together", first, lambda: tuple(kind.check_together(specs, uses, ctx)))


def parts(kind: Kind, address: Address, spec: Any, ctx: Context) -> Mapping[str, str]:
    """What the content key of a resource has in it beside its spec and inputs; nothing for most kinds."""
    if not isinstance(kind, Keyed):
        return {}
    try:
        return _asked(kind, "parts", address, lambda: _texts(kind.parts(spec, ctx)))
    except MlctlError as error:
        raise _about(error, address) from error


def read(kind: Kind, prior: Record, ctx: Context) -> Observed | None:
    """The real object, None when it is gone."""
    return _asked(kind, "read", prior.key.address, lambda: _observed(kind.read(prior, ctx)))


def diff(kind: Kind, desired: Desired, prior: Record, seen: Observed) -> Sequence[FieldChange]:
    """What differs between recorded, desired and observed."""
    return _asked(kind, "diff", desired.address, lambda: _all(FieldChange, kind.diff(desired, prior, seen)))


def describe(kind: Kind, prior: Record) -> str:
    """What a kind has to say about an object in a line; nothing for many."""
    if not isinstance(kind, Describes):
        return ""
    return _asked(kind, "describe", prior.key.address, lambda: _text(kind.describe(prior)))


def estimate(kind: Kind, desired: Desired, made: Sequence[Record], ctx: Context) -> Estimate | None:
    """What the making of an object would take, where the kind can tell. `made` are the kind's own objects, oldest first."""
    if not isinstance(kind, Estimates):
        return None
    try:
        return _asked(kind, "estimate", desired.address, lambda: _priced(kind, desired, made, ctx))
    except MlctlError as error:
        raise _about(error, desired.address) from error


def workload(kind: Kind, desired: Desired, made: Sequence[Record], ctx: Context) -> Workload | None:
    """What a resource is as far as devices matter, where the kind can tell. `made` are the kind's own objects, oldest first."""
    if not isinstance(kind, Movable):
        return None
    try:
        return _asked(kind, "workload", desired.address, lambda: kind.workload(desired, made, ctx))
    except MlctlError as error:
        raise _about(error, desired.address) from error


def _about(error: MlctlError, address: Address) -> MlctlError:
    """The same with the address: not all of a kind is told it, and whoever reads this has to know which of many it was."""
    return MlctlError(
        [replace(item, address=item.address or str(address)) for item in error.diagnostics], error.exit_code
    )


def _asked(kind: Kind, method: str, address: Address, call: Callable[[], T]) -> T:
    try:
        return call()
    except MlctlError:
        raise
    except OSError as error:
        raise MlctlError([system_refused(error, str(address))]) from error
    except Exception as error:
        raise MlctlError(
            [
                Diagnostic(
                    "bug.kind",
                    f"{address}: `{type(kind).__name__}.{method}` of `{kind.section}` ended with {type(error).__name__}: {error}",
                    f"it happened at {_place(error)}; what mlctl asked for changes nothing, so nothing was lost",
                    "report it to whoever wrote the kind; if somebody edited the state, `mlctl state show` tells what it holds",
                    address=str(address),
                )
            ]
        ) from error


def _place(error: Exception) -> str:
    """The file, line and function that raised."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    if frame is None:
        return "a place that is not known"
    code = frame.tb_frame.f_code
    return f"{Path(code.co_filename).name}:{frame.tb_lineno} in {code.co_name}"


def _observed(seen: Any) -> Observed | None:
    if seen is not None and not isinstance(seen, Observed):
        raise TypeError(f"it gave {seen!r:.60} instead of an Observed or None")
    return seen


def _priced(kind: Estimates, desired: Desired, made: Sequence[Record], ctx: Context) -> Estimate | None:
    """The estimate, with the prices that were asked for on the way."""
    prices = ctx.prices.watched()
    found = _foreseen(kind.estimate(desired, made, replace(ctx, prices=prices)))
    return found if found is None or not prices.used else with_rates(found, prices)


def _foreseen(given: Any) -> Estimate | None:
    if given is not None and not isinstance(given, Estimate):
        raise TypeError(f"it gave {given!r:.60} instead of an Estimate or None")
    return given


def _all(wanted: type[T], given: Iterable[Any]) -> Sequence[T]:
    found = tuple(given)
    for item in found:
        if not isinstance(item, wanted):
            raise TypeError(f"it gave {item!r:.60} instead of a {wanted.__name__}")
    return found


def _texts(given: Any) -> Mapping[str, str]:
    found = dict(given)
    for name, value in found.items():
        if not (isinstance(name, str) and isinstance(value, str)):
            raise TypeError(f"it gave {name!r:.40}: {value!r:.40}; each name and each value is a text")
    return found


def _text(given: Any) -> str:
    if not isinstance(given, str):
        raise TypeError(f"it gave {given!r:.60} instead of a text")
    return given
