"""What one would write by hand as a gateway: Starlette in front, httpx behind, a split by the user's hash.

uvicorn by_hand_gateway:app          with BACKENDS=http://127.0.0.1:1,http://127.0.0.1:2 in the environment
"""

from __future__ import annotations

import os
import zlib

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

STABLE, CANDIDATE = os.environ["BACKENDS"].split(",")
client = httpx.AsyncClient(limits=httpx.Limits(max_connections=None, max_keepalive_connections=200), timeout=60)


async def forward(request: Request) -> StreamingResponse:
    """Send the request on, and its answer back as it comes."""
    place = zlib.crc32(request.headers.get("x-user-id", "").encode()) % 10_000
    variant, base = ("candidate", CANDIDATE) if place >= 9000 else ("stable", STABLE)
    headers = [(name, value) for name, value in request.headers.raw if name not in (b"host", b"content-length")]
    sent = client.build_request(
        request.method,
        base + request.url.path,
        params=request.query_params,
        headers=[*headers, (b"x-mlctl-variant", variant.encode())],
        content=await request.body(),
    )
    answer = await client.send(sent, stream=True)
    passed = {name: value for name, value in answer.headers.items() if name not in ("transfer-encoding", "connection")}
    return StreamingResponse(answer.aiter_raw(), answer.status_code, passed, background=None)


app = Starlette(routes=[Route("/{path:path}", forward, methods=["GET", "POST"])])
