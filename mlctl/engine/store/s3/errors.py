"""What goes wrong on the way to a bucket, and what to do about it."""

from __future__ import annotations

from typing import Any

from mlctl.engine.store.s3.place import Place
from mlctl.types.diagnostic import MlctlError

# By the code of a server's answer or the class of an error of boto3: what it means, and how to mend it.
_KNOWN = {
    "NoSuchBucket": ("no-bucket", "the bucket does not exist", "create it, or correct `state.bucket`"),
    "AccessDenied": (
        "denied", "the credentials may not do this",
        "they need GetObject, PutObject, DeleteObject on the prefix and ListBucket on the bucket (docs/guides/state.md)",
    ),
    "InvalidAccessKeyId": ("denied", "the server does not know the access key", "use other credentials"),
    "SignatureDoesNotMatch": ("denied", "the secret key is not the one of the access key", "correct the credentials"),
    "ExpiredToken": ("denied", "the credentials have expired", "get new ones, then run the command again"),
    "RequestTimeTooSkewed": ("clock", "the clock of this machine is too far off", "set it, then run the command again"),
    "PermanentRedirect": ("region", "the bucket is in another region", "set `state.region` to it"),
    "AuthorizationHeaderMalformed": ("region", "the bucket is in another region", "set `state.region` to it"),
    "NotImplemented": (
        "unsupported", "the server lacks conditional writes, and two writers could not be told apart",
        "use a server that has them (docs/guides/state.md)",
    ),
    "NoCredentialsError": (
        "no-credentials", "there are no credentials",
        "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or `state.profile`",
    ),
    "PartialCredentialsError": ("no-credentials", "the credentials are there in part", "set all of them"),
    "ProfileNotFound": ("no-credentials", "there is no such profile", "correct `state.profile` or AWS_PROFILE"),
    "NoRegionError": ("region", "no region is set", "set `state.region` or AWS_REGION"),
}  # fmt: skip
_UNREACHABLE = (
    "the server did not answer, and boto3 has tried several times",
    "check the network and `state.endpoint`, then run the command again: what was recorded before is kept",
)


def told(error: Any, place: Place, name: str) -> MlctlError:
    """An error of boto3 as ours."""
    response = getattr(error, "response", None) or {}
    code = str(response.get("Error", {}).get("Code", type(error).__name__))
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in _KNOWN or status == 403:
        word, why, fix = _KNOWN.get(code, _KNOWN["AccessDenied"])
    elif not response or status >= 500 or status == 429:
        word, (why, fix) = "unreachable", _UNREACHABLE
    else:
        word, why, fix = "refused", "the server refused a request that it should understand", "see what it says"
    return MlctlError.of(
        f"state.s3-{word}", f"the state at {place} cannot be used: {error}", f"{why} (object `{name}`)", fix
    )
