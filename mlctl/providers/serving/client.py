"""Talk to a model server over HTTP, with the standard library alone."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from mlctl.types.diagnostic import MlctlError
from mlctl.types.state import Record
from mlctl.types.value import Json


@dataclass(frozen=True, slots=True)
class Health:
    """What a server says of itself on /healthz."""

    deployment: str
    release: str
    ready: bool


def predict(record: Record, payload: Mapping[str, Json], timeout: float = 30.0) -> dict[str, Any]:
    """Ask a deployment for predictions: `{"household_id": 1}`, `{"keys": [1, 2]}` or `{"instances": [{...}]}`.

    The answer holds `predictions`, `model`, `version` and `request_id`. Raises MlctlError: `predict.unreachable`, or the
    server's own code, such as `predict.unknown-key`.
    """
    address = str(record.key.address)
    url = record.outputs.get("url")
    if not isinstance(url, str):
        raise MlctlError.of(
            "predict.not-deployed",
            f"{address} is not deployed",
            "its state holds no address",
            "run `mlctl apply`",
            address=address,
        )
    try:
        status, answer = _call(url, "POST", "/predict", payload, timeout)
    except TimeoutError:
        raise MlctlError.of(
            "predict.unreachable",
            f"{address} at {url} did not answer within {timeout:g} s",
            "",
            f"see `mlctl logs {address}`",
            address=address,
        ) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise MlctlError.of(
            "predict.unreachable",
            f"{address} does not answer at {url}",
            f"{type(error).__name__}: {error}",
            "see `mlctl status`; `mlctl apply` starts it again",
            address=address,
        ) from None
    if status == 200 and isinstance(answer, dict) and "predictions" in answer:
        return answer
    if not isinstance(answer, dict) or "code" not in answer:
        raise MlctlError.of(
            "predict.not-ours",
            f"{url} answers {status}, and not as a server of mlctl does",
            "another program has the port",
            "run `mlctl plan` to see what happened",
            address=address,
        )
    field = f"the field is `{answer['field']}`; " if answer.get("field") else ""
    raise MlctlError.of(
        str(answer["code"]),
        str(answer.get("message", "")),
        f"{field}HTTP status {status}, request {answer.get('request_id', '')}",
        "",
        address=address,
    )


def health(url: str, timeout: float) -> Health | None:
    """Who answers at a URL; None when nobody does, or somebody who is not a model server of ours."""
    try:
        status, answer = _call(url, "GET", "/healthz", None, timeout)
        return (
            Health(str(answer["deployment"]), str(answer["release"]), bool(answer["ready"])) if status == 200 else None
        )
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return None


def _call(url: str, method: str, path: str, payload: Mapping[str, Json] | None, timeout: float) -> tuple[int, Any]:
    """One request on a connection of its own. Raises OSError, HTTPException, and ValueError when the answer is not JSON."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)
    try:
        body = None if payload is None else json.dumps(dict(payload)).encode()
        connection.request(method, path, body, {"content-type": "application/json"} if body is not None else {})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()
