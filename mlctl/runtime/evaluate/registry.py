"""The model registry: the champion behind an alias, one version for each trained model, and only ours ever touched."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from mlctl.runtime import secrets
from mlctl.types.diagnostic import MlctlError, said
from mlctl.types.jobs.evaluate import Registration
from mlctl.types.jobs.tracking import ADDRESS_TAG, DIGEST_TAG, LINEAGE_TAG, OBJECT_TAG, TrackingTarget
from mlctl.types.jobs.train import Candidate, candidate_of
from mlctl.types.ownership import ADOPTED_TAG, differs, marked_by_another, not_found, not_ours

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
        what = f"version {version.version} of `{registration.name}`, which `{registration.alias}` points at,"
        raise _not_ours(what, version.tags, registration, target)
    return Champion(str(version.version), candidate_of(json.loads(stored)))


def aliased_version(client: MlflowClient, registration: Registration) -> str | None:
    """The version that the alias points at, or None."""
    version = _aliased(client, registration)
    return None if version is None else str(version.version)


def adoptable(client: MlflowClient, candidate: Candidate, registration: Registration, target: TrackingTarget) -> str:
    """The version under the alias of a registered model that may be taken over: nobody's yet, and of the candidate's run. Raises MlctlError."""
    name, alias, address = registration.name, registration.alias, target.address
    found, holder = _registered(client, name), _aliased(client, registration)
    if found is None or holder is None:
        what = f"registered model `{name}`" if found is None else f"alias `{alias}` of the registered model `{name}`"
        raise not_found(what, f"the registry is {target.uri}", address, "see what there is with `mlflow ui`")
    for what, tags in (
        (f"the registered model `{name}`", found.tags),
        (f"version {holder.version} of `{name}`", holder.tags),
    ):
        if tags.get(LINEAGE_TAG, target.lineage) != target.lineage:
            raise marked_by_another(what, tags, address)
    if holder.run_id != candidate.run_id:
        raise differs(f"version {holder.version} of `{name}`", address, [("run", holder.run_id, candidate.run_id)])
    return str(holder.version)


def take_over(
    client: MlflowClient,
    version: str,
    candidate: Candidate,
    registration: Registration,
    target: TrackingTarget,
    metrics: Mapping[str, float],
) -> None:
    """Mark the registered model and a version of it as ours, and as not to be deleted. Every step can be repeated after a kill."""
    name = registration.name
    for tag, value in {ADOPTED_TAG: "true", **_tags(candidate, target, metrics)}.items():
        client.set_model_version_tag(name, version, tag, value)
    for tag, value in {ADOPTED_TAG: "true", **target.marks()}.items():
        client.set_registered_model_tag(name, tag, value)


def at_hand(client: MlflowClient, candidate: Candidate, folder: Path) -> Candidate:
    """The champion with its files where they were made, or, when those are gone, in copies out of MLflow.

    Raises MlctlError `eval.champion-gone`.
    """
    if all(Path(file).exists() for file in candidate.files):
        return candidate
    copy = folder / "champion" / candidate.run_id
    copy.mkdir(parents=True, exist_ok=True)
    try:
        found = [
            os.path.relpath(client.download_artifacts(candidate.run_id, name, str(copy)))
            for name in ("model", *(Path(file).name for file in candidate.files[1:]))
        ]
    except (MlflowException, OSError) as error:
        raise MlctlError.of(
            "eval.champion-gone",
            f"the champion's files are gone, in {candidate.model} and in MLflow",
            said(error),
            "restore the artifacts of its run, or remove the alias in MLflow to start anew",
        ) from None
    return candidate.at(found)


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
    tags = _tags(candidate, target, metrics)
    if version is None:
        source, run_id = _source(client, candidate)
        version = client.create_model_version(registration.name, source, run_id=run_id, tags=tags)
    else:
        for name, value in tags.items():
            if version.tags.get(name) != value:
                client.set_model_version_tag(registration.name, version.version, name, value)
    holder = _aliased(client, registration)
    if holder is None or holder.version != version.version:
        client.set_registered_model_alias(registration.name, registration.alias, version.version)
    return str(version.version)


def _tags(candidate: Candidate, target: TrackingTarget, metrics: Mapping[str, float]) -> dict[str, str]:
    tags: dict[str, str] = secrets.known().masked(
        {
            **target.marks(),
            DIGEST_TAG: candidate.digest,
            _CANDIDATE_TAG: candidate.model_dump_json(),
            _METRICS_TAG: json.dumps(dict(metrics), sort_keys=True),
        }
    )
    return tags


def _source(client: MlflowClient, candidate: Candidate) -> tuple[str, str | None]:
    """Where a version takes its files from: the run, or our own folder when `tracking` has moved to a store without that run."""
    try:
        client.get_run(candidate.run_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return Path(candidate.model).resolve().as_uri(), None
    return candidate.model_uri, candidate.run_id


def withdraw(client: MlflowClient, registration: Registration, target: TrackingTarget) -> None:
    """Remove the versions that this object registered, the alias if it points at one, and the model if nothing is left of it.

    What was taken over is given back: our tags go, and version, alias and model stay.
    """
    found = _registered(client, registration.name)
    if found is None or found.tags.get(LINEAGE_TAG) != target.lineage:
        return
    holder = _aliased(client, registration)
    for version in client.search_model_versions(f"name = '{registration.name}'"):
        if version.tags.get(OBJECT_TAG) != target.object or version.tags.get(LINEAGE_TAG) != target.lineage:
            continue
        if ADOPTED_TAG in version.tags:
            _give_back(version.tags, partial(client.delete_model_version_tag, registration.name, version.version))
            continue
        if holder is not None and holder.version == version.version:
            client.delete_registered_model_alias(registration.name, registration.alias)
        client.delete_model_version(registration.name, version.version)
    if ADOPTED_TAG in found.tags:
        if found.tags.get(OBJECT_TAG) == target.object:
            _give_back(found.tags, partial(client.delete_registered_model_tag, registration.name))
    elif not client.search_model_versions(f"name = '{registration.name}'", max_results=1):
        client.delete_registered_model(registration.name)


def _give_back(tags: Mapping[str, str], delete: Callable[[str], None]) -> None:
    """Take our tags off; last the one that keeps it from being deleted as our own."""
    ours = (_CANDIDATE_TAG, _METRICS_TAG, DIGEST_TAG, ADDRESS_TAG, OBJECT_TAG, LINEAGE_TAG, ADOPTED_TAG)
    for name in ours:
        if name in tags:
            delete(name)


def _version_of(
    client: MlflowClient, candidate: Candidate, registration: Registration, target: TrackingTarget
) -> Any | None:
    """The version already made of the same run and weights, so that a change of the evaluation alone makes no other."""
    for version in client.search_model_versions(f"name = '{registration.name}'"):
        tags = version.tags
        same = tags.get(DIGEST_TAG) == candidate.digest and _run_of(tags) == candidate.run_id
        if same and tags.get(LINEAGE_TAG) == target.lineage:
            return version
    return None


def _run_of(tags: Mapping[str, str]) -> str | None:
    """The run of a version by our own tag: one whose run is in another store has none in this."""
    stored = tags.get(_CANDIDATE_TAG)
    return None if stored is None else str(json.loads(stored).get("run_id"))


def _our_model(client: MlflowClient, registration: Registration, target: TrackingTarget) -> bool:
    """Whether the registered model exists and is ours. Raises MlctlError when it exists and is not."""
    found = _registered(client, registration.name)
    if found is None:
        return False
    if found.tags.get(LINEAGE_TAG) != target.lineage:
        raise _not_ours(f"the registered model `{registration.name}`", found.tags, registration, target)
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


def _not_ours(what: str, tags: Mapping[str, str], registration: Registration, target: TrackingTarget) -> MlctlError:
    id = f"models:/{registration.name}@{registration.alias}"
    return not_ours(what, tags, target.address, id, "register under another name")
