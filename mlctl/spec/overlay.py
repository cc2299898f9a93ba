"""One block of values laid over another, by the rules of JSON Merge Patch (RFC 7396)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mlctl.types.value import Json

YamlPath = tuple[str | int, ...]


def laid_over(base: Json, over: Json) -> Json:
    """`base` with `over` on it: blocks merge, everything else replaces, `null` takes a field away. Changes neither."""
    if not isinstance(over, Mapping):
        return over
    result = dict(base) if isinstance(base, Mapping) else {}
    for name, value in over.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = laid_over(result.get(name), value)
    return result


def idle_removals(base: Json, over: Json, path: YamlPath = ()) -> Iterator[YamlPath]:
    """Where `over` takes away what `base` does not have: a mistake, since it has no effect."""
    if isinstance(over, Mapping):
        for name, value in over.items():
            below = base.get(name) if isinstance(base, Mapping) else None
            if value is None:
                if not isinstance(base, Mapping) or name not in base:
                    yield (*path, name)
            else:
                yield from idle_removals(below, value, (*path, name))
