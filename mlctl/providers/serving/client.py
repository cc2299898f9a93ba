"""Talk to a model server over HTTP, with the standard library alone."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from mlctl.types.diagnostic import MlctlError
from mlctl.types.secret import Secrets, sealed_names
from mlctl.types.state import Record
from mlctl.types.value import Json

_CHAT = "/v1/chat/completions"


@dataclass(frozen=True, slots=True)
class Health:
    """What a server says of itself on /healthz."""

    deployment: str
    release: str
    ready: bool


def predict(
    record: Record, payload: Mapping[str, Json], timeout: float = 30.0, token: str | None = None
) -> dict[str, Any]:
    """Ask a deployment for predictions: `{"household_id": 1}`, `{"keys": [1, 2]}` or `{"instances": [{...}]}`.

    The answer holds `predictions`, `model`, `version` and `request_id`. Raises MlctlError: `predict.unreachable`, or the
    server's own code, such as `predict.unknown-key`.
    """
    return _ask(record, "/predict", payload, "predictions", timeout, token)


def chat(
    record: Record, payload: Mapping[str, Json], timeout: float = 30.0, token: str | None = None
) -> dict[str, Any]:
    """Ask a deployment of a language model: `{"messages": [{"role": "user", "content": ...}]}`, and whatever else the OpenAI API
    takes. The answer is of that API, with `choices` and `usage`. Raises MlctlError as `predict` does."""
    named = {"model": record.outputs.get("model"), **payload, "stream": False}
    return _ask(record, _CHAT, named, "choices", timeout, token)


def path_of(record: Record) -> str:
    """Where a deployment is asked: one of a language model has an engine for those."""
    serve = record.spec.get("serve")
    engine = serve.get("engine") if isinstance(serve, Mapping) else None
    return "/predict" if engine is None else _CHAT


def url_of(record: Record) -> str:
    """Its address. Raises MlctlError when it has none."""
    url = record.outputs.get("url")
    if not isinstance(url, str):
        address = str(record.key.address)
        raise MlctlError.of(
            "predict.not-deployed",
            f"{address} is not deployed",
            "its state holds no address",
            "run `mlctl apply`",
            address=address,
        )
    return url


def token_of(record: Record, secrets: Callable[[], Secrets]) -> str | None:
    """What a deployment wants to see of whoever asks. `secrets` is called only when it has a token, which takes reading the
    project. Raises MlctlError when that is not known here."""
    serve = record.spec.get("serve")
    auth = serve.get("auth") if isinstance(serve, Mapping) else None
    if not isinstance(auth, Mapping):
        return None
    token = secrets().opened(auth.get("token"))
    if missing := sealed_names(token):
        named = ", ".join(sorted(missing))
        raise MlctlError.of(
            "predict.no-token",
            f"{record.key.address} answers only who has its token, and {named} is not set",
            "the state keeps the name of a secret and not its value",
            "set it, as for `mlctl apply`",
            address=str(record.key.address),
        )
    return str(token)


def _ask(
    record: Record, path: str, payload: Mapping[str, Json], answered: str, timeout: float, token: str | None
) -> dict[str, Any]:
    """One request to a deployment, whose answer has the field `answered`. Raises MlctlError."""
    address, url = str(record.key.address), url_of(record)
    try:
        status, answer = _call(url, "POST", path, payload, timeout, token)
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
    if status == 200 and isinstance(answer, dict) and answered in answer:
        return answer
    if isinstance(answer, dict) and isinstance(answer.get("error"), dict) and "code" not in answer:
        raise MlctlError.of(  # an engine's own words
            "predict.refused", str(answer["error"].get("message", "")), f"HTTP status {status}", "", address=address
        )
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


def openapi(url: str, address: str, token: str | None = None) -> dict[str, Any]:
    """What a deployment says of its requests (OpenAPI). Raises MlctlError `predict.unreachable`."""
    try:
        status, answer = _call(url, "GET", "/openapi.json", None, 10.0, token)
    except (OSError, http.client.HTTPException, ValueError) as error:
        status, answer = 0, f"{type(error).__name__}: {error}"
    if status == 200 and isinstance(answer, dict):
        return answer
    raise MlctlError.of(
        "predict.unreachable",
        f"{address} does not say at {url} what it takes",
        str(answer) if status == 0 else f"it answers {status}",
        "see `mlctl status`; `mlctl apply` starts it again",
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


def _call(
    url: str, method: str, path: str, payload: Mapping[str, Json] | None, timeout: float, token: str | None = None
) -> tuple[int, Any]:
    """One request on a connection of its own. Raises OSError, HTTPException, and ValueError when the answer is not JSON."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)
    try:
        body = None if payload is None else json.dumps(dict(payload)).encode()
        headers = {"content-type": "application/json"} if body is not None else {}
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()
