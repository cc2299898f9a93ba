"""The section "data" of the ML Test Score."""

from __future__ import annotations

from mlctl.audit.case import Case, Subject
from mlctl.audit.maturity.check import Check, Seen, every

_PARITY_DAYS = 30


def sources(case: Case) -> list[Subject]:
    """The datasets that trainings and their features are made of."""
    users = [*case.all("training"), *case.all("feature_views")]
    found = {item.address: item for user in users for item in case.uses(user, "datasets")}
    return list(found.values())


def data_checked(case: Case) -> Seen:
    """Each source has a data check."""
    return every(sources(case), lambda item: bool(case.users(item, "data_checks")), "sources with a data check")


def features_compared(case: Case) -> Seen:
    """Somebody compared both sides of each online view, or of a deployment's log, lately."""
    subjects = [*case.all("feature_views"), *case.all("deployments")]
    made = [found for item in subjects if (found := case.checked(item.address, "parity")) is not None]
    fresh = [item for item in made if case.days_since(item.at) <= _PARITY_DAYS]
    good = bool(fresh) and all(item.verdict == "passed" for item in fresh)
    return Seen(
        good,
        f"parity in {_PARITY_DAYS} days: {', '.join(f'{item.address} {item.verdict}' for item in fresh) or 'none'}",
    )


def _privacy(case: Case) -> Seen:
    return every(case.all("datasets"), lambda item: bool(item.get("tags.privacy")), "datasets with tags.privacy")


def _rules(case: Case) -> Seen:
    return Seen(bool(case.project.policies), f"policies: {', '.join(case.project.policies) or 'none'}")


CHECKS = (
    Check("schema", "What the data should be like is written down", "add `data_checks` for each source", data_checked),
    Check("feature-benefit", "Each feature is worth having", "train without each of them, and attest it"),
    Check("feature-cost", "No feature costs more than it brings", "time and price them, and attest it"),
    Check("meta-rules", "Rules say which data may be used", "add `policies`: docs/guides/policies.md", _rules),
    Check(
        "privacy",
        "It is known which data is personal",
        "add `tags: {privacy: none|personal|...}` to each dataset",
        _privacy,
    ),
    Check("feature-lead-time", "A new feature is in use within weeks", "attest how long the last one took"),
    Check("feature-tests", "Features are tested", "mlctl features parity", features_compared),
)
