"""A server with known times, in a thread: what a load test says of it can be checked."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web


class Server:
    """`/predict` takes `delay` seconds (and all stand still from `stall` on, for `stall_seconds`); `/fail` fails each third;
    `/v1/chat/completions` streams four pieces, `gap` seconds apart."""

    def __init__(self, delay: float = 0.01, gap: float = 0.02) -> None:
        self.delay, self.gap = delay, gap
        self.open_from = 0.0  # of the loop's clock: nobody is answered before
        self.count = 0
        self.bodies: list[dict[str, object]] = []
        self.arrived: list[float] = []  # by the loop's clock, each request's
        self.under_way, self.most = 0, 0
        self.stalled = (0.0, 0.0)
        self.url = ""
        self.loop = asyncio.new_event_loop()
        self.stop: asyncio.Event

    async def predict(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.json())
        self.arrived.append(self.loop.time())
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(self.delay)
        if (wait := self.open_from - self.loop.time()) > 0:
            await asyncio.sleep(wait)
        self.under_way -= 1
        return web.json_response({"predictions": []})

    async def fail(self, request: web.Request) -> web.Response:
        self.count += 1
        return web.json_response({}, status=500 if self.count % 3 == 0 else 200)

    async def refuse(self, request: web.Request) -> web.Response:
        return web.json_response({"code": "predict.bad-field", "message": "there is no `amount`"}, status=422)

    async def chat(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for piece in ("one", "two", "three", "four"):
            await asyncio.sleep(self.gap)
            await response.write(_event({"choices": [{"delta": {"content": piece}}]}))
        await response.write(_event({"choices": [], "usage": {"completion_tokens": 8}}) + b"data: [DONE]\n\n")
        return response

    def stall(self, seconds: float) -> None:
        """Answer nobody for a while."""

        def close() -> None:
            now = self.loop.time()
            self.open_from, self.stalled = now + seconds, (now, now + seconds)

        self.loop.call_soon_threadsafe(close)


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    """Run it for as long as the block lasts."""
    ready = threading.Event()

    async def main() -> None:
        app = web.Application()
        for path in ("predict", "fail", "refuse"):
            app.router.add_post(f"/{path}", getattr(server, path))
        app.router.add_post("/v1/chat/completions", server.chat)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        server.stop = asyncio.Event()
        ready.set()
        await server.stop.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: server.loop.run_until_complete(main()))
    thread.start()
    assert ready.wait(10)
    try:
        yield server
    finally:
        server.loop.call_soon_threadsafe(server.stop.set)
        thread.join()
        server.loop.close()


def _event(value: dict[str, object]) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"
