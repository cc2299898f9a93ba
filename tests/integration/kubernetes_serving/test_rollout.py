"""What a cluster is told, by the real kubectl, when deployments are applied, moved on, taken back and removed."""

from __future__ import annotations

from typing import Any

import pytest

from mlctl.provider import Condition
from mlctl.providers.serving.kubernetes import kept
from mlctl.testing.harness import make_record
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.rollout import Order
from tests.integration.kubernetes_serving.api import Api
from tests.integration.kubernetes_serving.conftest import Deployed
from tests.unit.providers.serving.kubernetes.blocks import CANARY, LARGE, ROUTE, TARGET, block, language_model

ROUTED = {**TARGET, "route": ROUTE}


def weights(api: Api) -> dict[str, int]:
    """The weights of versions at the route, by the annotation of their Deployments."""
    [route] = api.of("HTTPRoute").values()
    versions = {
        name: item["metadata"]["annotations"]["mlctl.io/version"] for name, item in api.of("Deployment").items()
    }
    return {versions[item["name"]]: item["weight"] for item in route["spec"]["rules"][-1]["backendRefs"]}


def versions(api: Api) -> list[str]:
    return sorted(item["metadata"]["annotations"]["mlctl.io/version"] for item in api.of("Deployment").values())


def test_a_first_version_answers_all_requests_and_applied_twice_nothing_is_sent(by_kubectl: Deployed, api: Api) -> None:
    outcome = by_kubectl.apply(block(LARGE, rollout=CANARY))
    assert outcome.gate is None
    assert (outcome.outputs["model"], outcome.outputs["version"]) == ("churn", "3")
    assert weights(api) == {"3": 1}
    before = {key: item["metadata"]["resourceVersion"] for key, item in api.objects.items()}
    api.writes.clear()
    assert by_kubectl.record is not None
    seen = kept.read(by_kubectl.record, by_kubectl.ctx)
    assert seen is not None
    assert seen.condition is Condition.READY, seen.detail
    by_kubectl.apply(block(LARGE, rollout=CANARY))
    assert api.writes == []
    assert before == {key: item["metadata"]["resourceVersion"] for key, item in api.objects.items()}


def test_a_canary_goes_step_by_step_and_the_old_version_leaves(deployed: Deployed, api: Api) -> None:
    given = block(ROUTED, rollout=CANARY)
    deployed.apply(given)
    deployed.apply(given, version=4)
    assert weights(api) == {"3": 9, "4": 1}
    assert deployed.record is not None
    assert kept.give(deployed.record, Order(what="promote", who="me"), deployed.ctx, deployed.time) == ""
    assert weights(api) == {"3": 1, "4": 1}
    assert "step 2 of 2" in kept.standing(deployed.record, deployed.ctx).says()
    kept.give(deployed.record, Order(what="promote", who="me"), deployed.ctx, deployed.time)
    assert weights(api) == {"4": 1}
    assert versions(api) == ["4"]
    assert [note["what"] for note in kept.history(deployed.record, deployed.ctx)][-1] == "promoted"


def test_an_aborted_version_is_held_until_somebody_says_retry(deployed: Deployed, api: Api) -> None:
    given = block(ROUTED, rollout=CANARY)
    deployed.apply(given)
    deployed.apply(given, version=4)
    assert deployed.record is not None
    kept.give(deployed.record, Order(what="abort", who="me", why="wrong prices"), deployed.ctx, deployed.time)
    assert (weights(api), versions(api)) == ({"3": 1}, ["3"])
    outcome = deployed.apply(given, version=4)
    assert outcome.gate is not None
    assert "wrong prices" in outcome.gate.summary
    assert versions(api) == ["3"]
    seen = kept.read(deployed.record, deployed.ctx)
    assert seen is not None
    assert "held" in seen.detail
    kept.give(deployed.record, Order(what="retry", who="me"), deployed.ctx, deployed.time)
    assert weights(api) == {"3": 9, "4": 1}


def test_undo_brings_the_old_version_back_though_its_pods_are_gone(deployed: Deployed, api: Api) -> None:
    deployed.apply(block(ROUTED))
    deployed.apply(block(ROUTED), version=4)
    assert versions(api) == ["4"]
    assert deployed.record is not None
    kept.give(deployed.record, Order(what="undo", who="me"), deployed.ctx, deployed.time)
    assert (weights(api), versions(api)) == ({"3": 1}, ["3"])


def test_a_third_version_takes_the_place_of_the_candidate(deployed: Deployed, api: Api) -> None:
    given = block(ROUTED, rollout=CANARY)
    for version in (3, 4, 5):
        deployed.apply(given, version=version)
    assert weights(api) == {"3": 9, "5": 1}
    assert versions(api) == ["3", "5"]


def test_pods_that_do_not_start_get_no_requests_and_the_cluster_says_why(deployed: Deployed, api: Api) -> None:
    deployed.apply(block(ROUTED, rollout=CANARY))
    api.broken["registry.example/mlctl:bad"] = "ImagePullBackOff"
    outcome = deployed.apply(block({**ROUTED, "image": "registry.example/mlctl:bad"}, rollout=CANARY))
    assert outcome.gate is not None
    assert "ImagePullBackOff: no such image" in outcome.gate.summary
    assert (weights(api), versions(api)) == ({"3": 1}, ["3"])


def test_a_first_version_that_does_not_start_is_an_error_and_the_next_apply_tries_again(
    deployed: Deployed, api: Api
) -> None:
    api.broken[TARGET["image"]] = "CrashLoopBackOff"
    with pytest.raises(MlctlError) as raised:
        deployed.apply(block(ROUTED))
    assert raised.value.diagnostics[0].code == "rollout.never-ready"
    assert "CrashLoopBackOff" in raised.value.diagnostics[0].why
    api.broken.clear()
    deployed.apply(block(ROUTED))
    assert weights(api) == {"3": 1}


def test_without_a_route_a_service_points_at_the_version_that_answers(deployed: Deployed, api: Api) -> None:
    deployed.apply(block())
    first = api.of("Service")["churn-api-e40d"]["spec"]["selector"]
    deployed.apply(block(), version=4)
    assert api.of("Service")["churn-api-e40d"]["spec"]["selector"] != first
    assert versions(api) == ["4"]


def test_what_others_changed_is_told_field_by_field_and_goes_back(deployed: Deployed, api: Api) -> None:
    given = block({**ROUTED, "replicas": 2})
    deployed.apply(given)
    [pods] = api.of("Deployment").values()
    pods["spec"]["replicas"] = 5
    del api.objects["ml", "httproutes", "churn-api-e40d"]
    assert deployed.record is not None
    seen = kept.read(deployed.record, deployed.ctx)
    assert seen is not None
    assert seen.condition is Condition.BROKEN
    assert "spec.replicas is 5 and should be 2" in seen.detail
    assert "HTTPRoute churn-api-e40d is gone" in seen.detail
    assert seen.fields == {"target": {"replicas": 5}}
    deployed.apply(given)
    assert next(iter(api.of("Deployment").values()))["spec"]["replicas"] == 2
    assert weights(api) == {"3": 1}


def test_what_was_declared_once_and_is_not_any_more_is_taken_back(deployed: Deployed, api: Api) -> None:
    deployed.apply(block({**ROUTED, "network": {"allow_from": ["infra"]}}))
    assert api.of("HTTPRoute")["churn-api-e40d"]["spec"]["hostnames"] == ["churn.example.com"]
    deployed.apply(block({**TARGET, "route": {"gateway": "infra/public"}}))
    assert "hostnames" not in api.of("HTTPRoute")["churn-api-e40d"]["spec"]
    assert api.of("NetworkPolicy") == {}


def test_what_others_made_is_never_changed(by_kubectl: Deployed, api: Api) -> None:
    theirs: dict[str, Any] = {
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {"name": "churn-api-e40d", "namespace": "ml", "labels": {}}, "spec": {"rules": []},
    }  # fmt: skip
    api.put(theirs)
    with pytest.raises(MlctlError) as raised:
        by_kubectl.apply(block(ROUTED))
    assert raised.value.diagnostics[0].code == "kubernetes.not-ours"
    assert api.of("HTTPRoute")["churn-api-e40d"]["spec"] == {"rules": []}


def test_delete_removes_what_is_ours_and_nothing_else(by_kubectl: Deployed, api: Api) -> None:
    by_kubectl.apply(block(LARGE, rollout=CANARY))
    other = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "other", "namespace": "ml"}, "spec": {}}
    made = {**other, "metadata": {"name": "of-a-controller", "namespace": "ml", "ownerReferences": [{"name": "x"}]}}
    made["metadata"]["labels"] = dict(next(iter(api.of("Deployment").values()))["metadata"]["labels"])
    api.put(other)
    api.put(made)
    assert by_kubectl.record is not None
    kept.delete(by_kubectl.record, by_kubectl.ctx)
    assert {key[2] for key in api.objects} == {"other", "of-a-controller"}
    kept.delete(by_kubectl.record, by_kubectl.ctx)
    assert kept.read(by_kubectl.record, by_kubectl.ctx) is None


def test_a_route_that_no_gateway_takes_is_told(deployed: Deployed, api: Api) -> None:
    api.routes_accepted = False
    with pytest.raises(MlctlError) as raised:
        deployed.apply(block({**ROUTED, "start_timeout": "10s"}))
    assert raised.value.diagnostics[0].code == "kubernetes.late"
    assert "NoMatchingParent" in raised.value.diagnostics[0].why


def test_knative_gives_the_newest_version_a_share(deployed: Deployed, api: Api) -> None:
    given = block({**TARGET, "kserve": "knative"}, rollout=CANARY)
    deployed.apply(given)
    assert "canaryTrafficPercent" not in api.of("InferenceService")["churn-api-e40d"]["spec"]["predictor"]
    deployed.apply(given, version=4)
    assert api.of("InferenceService")["churn-api-e40d"]["spec"]["predictor"]["canaryTrafficPercent"] == 10
    assert deployed.record is not None
    kept.give(deployed.record, Order(what="promote", full=True), deployed.ctx, deployed.time)
    predictor = api.of("InferenceService")["churn-api-e40d"]["spec"]["predictor"]
    assert "canaryTrafficPercent" not in predictor
    assert "churn/4-" in {item["name"]: item.get("value") for item in predictor["containers"][0]["env"]}["STORAGE_URI"]


def test_a_deployment_that_moves_to_another_namespace_leaves_nothing_behind(deployed: Deployed, api: Api) -> None:
    deployed.apply(block(ROUTED))
    deployed.apply(block({**ROUTED, "namespace": "other"}))
    assert {key[0] for key in api.objects} == {"other"}


def test_a_deployment_whose_record_was_lost_goes_on_where_it_was(deployed: Deployed, api: Api) -> None:
    given = block(ROUTED, rollout=CANARY)
    deployed.apply(given)
    deployed.apply(given, version=4)
    deployed.record = None
    api.writes.clear()
    deployed.apply(given, version=4)
    assert weights(api) == {"3": 9, "4": 1}
    assert api.writes == []


def test_a_group_of_language_models_shares_requests_by_weights(deployed: Deployed, api: Api) -> None:
    engine = {"engine": {"type": "vllm"}}
    given = block({**TARGET, "kserve": "llm", "gpus": 1}, serve=engine, rollout=CANARY)
    record = None
    for version in (3, 4):
        asked, served = language_model(deployed.ctx, given, version)
        record = make_record(asked, kept.apply(asked, record, served, deployed.ctx, deployed.time))

    def shares() -> dict[str, int]:
        found = api.of("LLMInferenceService").values()
        return {
            item["spec"]["model"]["uri"].split("/")[-1][0]: item["spec"]["router"]["route"]["weight"] for item in found
        }

    assert shares() == {"3": 9000, "4": 1000}
    assert record is not None
    kept.give(record, Order(what="promote", full=True), deployed.ctx, deployed.time)
    assert shares() == {"4": 10000}


def test_kserve_in_standard_mode_takes_a_version_at_once_and_back_when_it_does_not_start(
    deployed: Deployed, api: Api
) -> None:
    given = block({**TARGET, "kserve": "standard"})
    deployed.apply(given)
    api.broken["registry.example/mlctl:bad"] = "ImagePullBackOff"
    [before] = api.of("InferenceService").values()
    with pytest.raises(MlctlError) as raised:
        deployed.apply(
            block({**TARGET, "kserve": "standard", "image": "registry.example/mlctl:bad", "start_timeout": "10s"})
        )
    assert raised.value.diagnostics[0].code == "kubernetes.late"
    deployed.apply(given)
    [after] = api.of("InferenceService").values()
    assert after["spec"] == before["spec"]


def test_a_state_that_a_person_removed_is_made_again_and_hides_nothing_from_delete(
    deployed: Deployed, api: Api
) -> None:
    deployed.apply(block(ROUTED))
    del api.objects["ml", "configmaps", "churn-api-e40d-rollout"]
    deployed.apply(block(ROUTED), version=4)
    assert (weights(api), versions(api)) == ({"4": 1}, ["4"])
    del api.objects["ml", "configmaps", "churn-api-e40d-rollout"]
    assert deployed.record is not None
    kept.delete(deployed.record, deployed.ctx)
    assert api.objects == {}
