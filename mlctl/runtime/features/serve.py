"""The `feature_server` program: features by key over HTTP, until it is told to stop."""

from __future__ import annotations

import asyncio
import hmac
import json
import math
import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from mlctl.runtime.features.answers import Answers
from mlctl.runtime.report import Report
from mlctl.types.diagnostic import MlctlError
from mlctl.types.job import JobResult, JobStatus
from mlctl.types.jobs.feature_server import TOKEN_VARIABLE, FeatureServerJob
from mlctl.types.jobs.features import GetParams
from mlctl.types.jobs.server import server_url

_MAX_BODY_BYTES = 8 * 1024 * 1024
_MAX_KEYS = 10_000
_DRAIN_SECONDS = 10.0
_BODY_SECONDS = 30.0  # within which a body has to arrive
_AWAY = ("features.store-down", "features.store-gone")


def main(params: dict[str, Any], report: Report) -> JobResult:
    """Take the port, serve, and end when every request is answered. Raises MlctlError when the port cannot be had."""
    job = FeatureServerJob.model_validate(params)
    token = os.environ.get(TOKEN_VARIABLE, "")
    if job.token and not token:
        raise MlctlError.of(
            "features.no-token", f"`{TOKEN_VARIABLE}` is not set", "this server answers nobody without it", "set it"
        )
    from mlctl.runtime.server.handover import bind_failed, obtain
    from mlctl.runtime.server.serve import run

    listener = obtain(report.folder.absolute(), job.host, job.port)
    server = FeatureServer(job, token)
    url = server_url(job.host, listener.getsockname()[1])

    def ready() -> None:
        report.progress(f"serving {', '.join([*job.views, *job.services])} on {url}")

    def forever() -> asyncio.Future[None]:
        return asyncio.get_running_loop().create_future()

    try:
        run(server.asgi(), listener, forever, ready, server.drain, _DRAIN_SECONDS)
    except OSError as error:
        raise bind_failed(job.host, job.port, error) from None
    finally:
        server.close()
    return JobResult(JobStatus.DONE)


class Refused(Exception):
    """A request that gets another answer than features."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class FeatureServer:
    """Answers requests for views and services. A store that is away is asked again with the next request."""

    def __init__(self, job: FeatureServerJob, token: str) -> None:
        self._known = {"view": job.views, "service": job.services}
        self._token = token if job.token else ""
        self._open: dict[tuple[str, str], Answers] = {}
        self._lock = threading.Lock()
        self._draining = False

    def asgi(self) -> Any:
        """The application."""
        from fastapi import FastAPI, Response

        app = FastAPI(title="features", docs_url=None, redoc_url=None, openapi_url=None)
        app.add_api_route("/features", _endpoint(self.features), methods=["POST"], response_class=Response)
        app.add_api_route("/healthz", _endpoint(self.healthz), methods=["GET"], response_class=Response)
        app.add_api_route("/readyz", _endpoint(self.readyz), methods=["GET"], response_class=Response)
        return app

    async def features(self, request: Any) -> Any:
        """POST /features: {"view": NAME, "keys": [...]} or {"service": NAME, "keys": [...]}."""
        try:
            self._admit(request)
            what, name, rows = _asked(await _body(request))
            answered = await asyncio.to_thread(self._rows, what, name, rows)
            return self._json(200, {"rows": answered})
        except Refused as refused:
            closing = (
                {"connection": "close"} if refused.status in (408, 413) else {}
            )  # the rest of the body is not read
            return self._json(refused.status, {"code": refused.code, "message": refused.message}, closing)
        except MlctlError as error:
            problem = error.diagnostics[0]
            away = problem.code in _AWAY
            said = {"code": problem.code, "message": problem.summary, "why": problem.why}
            return self._json(503 if away else 400, said, {"retry-after": "1"} if away else {})

    async def healthz(self, request: Any) -> Any:
        """Whether the process lives."""
        return self._json(200, {"draining": self._draining})

    async def readyz(self, request: Any) -> Any:
        """Whether every view and service can be read just now."""
        try:
            self._admit(request)
            for what, names in self._known.items():
                for name in names:
                    await asyncio.to_thread(self._rows, what, name, [])
        except Refused as refused:
            return self._json(refused.status, {"code": refused.code, "message": refused.message})
        except MlctlError as error:
            return self._json(
                503, {"ready": False, "code": error.diagnostics[0].code, "message": error.diagnostics[0].summary}
            )
        return self._json(503 if self._draining else 200, {"ready": not self._draining})

    def drain(self) -> None:
        """From now on clients are told to connect anew, elsewhere."""
        self._draining = True

    def close(self) -> None:
        """Let the stores go."""
        for answers in self._open.values():
            answers.close()

    def _admit(self, request: Any) -> None:
        """Whoever has the token may ask. It is compared in a time that says nothing of it. Raises Refused."""
        given = request.headers.get("authorization", "")
        if self._token and not hmac.compare_digest(given.encode(), f"Bearer {self._token}".encode()):
            raise Refused(
                401, "features.unauthorized", "send the header `Authorization: Bearer ...` with the server's token"
            )

    def _rows(self, what: str, name: str, rows: Sequence[Any]) -> list[dict[str, Any]]:
        known = self._known[what]
        if name not in known:
            listed = ", ".join(known) or "none"
            raise Refused(404, "features.unknown-name", f"there is no {what} `{name}` here; it has {listed}")
        answers = self._answers(what, name, known[name])
        wanted = [_row(row, answers) for row in rows]
        if not wanted:
            answers.check()
        return answers.rows([keys for keys, _ in wanted], [request for _, request in wanted])

    def _answers(self, what: str, name: str, params: GetParams) -> Answers:
        """What answers for a name, opened with the first request that a store answers."""
        with self._lock:
            if (what, name) not in self._open:
                self._open[what, name] = Answers(params.store, params.views, params.transformations, params.columns)
            return self._open[what, name]

    def _json(self, status: int, value: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Any:
        from fastapi import Response

        closing = {"connection": "close"} if self._draining else {}
        body = json.dumps(_finite(value), ensure_ascii=False, allow_nan=False).encode("utf-8", "surrogatepass")
        return Response(body, status, {**closing, **(headers or {})}, "application/json")


def _endpoint(method: Any) -> Any:
    """A method as FastAPI takes one: it reads what to hand over from the annotation."""
    from fastapi import Request

    async def call(request: Request) -> Any:
        return await method(request)

    call.__annotations__ = {"request": Request}
    return call


async def _body(request: Any) -> Any:
    """The body as JSON, read only up to the limit, and only for a while. Raises Refused."""
    from starlette.requests import ClientDisconnect

    data = bytearray()
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for part in request.stream():
                data += part
                if len(data) > _MAX_BODY_BYTES:
                    raise Refused(413, "features.too-large", f"the body is larger than {_MAX_BODY_BYTES} bytes")
        return json.loads(data)
    except TimeoutError:
        raise Refused(408, "features.slow-request", "the body did not arrive in time") from None
    except ClientDisconnect:
        raise Refused(499, "features.disconnected", "the client went away") from None
    except (ValueError, RecursionError):
        raise Refused(400, "features.bad-request", "the body is not JSON") from None


def _asked(body: Any) -> tuple[str, str, list[Any]]:
    """Whether a view or a service is asked, which, and for which keys. Raises Refused."""
    shape = 'send {"view": NAME, "keys": [...]} or {"service": NAME, "keys": [...]}'
    if not isinstance(body, dict) or set(body) not in ({"view", "keys"}, {"service", "keys"}):
        raise Refused(400, "features.bad-request", shape)
    what = "view" if "view" in body else "service"
    name, rows = body[what], body["keys"]
    if not isinstance(name, str) or not isinstance(rows, list):
        raise Refused(400, "features.bad-request", shape)
    if len(rows) > _MAX_KEYS:
        raise Refused(413, "features.too-large", f"{len(rows):,} keys were asked for, and {_MAX_KEYS:,} is the most")
    return what, name, rows


def _row(row: Any, answers: Answers) -> tuple[dict[str, Any], dict[str, float | None]]:
    """One entry of `keys`: an object, or the bare value where there is one key column and nothing else. Raises Refused."""
    names = [key.name for key in answers.keys]
    if not isinstance(row, dict) and len(names) == 1 and not answers.request:
        row = {names[0]: row}
    if not isinstance(row, dict):
        raise Refused(
            400, "features.bad-request", f"an entry of `keys` is an object with {', '.join([*names, *answers.request])}"
        )
    unknown = sorted(set(row) - set(names) - set(answers.request))
    if unknown:
        raise Refused(
            400,
            "features.bad-request",
            f"{', '.join(f'`{name}`' for name in unknown)} is neither a key nor read by a function",
        )
    for name in answers.request:
        value = row.get(name)
        if value is not None and not _is_number(value):
            raise Refused(400, "features.bad-request", f"`{name}` is a number, or null")
    return {name: row[name] for name in names if name in row}, {
        name: row[name] for name in answers.request if name in row
    }


def _is_number(value: object) -> bool:
    """Whether a float holds it: a whole number in JSON may have thousands of digits."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _finite(value: Any) -> Any:
    """JSON has no word for what is no number."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list) else value
