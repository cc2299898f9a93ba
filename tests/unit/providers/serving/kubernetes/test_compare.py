from __future__ import annotations

from typing import Any

import pytest

from mlctl.providers.serving.kubernetes.compare import DIGEST, current, differences
from mlctl.providers.serving.kubernetes.naming import owner
from mlctl.types.address import Address


def thing(spec: dict[str, Any], digest: str = "1") -> dict[str, Any]:
    return {"metadata": {"labels": {"a": "b"}, "annotations": {DIGEST: digest}}, "spec": spec}


@pytest.mark.parametrize(
    ("declared", "there", "paths"),
    [
        ({"replicas": 2}, {"replicas": 2, "revisionHistoryLimit": 10}, []),
        ({"replicas": 2}, {"replicas": 3}, ["spec.replicas"]),
        ({"replicas": 2}, {}, ["spec.replicas"]),
        ({"requests": {"cpu": "0.5"}}, {"requests": {"cpu": "500m"}}, []),
        ({"requests": {"memory": "1Gi"}}, {"requests": {"memory": "1024Mi"}}, []),
        ({"requests": {"memory": "1Gi"}}, {"requests": {"memory": "1G"}}, ["spec.requests.memory"]),
        ({"emptyDir": {"sizeLimit": "1024Mi"}}, {"emptyDir": {"sizeLimit": "1Gi"}}, []),
        ({"list": [{"a": 1}]}, {"list": [{"a": 1, "default": True}]}, []),
        ({"list": [{"a": 1}]}, {"list": [{"a": 2}]}, ["spec.list[0].a"]),
        ({"list": [1]}, {"list": [1, 2]}, ["spec.list"]),
        ({"group": ""}, {}, []),
    ],
)
def test_only_what_was_declared_counts(declared: dict[str, Any], there: dict[str, Any], paths: list[str]) -> None:
    assert [item.path for item in differences(thing(declared), thing(there))] == paths


def test_a_field_that_is_declared_no_more_shows_by_the_digest() -> None:
    assert differences(thing({}, "2"), thing({"a": 1}, "1")) == []
    assert not current(thing({}, "2"), thing({"a": 1}, "1"))


def test_a_mark_that_was_taken_off_is_a_difference() -> None:
    there = thing({})
    there["metadata"]["labels"] = {}
    assert [str(item) for item in differences(thing({}), there)] == [
        "metadata.labels[a] is not there and should be 'b'"
    ]


def test_names_are_those_of_kubernetes_and_never_shared() -> None:
    names = [
        owner(Address("deployments", name), "ml", "1").name
        for name in ("churn", "churn_api", "churn-api", "Churn", 'churn["eu"]', "_", "x" * 80, "x" * 81, "9-lives_")
    ]
    assert len(set(names)) == len(names)
    assert names[0] == "churn"
    for name in names:
        assert len(name) <= 48
        assert name[0].isalpha()
        assert name.replace("-", "a").isalnum()
        assert name == name.lower()
        assert not name.endswith("-")
