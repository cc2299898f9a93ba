"""Where the boxes and lines of a graph are drawn: in columns by stage, with few crossings, each near what it is made with.

The method is Sugiyama's: layers, then an order in each layer by barycenters, then heights by isotonic regression (pool
adjacent violators), which keeps the order and the room between boxes and moves them as little as that allows.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

WIDTH, HEIGHT = 204.0, 54.0  # of a box
GAP_X, GAP_Y = 60.0, 24.0  # between boxes
_LANE = 16.0  # the height of a line that passes through a layer
_SWEEPS = 12
_TALLEST = 30  # boxes in a column; a layer with more is folded into several
_MOST_WAYPOINTS = 4_000

Point = tuple[float, float]
Item = Hashable


@dataclass(frozen=True)
class Layout:
    """The left upper corner of each box, and the points that each line goes through, from right side to left side."""

    boxes: Mapping[Hashable, Point]
    lines: Mapping[tuple[Hashable, Hashable], Sequence[Point]]
    columns: Sequence[float]  # the left side of each layer
    layers: Sequence[Sequence[Hashable]]
    width: float
    height: float


def arrange(nodes: Mapping[Any, str], links: Iterable[tuple[Any, Any]]) -> Layout:
    """Lay out an acyclic graph. `nodes` gives each node its group; a group lies left of those that are made with it."""
    edges = sorted({(source, target) for source, target in links if source != target}, key=str)
    layers = _layers(nodes, edges)
    rank = {node: index for index, layer in enumerate(layers) for node in layer}
    spans = sum(rank[target] - rank[source] - 1 for source, target in edges)
    folded = any(len(layer) > _TALLEST for layer in layers)
    chains: dict[tuple[Hashable, Hashable], list[Item]] = {}
    rows: list[list[Item]] = [list(layer) for layer in layers]
    for source, target in edges:
        chain: list[Item] = [source]
        if not folded and spans <= _MOST_WAYPOINTS:
            for index in range(rank[source] + 1, rank[target]):
                waypoint = (source, target, index)
                rows[index].append(waypoint)
                chain.append(waypoint)
        chains[source, target] = [*chain, target]
    before, after = _neighbours(chains.values())
    rows = _uncrossed(rows, before, after)
    return _folded(rows, chains) if folded else _placed(rows, chains, before, after, layers)


def _layers(nodes: Mapping[Hashable, str], edges: Sequence[tuple[Hashable, Hashable]]) -> list[list[Hashable]]:
    """Nodes by layer: first by the stage of their group, then by how deep they lie inside of it."""
    stages = _stages(nodes, edges)
    depth: dict[Hashable, int] = dict.fromkeys(nodes, 0)
    sources: dict[Hashable, list[Hashable]] = defaultdict(list)
    for source, target in edges:
        if stages[nodes[source]] == stages[nodes[target]]:
            sources[target].append(source)
    for node in _sorted_by_need(nodes, sources):
        depth[node] = max((depth[source] + 1 for source in sources[node]), default=0)
    found: dict[tuple[int, int], list[Hashable]] = defaultdict(list)
    for node, group in nodes.items():
        found[stages[group], depth[node]].append(node)
    return [sorted(found[key], key=str) for key in sorted(found)]


def _stages(nodes: Mapping[Hashable, str], edges: Sequence[tuple[Hashable, Hashable]]) -> dict[str, int]:
    """The longest way to each group. Groups that use each other share a stage."""
    groups = sorted(set(nodes.values()))
    uses: dict[str, set[str]] = {group: set() for group in groups}
    for source, target in edges:
        if nodes[source] != nodes[target]:
            uses[nodes[target]].add(nodes[source])
    reach = {group: _reachable(group, uses) for group in groups}
    together = {group: min(other for other in groups if other == group or (other in reach[group] and group in reach[other])) for group in groups}  # fmt: skip
    stage: dict[str, int] = {}

    def of(group: str) -> int:
        if group not in stage:
            outside = {together[used] for member in groups if together[member] == group for used in uses[member]} - {
                group
            }
            stage[group] = max((of(used) + 1 for used in sorted(outside)), default=0)
        return stage[group]

    return {group: of(together[group]) for group in groups}


def _reachable(group: str, uses: Mapping[str, set[str]]) -> set[str]:
    found: set[str] = set()
    waiting = list(uses[group])
    while waiting:
        other = waiting.pop()
        if other not in found:
            found.add(other)
            waiting += uses[other]
    return found


def _sorted_by_need(nodes: Iterable[Hashable], sources: Mapping[Hashable, Sequence[Hashable]]) -> list[Hashable]:
    """Each node after its sources. Without recursion, since a chain may be long."""
    done: dict[Hashable, None] = {}
    for start in nodes:
        waiting = [start]
        while waiting:
            node = waiting[-1]
            missing = [source for source in sources.get(node, ()) if source not in done]
            if missing and node not in done:
                waiting += missing
            else:
                done[waiting.pop()] = None
    return list(done)


Neighbours = Mapping[Item, Sequence[Item]]


def _neighbours(chains: Iterable[Sequence[Item]]) -> tuple[Neighbours, Neighbours]:
    before: dict[Item, list[Item]] = defaultdict(list)
    after: dict[Item, list[Item]] = defaultdict(list)
    for chain in chains:
        for left, right in pairwise(chain):
            before[right].append(left)
            after[left].append(right)
    return before, after


def _uncrossed(rows: list[list[Item]], before: Neighbours, after: Neighbours) -> list[list[Item]]:
    """The best order found in some sweeps, each ordering a layer by the middle of what its nodes are linked with."""
    best, least = [list(row) for row in rows], math.inf
    for sweep in range(_SWEEPS):
        forward = sweep % 2 == 0
        place = {item: index / max(1, len(row)) for row in rows for index, item in enumerate(row)}
        for row in rows if forward else reversed(rows):
            linked = before if forward else after
            middle = {item: _mean([place[other] for other in linked.get(item, ())], place[item]) for item in row}
            row.sort(key=lambda item: middle[item])
            place.update({item: index / max(1, len(row)) for index, item in enumerate(row)})
        crossings = sum(_crossings(left, right, after) for left, right in pairwise(rows))
        if crossings < least:
            best, least = [list(row) for row in rows], crossings
        if not crossings:
            break
    return best


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _crossings(left: Sequence[Item], right: Sequence[Item], after: Neighbours) -> int:
    """How many pairs of links between two layers cross: inversions, counted in a tree of sums."""
    place = {item: index for index, item in enumerate(right)}
    sums = [0] * (len(right) + 1)
    total = seen = 0
    for item in left:
        ends = sorted(place[other] for other in after.get(item, ()) if other in place)
        for end in ends:
            index, lower = end + 1, 0
            while index:
                lower += sums[index]
                index -= index & -index
            total += seen - lower
        for end in ends:
            index = end + 1
            while index <= len(right):
                sums[index] += 1
                index += index & -index
            seen += 1
    return total


def _placed(
    rows: list[list[Item]],
    chains: Mapping[tuple[Hashable, Hashable], Sequence[Item]],
    before: Neighbours,
    after: Neighbours,
    layers: Sequence[Sequence[Hashable]],
) -> Layout:
    boxes = {node for layer in layers for node in layer}
    tall = {item: HEIGHT if item in boxes else _LANE for row in rows for item in row}
    middle: dict[Item, float] = {}
    for row in rows:
        at = 0.0
        for item in row:
            middle[item] = at + tall[item] / 2
            at += tall[item] + GAP_Y
    for turn in range(_SWEEPS * 3):
        for row in rows if turn % 2 == 0 else reversed(rows):
            wanted = [
                _mean([middle[other] for other in (*before.get(item, ()), *after.get(item, ()))], middle[item])
                for item in row
            ]
            middle.update(zip(row, _spaced(wanted, [tall[item] for item in row]), strict=True))
    top = min((middle[item] - tall[item] / 2 for item in middle), default=0.0)
    column = {item: index * (WIDTH + GAP_X) for index, row in enumerate(rows) for item in row}
    corner = {item: (column[item], middle[item] - tall[item] / 2 - top) for row in rows for item in row}
    lines: dict[tuple[Hashable, Hashable], list[Point]] = {}
    for ends, chain in chains.items():
        points: list[Point] = []
        for item in chain:
            x, y = corner[item][0], middle[item] - top
            points += [(x, y), (x + WIDTH, y)]
        lines[ends] = points[1:-1]
    places = {item: corner[item] for item in corner if item in boxes}
    height = max((y + HEIGHT for _, y in places.values()), default=0.0)
    lowest = max((y for points in lines.values() for _, y in points), default=0.0)
    columns = [index * (WIDTH + GAP_X) for index in range(len(rows))]
    return Layout(places, lines, columns, layers, len(rows) * (WIDTH + GAP_X) - GAP_X, max(height, lowest))


def _spaced(wanted: Sequence[float], tall: Sequence[float]) -> list[float]:
    """Middles as near to the wanted ones as order and room allow (least squares)."""
    offsets = [0.0]
    for upper, lower in pairwise(tall):
        offsets.append(offsets[-1] + (upper + lower) / 2 + GAP_Y)
    blocks: list[tuple[float, int]] = []  # mean of what is wanted without offsets, and how many
    for want, offset in zip(wanted, offsets, strict=False):
        mean, count = want - offset, 1
        while blocks and blocks[-1][0] > mean:
            other, more = blocks.pop()
            mean, count = (mean * count + other * more) / (count + more), count + more
        blocks.append((mean, count))
    flat = [mean for mean, count in blocks for _ in range(count)]
    return [mean + offset for mean, offset in zip(flat, offsets, strict=False)]


def _folded(rows: list[list[Item]], chains: Mapping[tuple[Hashable, Hashable], Sequence[Item]]) -> Layout:
    """Layers of a large graph: each a grid of as many columns as it needs."""
    places: dict[Hashable, Point] = {}
    columns: list[float] = []
    left = 0.0
    tallest = max(_TALLEST, round(math.sqrt(sum(len(row) for row in rows)) * 1.2))
    highest = min(tallest, max(len(row) for row in rows)) * (HEIGHT + GAP_Y)
    for row in rows:
        columns.append(left)
        count = math.ceil(len(row) / tallest)
        high = math.ceil(len(row) / count)
        top = (highest - high * (HEIGHT + GAP_Y)) / 2
        for index, item in enumerate(row):
            across, down = divmod(index, high)
            places[item] = (left + across * (WIDTH + GAP_Y), top + down * (HEIGHT + GAP_Y))
        left += count * (WIDTH + GAP_Y) - GAP_Y + GAP_X
    lines = {
        (source, target): [
            (places[source][0] + WIDTH, places[source][1] + HEIGHT / 2),
            (places[target][0], places[target][1] + HEIGHT / 2),
        ]
        for source, target in chains
    }
    height = max((y + HEIGHT for _, y in places.values()), default=0.0)
    return Layout(places, lines, columns, rows, left - GAP_X, height)
