"""A refusal says whose a thing is, and how it becomes ours."""

from __future__ import annotations

from mlctl.types.ownership import differs, import_command, marked_by_another, not_ours


def test_what_nobody_marked_can_be_taken_over_with_the_line_that_is_given() -> None:
    (found,) = not_ours("the view `a`", {"team": "theirs"}, "feature_views.a", "a", "rename yours").diagnostics
    assert (found.code, found.address) == ("provider.not-ours", "feature_views.a")
    assert "carries no mark" in found.why
    assert found.fix == "take it over with `mlctl import feature_views.a a`, or rename yours"


def test_what_another_state_marked_names_its_owner() -> None:
    tags = {"mlctl.lineage": "99", "mlctl.object": "feature_views.b#"}
    (found,) = not_ours("the view `a`", tags, "feature_views.a", "a", "rename yours").diagnostics
    assert "`mlctl.lineage` 99, where it is feature_views.b" in found.why
    assert found.fix.startswith("if that state is lost, remove the tag `mlctl.lineage`")
    assert marked_by_another("it", tags, "feature_views.a").diagnostics[0].code == "import.owned"


def test_the_command_can_be_pasted_into_a_shell() -> None:
    assert (
        import_command('training.churn["lr=0.1"]', "models:/churn/3")
        == "mlctl import 'training.churn[\"lr=0.1\"]' models:/churn/3"
    )


def test_a_difference_names_field_and_both_values() -> None:
    (found,) = differs("the view `a`", "feature_views.a", [("ttl", 60, 0), ("features.n", "Int64", None)]).diagnostics
    assert found.summary.endswith(": `ttl`, `features.n`")
    assert found.why.splitlines() == [
        "ttl: it has 60, the project asks for 0", "features.n: it has 'Int64', the project asks for nothing",
    ]  # fmt: skip
