from __future__ import annotations

import time
from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from mlctl.spec.graph import cycles, order
from mlctl.types.address import Address


def edges(spec: Mapping[str, str]) -> dict[Address, list[Address]]:
    """`{"a": "b c"}`: a depends on b and c."""
    return {Address("s", name): [Address("s", other) for other in others.split()] for name, others in spec.items()}


def names(addresses: object) -> str:
    return " ".join(address.name for address in addresses)  # type: ignore[attr-defined]


def test_dependencies_come_first_and_ties_go_by_address() -> None:
    assert names(order(edges({"z": "", "a": "z", "m": "", "b": "a m"}))) == "m z a b"
    assert names(order(edges({"c": "", "b": "", "a": ""}))) == "a b c"


def test_a_cycle_and_what_is_behind_it_are_left_out() -> None:
    graph = edges({"a": "b", "b": "c", "c": "a", "behind": "a", "free": ""})
    ordered = order(graph)
    assert names(ordered) == "free"
    assert [names(cycle) for cycle in cycles(graph, ordered)] == ["a b c"]


def test_each_cycle_is_told_from_its_first_address() -> None:
    graph = edges({"b": "a", "a": "b", "y": "z", "z": "y", "self": "self"})
    assert [names(cycle) for cycle in cycles(graph, order(graph))] == ["a b", "self", "y z"]


@given(st.dictionaries(st.integers(0, 12), st.sets(st.integers(0, 12)), max_size=13))
def test_an_order_is_one_and_every_cycle_is_real(spec: dict[int, set[int]]) -> None:
    graph = {
        Address("s", f"n{source:02d}"): [Address("s", f"n{target:02d}") for target in targets if target in spec]
        for source, targets in spec.items()
    }
    ordered = order(graph)
    place = {address: index for index, address in enumerate(ordered)}
    for address in ordered:
        assert all(place[target] < place[address] for target in graph[address])
    found = cycles(graph, ordered)
    assert bool(found) == (len(ordered) < len(graph))
    for cycle in found:
        for one, following in zip(cycle, [*cycle[1:], cycle[0]], strict=True):
            assert following in graph[one]


def test_long_chains_and_long_cycles_are_no_trouble() -> None:
    chain = {Address("s", f"n{n:05d}"): [Address("s", f"n{n - 1:05d}")] if n else [] for n in range(20_000)}
    started = time.process_time()
    assert len(order(chain)) == 20_000
    chain[Address("s", "n00000")] = [Address("s", "n19999")]
    ordered = order(chain)
    (cycle,) = cycles(chain, ordered)
    assert (len(ordered), len(cycle)) == (0, 20_000)
    assert time.process_time() - started < 2
