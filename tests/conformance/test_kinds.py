"""Every installed kind keeps the rules of kinds, with its real tool, in one small project from data to monitor."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mlctl.registry import Registry
from mlctl.testing.conformance import check_kind
from tests.conformance.cases import CASES
from tests.conformance.chain import Chain


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    made = Chain(tmp_path_factory.mktemp("conformance"))
    try:
        yield made
    finally:
        made.end()


def test_every_installed_section_has_a_case() -> None:
    assert sorted(CASES) == list(Registry().sections())


def test_every_setting_a_kind_reads_is_installed() -> None:
    registry = Registry()
    for section in registry.sections():
        assert registry.kind(section).settings <= {*registry.settings()}, section


@pytest.mark.tools
@pytest.mark.parametrize("section", CASES)
def test_the_kind_keeps_the_rules(section: str, chain: Chain) -> None:
    check_kind(chain.registry.kind(section), CASES[section](chain), chain.ctx)
