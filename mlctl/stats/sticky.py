"""Ranges of arms that change as little as can be: a unit keeps its arm when coverage or weights change, wherever it can.

An arm keeps what it has as far as its new share allows. What it needs more it takes from units that were in no arm yet, and
only when there are none left from those that another arm had to give up. So raising the coverage moves nobody, and a change
of weights moves no more units than the weights themselves ask for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from mlctl.stats.assignment import ranges

Piece = tuple[float, float]
_NOTHING = 1e-12


def anchored(
    before: Mapping[str, Sequence[Piece]], weights: Mapping[str, float], coverage: float = 1.0
) -> dict[str, tuple[Piece, ...]]:
    """The ranges of each arm, given those it had. Without any before, those of `mlctl.stats.assignment.ranges`."""
    plain = {arm.name: [(arm.start, arm.end)] for arm in ranges(weights, coverage)}
    wanted = {name: _length(pieces) for name, pieces in plain.items()}
    kept = {name: _keep(list(before.get(name, ())), plain[name], wanted[name]) for name in weights}
    had = [piece for pieces in before.values() for piece in pieces]
    fresh = _without([(0.0, 1.0)], had)
    released = _without(had, [piece for pieces in kept.values() for piece in pieces])
    for pool in (fresh, released):
        for own_place in (True, False):
            for name, pieces in kept.items():
                room = _common(pool, plain[name]) if own_place else pool
                more = _first(room, wanted[name] - _length(pieces))
                pieces.extend(more)
                pool[:] = _without(pool, more)
    return {name: tuple(_merged(pieces)) for name, pieces in kept.items()}


def _keep(mine: list[Piece], plain: list[Piece], wanted: float) -> list[Piece]:
    """As much of what an arm has as its share allows, first of all what would be its own without any history."""
    first = _first(_common(mine, plain), wanted)
    return first + _first(_without(mine, first), wanted - _length(first))


def _first(pieces: Iterable[Piece], length: float) -> list[Piece]:
    """The first pieces up to a length in all."""
    found: list[Piece] = []
    for start, end in sorted(pieces):
        if length <= _NOTHING:
            break
        end = end if end - start <= length + _NOTHING else start + length
        found.append((start, end))
        length -= end - start
    return found


def _without(pieces: Iterable[Piece], taken: Iterable[Piece]) -> list[Piece]:
    """What is left of pieces."""
    left = list(pieces)
    for start, end in taken:
        left = [
            piece
            for low, high in left
            for piece in ((low, min(high, start)), (max(low, end), high))
            if piece[1] - piece[0] > _NOTHING
        ]
    return sorted(left)


def _common(pieces: Iterable[Piece], others: Iterable[Piece]) -> list[Piece]:
    """What lies in both."""
    found = [(max(a, c), min(b, d)) for a, b in pieces for c, d in others]
    return [piece for piece in found if piece[1] - piece[0] > _NOTHING]


def _merged(pieces: Iterable[Piece]) -> list[Piece]:
    """Pieces that touch become one."""
    found: list[Piece] = []
    for start, end in sorted(pieces):
        if found and start - found[-1][1] <= _NOTHING:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return found


def _length(pieces: Iterable[Piece]) -> float:
    return sum(end - start for start, end in pieces)
