"""Buckets that hold datasets: a client, what is in a prefix, and errors in our own words."""

from __future__ import annotations

from typing import Any

from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.copy import S3Object

_CONNECT_SECONDS, _READ_SECONDS, _ATTEMPTS = 5, 60, 4
_ARCHIVED = ("GLACIER", "DEEP_ARCHIVE")


def client(endpoint_url: str | None, region: str | None, *, connections: int = 4) -> Any:
    """A boto3 client; credentials come from where boto3 looks for them."""
    import boto3
    from botocore.config import Config

    config = Config(
        connect_timeout=_CONNECT_SECONDS, read_timeout=_READ_SECONDS, max_pool_connections=connections,
        retries={"total_max_attempts": _ATTEMPTS, "mode": "standard"},
        # a server that is not Amazon's may not know the checksums that boto3 adds of late
        request_checksum_calculation="when_required", response_checksum_validation="when_required",
        s3={"addressing_style": "path"} if endpoint_url else {},
    )  # fmt: skip
    # a session of its own: the default one would keep the credentials that it found first
    return boto3.Session(region_name=region).client("s3", endpoint_url=endpoint_url, config=config)


def one(made: Any, bucket: str, key: str) -> S3Object | None:
    """One object, with its version where the bucket keeps them; None when there is none."""
    try:
        answer = made.head_object(Bucket=bucket, Key=key)
    except made.exceptions.ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
            return None
        raise
    version = answer.get("VersionId")
    return S3Object(
        key=key, etag=answer["ETag"], size=answer["ContentLength"], version_id=None if version == "null" else version
    )


def below(made: Any, bucket: str, prefix: str) -> list[S3Object]:
    """The objects whose keys begin with a prefix, by key. Raises MlctlError for one that is archived."""
    found = []
    for page in made.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for item in page.get("Contents", ()):
            if item.get("StorageClass") in _ARCHIVED:
                raise MlctlError.of(
                    "data.archived", f"`s3://{bucket}/{item['Key']}` is archived",
                    f"its storage class is {item['StorageClass']}", "restore it, or narrow `path`",
                )  # fmt: skip
            found.append(S3Object(key=item["Key"], etag=item["ETag"], size=item["Size"]))
    return sorted(found, key=lambda item: item.key)


def explain(error: Any, bucket: str, endpoint_url: str | None) -> MlctlError:
    """What an error of boto3 means for the person whose dataset it is."""
    said = " ".join(str(error).split())[:400]
    where = endpoint_url or "S3"
    answer = getattr(error, "response", {})
    code = str(answer.get("Error", {}).get("Code", ""))
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
    if code == "NoSuchBucket":
        return MlctlError.of(
            "data.missing-bucket",
            f"there is no bucket `{bucket}` at {where}",
            said,
            "correct `path`, or `s3.endpoint_url`",
        )
    if status in (401, 403) or type(error).__name__ in ("NoCredentialsError", "PartialCredentialsError"):
        return MlctlError.of(
            "data.bucket-denied", f"the bucket `{bucket}` at {where} may not be read", said,
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or AWS_PROFILE; listing and reading must be allowed",
        )  # fmt: skip
    if status == 404:
        return MlctlError.of("data.missing-file", f"an object of `{bucket}` is not there", said, "correct `path`")
    return MlctlError.of(
        "data.bucket-unreachable", f"the bucket `{bucket}` at {where} cannot be read", said,
        "see `s3.endpoint_url` and `s3.region`, and the network; then run the command again",
    )  # fmt: skip
