"""The model registry: the champion behind an alias, one version for each trained model, and only ours ever touched."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.evaluate import Registration
from mlctl.types.jobs.tracking import DIGEST_TAG, LINEAGE_TAG, OBJECT_TAG, TrackingTarget
from mlctl.types.jobs.train import Candidate

_CANDIDATE_TAG = "mlctl.candidate"
_METRICS_TAG = "mlctl.metrics"


@dataclass(frozen=True, slots=True)
class Champion:
    """The version that an alias points at now."""

    version: str
    candidate: Candidate


def champion(client: MlflowClient, registration: Registration, target: TrackingTarget) -> Champion | None:
    """The present holder of the alias, or None. Raises MlctlError `provider.not-ours` for a model that mlctl did not make."""
    if not _our_model(client, registration, target):
        return None
    version = _aliased(client, registration)
    if version is None:
        return None
    stored = version.tags.get(_CANDIDATE_TAG)
    if stored is None or version.tags.get(LINEAGE_TAG) != target.lineage:
        raise _not_ours(f"version {version.version} of `{registration.name}`, which `{registration.alias}` points at,")
    return Champion(str(version.version), Candidate.model_validate_json(stored))


def aliased_version(client: MlflowClient, registration: Registration) -> str | None:
    """The version that the alias points at, or None."""
    version = _aliased(client, registration)
    return None if version is None else str(version.version)


def at_hand(client: MlflowClient, candidate: Candidate, folder: Path) -> Candidate:
    """The champion with its model and profile where they were made, or, when those are gone, in copies out of MLflow.

    Raises MlctlError `eval.champion-gone`.
    """
    if Path(candidate.model).exists() and Path(candidate.training_profile).exists():
        return candidate
    copy = folder / "champion" / candidate.run_id
    copy.mkdir(parents=True, exist_ok=True)
    try:
        found = [
            os.path.relpath(client.download_artifacts(candidate.run_id, name, str(copy)))
            for name in ("model", Path(candidate.training_profile).name)
        ]
    except (MlflowException, OSError) as error:
        raise MlctlError.of(
            "eval.champion-gone",
            f"the champion's files are gone, in {candidate.model} and in MLflow",
            str(error),
            "restore the artifacts of its run, or remove the alias in MLflow to start anew",
        ) from None
    return candidate.model_copy(update={"model": found[0], "training_profile": found[1]})


def register(
    client: MlflowClient,
    candidate: Candidate,
    registration: Registration,
    target: TrackingTarget,
    metrics: Mapping[str, float],
) -> str:
    """The version of a candidate with the alias on it, made when there is none. Every step can be repeated after a kill."""
    if not _our_model(client, registration, target):
        try:
            client.create_registered_model(registration.name, tags=target.marks())
        except MlflowException as error:  # made by another since the search
            if not _our_model(client, registration, target):
                raise error
    version = _version_of(client, candidate, registration, target)
    tags = {
        **target.marks(),
        DIGEST_TAG: candidate.digest,
        _CANDIDATE_TAG: candidate.model_dump_json(),
        _METRICS_TAG: json.dumps(dict(metrics), sort_keys=True),
    }
    if version is None:
        version = client.create_model_version(
            registration.name, candidate.model_uri, run_id=candidate.run_id, tags=tags
        )
    else:
        for name, value in tags.items():
            if version.tags.get(name) != value:
                client.set_model_version_tag(registration.name, version.version, name, value)
    holder = _aliased(client, registration)
    if holder is None or holder.version != version.version:
        client.set_registered_model_alias(registration.name, registration.alias, version.version)
    return str(version.version)


def withdraw(client: MlflowClient, registration: Registration, target: TrackingTarget) -> None:
    """Remove the versions that this object registered, the alias if it points at one, and the model if nothing is left of it."""
    found = _registered(client, registration.name)
    if found is None or found.tags.get(LINEAGE_TAG) != target.lineage:
        return
    holder = _aliased(client, registration)
    for version in client.search_model_versions(f"name = '{registration.name}'"):
        if version.tags.get(OBJECT_TAG) != target.object or version.tags.get(LINEAGE_TAG) != target.lineage:
            continue
        if holder is not None and holder.version == version.version:
            client.delete_registered_model_alias(registration.name, registration.alias)
        client.delete_model_version(registration.name, version.version)
    if not client.search_model_versions(f"name = '{registration.name}'", max_results=1):
        client.delete_registered_model(registration.name)


def _version_of(
    client: MlflowClient, candidate: Candidate, registration: Registration, target: TrackingTarget
) -> Any | None:
    """The version already made of the same run and weights, so that a change of the evaluation alone makes no other."""
    query = f"name = '{registration.name}' AND run_id = '{candidate.run_id}'"
    for version in client.search_model_versions(query):
        if version.tags.get(DIGEST_TAG) == candidate.digest and version.tags.get(LINEAGE_TAG) == target.lineage:
            return version
    return None


def _our_model(client: MlflowClient, registration: Registration, target: TrackingTarget) -> bool:
    """Whether the registered model exists and is ours. Raises MlctlError when it exists and is not."""
    found = _registered(client, registration.name)
    if found is None:
        return False
    if found.tags.get(LINEAGE_TAG) != target.lineage:
        raise _not_ours(f"the registered model `{registration.name}`")
    return True


def _registered(client: MlflowClient, name: str) -> Any | None:
    found = client.search_registered_models(f"name = '{name}'", max_results=1)
    return found[0] if found else None


def _aliased(client: MlflowClient, registration: Registration) -> Any | None:
    try:
        return client.get_model_version_by_alias(registration.name, registration.alias)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def _not_ours(what: str) -> MlctlError:
    return MlctlError.of(
        "provider.not-ours",
        f"{what} was not made by this project",
        "it does not carry this project's mark (the tag `mlctl.lineage`), and what others made is never changed",
        "register under another name, or remove it in MLflow first",
    )
