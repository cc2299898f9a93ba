from __future__ import annotations

import asyncio
import time

import pytest
from aiohttp import ClientSession, web

from mlctl.runtime.bench.sending import Answer, Sender

STREAM = b'data: {"choices": [], "usage": {"completion_tokens": 2}}\n\ndata: [DONE]\n\n'


def sent(body: bytes, *, streaming: bool) -> Answer:
    async def ask() -> Answer:
        async def answer(_: web.Request) -> web.Response:
            return web.Response(body=body)

        app = web.Application()
        app.router.add_post("/", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            host, port = runner.addresses[0][:2]
            async with ClientSession() as session:
                return await Sender(session, f"http://{host}:{port}/", streaming=streaming).send(
                    b"{}", time.perf_counter()
                )
        finally:
            await runner.cleanup()

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("body", "tokens", "prompt"),
    [
        (b'{"choices": [], "usage": {"completion_tokens": 7, "prompt_tokens": 3}}', 7, 3),
        (STREAM, 0, None),  # one that was asked for as a stream, among others that were not
        (b'{"usage": {"completion_tokens": ["7"], "prompt_tokens": "3"}}', 0, None),
        (b'{"predictions": [{"usage": 4}], "usage": 5}', 0, None),
    ],
)
def test_a_whole_answer_is_good_whatever_it_says_of_its_length(body: bytes, tokens: int, prompt: int | None) -> None:
    found = sent(body, streaming=False)
    assert (found.good, found.status, found.tokens, found.prompt_tokens) == (True, "200", tokens, prompt)


def test_a_stream_tells_its_tokens_and_ends_with_done() -> None:
    found = sent(STREAM, streaming=True)
    assert (found.good, found.tokens, found.ttft) == (True, 2, None)
    assert sent(STREAM.split(b"data: [DONE]")[0], streaming=True).status == "cut off"
