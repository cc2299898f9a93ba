"""A model's folder in a bucket: whole before any pod asks for it, and copied once."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest

from mlctl.provider import Input
from mlctl.providers.serving.kubernetes import models
from mlctl.providers.serving.spec.target import ModelStore
from mlctl.testing.harness import make_context
from mlctl.types.address import ObjectKey
from mlctl.types.diagnostic import MlctlError
from tests.integration.state.conftest import BUCKET, client, moto_url  # noqa: F401


def made(digest: str = "d") -> Input:
    return Input(ObjectKey.parse("evaluations.gate#1"), {"name": "churn", "version": 3}, digest)


def folder(root: Path) -> Path:
    found = root / "model"
    (found / "data").mkdir(parents=True)
    (found / "MLmodel").write_text("flavors: {}\n")
    (found / "data" / "model.pth").write_bytes(b"x" * 5000)
    return found


def keys(url: str, prefix: str) -> list[str]:
    found = client(url).list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
    return sorted(item["Key"].removeprefix(prefix) for item in found)


def test_a_copy_is_whole_and_made_once_and_one_that_was_cut_off_goes_on(
    moto_url: str,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    prefix, ctx, source = uuid4().hex, make_context(tmp_path), folder(tmp_path)
    store = ModelStore(url=f"s3://{BUCKET}/{prefix}", endpoint_url=moto_url, region="us-east-1")
    place = models.storage(store, made(), "lineage")
    inside = place.removeprefix(f"s3://{BUCKET}/")
    client(moto_url).create_bucket(Bucket=BUCKET)
    client(moto_url).put_object(Bucket=BUCKET, Key=f"{inside}/MLmodel", Body=b"cut off")
    models.publish(store, place, source, ctx, "deployments.x")
    assert keys(moto_url, inside) == ["/.mlctl-complete", "/MLmodel", "/data/model.pth"]
    body = client(moto_url).get_object(Bucket=BUCKET, Key=f"{inside}/MLmodel")["Body"].read()
    assert body == b"flavors: {}\n"
    (source / "MLmodel").unlink()
    models.publish(store, place, source, ctx, "deployments.x")
    assert len(keys(moto_url, inside)) == 3


def test_other_content_has_another_place_and_a_volume_has_none_of_ours(tmp_path: Path) -> None:
    bucket, volume = ModelStore(url="s3://models/prod"), ModelStore(url="pvc://models/prod")
    assert models.storage(bucket, made("1"), "a") != models.storage(bucket, made("2"), "a")
    assert models.storage(bucket, made("1"), "a") != models.storage(bucket, made("1"), "b")
    assert models.storage(volume, made("1"), "a") == "pvc://models/prod/churn/3"
    models.publish(volume, "pvc://models/prod/churn/3", tmp_path, make_context(tmp_path), "deployments.x")


def test_a_bucket_that_is_not_there_is_told(moto_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    store = ModelStore(url="s3://no-such-bucket/x", endpoint_url=moto_url, region="us-east-1")
    with pytest.raises(MlctlError) as raised:
        models.publish(
            store, models.storage(store, made(), "a"), folder(tmp_path), make_context(tmp_path), "deployments.x"
        )
    assert raised.value.diagnostics[0].code == "deploy.models-unreachable"
    assert raised.value.diagnostics[0].address == "deployments.x"
