"""What `mlctl features get` looks up, by arguments and by the option that `mlctl predict` has too."""

from types import SimpleNamespace
from typing import Any

import pytest

from mlctl.cli.commands.features import _asked
from mlctl.types.address import ObjectKey
from mlctl.types.diagnostic import MlctlError
from mlctl.types.state import Record

VIEW = Record(ObjectKey.parse("feature_views.activity#1"), "v")
WORKSPACE: Any = SimpleNamespace(records=lambda: {"feature_views.activity": VIEW})


def test_keys_are_arguments_or_options_and_a_lone_view_needs_no_name() -> None:
    assert _asked(WORKSPACE, ["activity", "42", "43"], None, []) == (VIEW, ["42", "43"])
    assert _asked(WORKSPACE, ["activity"], None, ["user_id=42"]) == (VIEW, ["user_id=42"])
    assert _asked(WORKSPACE, [], None, ["user_id=42"]) == (VIEW, ["user_id=42"])


@pytest.mark.parametrize("arguments", [[], ["activity"]])
def test_without_a_key_the_command_that_has_one_is_shown(arguments: list[str]) -> None:
    with pytest.raises(MlctlError) as refused:
        _asked(WORKSPACE, arguments, None, [])
    (problem,) = refused.value.diagnostics
    assert (problem.summary, problem.fix) == ("no key is given", "mlctl features get activity KEY")
