"""Which bucket and which part of it keeps a state. Credentials are not part of it: boto3 finds them on its own ways."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Place:
    """Where in S3 the state of one environment is. All keys begin with `prefix`, which has no slash at its ends."""

    bucket: str
    prefix: str
    region: str | None = None
    endpoint: str | None = None
    profile: str | None = None
    sse: str | None = None  # AES256 or aws:kms; without it the bucket's own default holds
    kms_key: str | None = None

    @classmethod
    def of(cls, settings: Mapping[str, Any], project: str, environment: str) -> Place:
        """The place a `state` block describes, already checked; each project and environment has a folder of its own."""
        encryption = settings.get("encryption") or {}
        parts = (str(settings.get("prefix") or ""), project, environment)
        prefix = "/".join(part.strip("/") for part in parts if part.strip("/"))
        return cls(
            settings["bucket"], prefix, settings.get("region"), settings.get("endpoint"), settings.get("profile"),
            encryption.get("sse"), encryption.get("kms_key"),
        )  # fmt: skip

    def key(self, name: str) -> str:
        """The whole key of an object."""
        return f"{self.prefix}/{name}" if self.prefix else name

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}"
