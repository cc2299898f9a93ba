"""A server to stand behind a gateway: it tells who it is and what it was asked. `python upstream.py NAME PORT`.

/hang        never answers            /stream?n=5&pause=0.2   chunks, one after the other
/fail        500                      /cut                    half of an answer, and then the process dies
/slow?pause=1                         anything else: JSON of the request
"""

import asyncio
import json
import os
import sys
from urllib.parse import parse_qs, urlsplit

seen: dict[str, list[object]] = {}  # by x-test-note: requests that nobody hears the answer of


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            first, *lines = head[:-4].split(b"\r\n")
            method, target, _ = first.decode("latin-1").split(" ")
            headers = [
                (name.decode().lower(), value.strip().decode("latin-1"))
                for name, value in (line.split(b":", 1) for line in lines)
            ]
            body = await read_body(reader, dict(headers))
            await answer(method, target, headers, body, writer)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def read_body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    """With a length, or in chunks."""
    if headers.get("transfer-encoding") != "chunked":
        return await reader.readexactly(int(headers.get("content-length", "0")))
    body = b""
    while size := int(await reader.readline(), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readline()
    return body


async def answer(
    method: str, target: str, headers: list[tuple[str, str]], body: bytes, writer: asyncio.StreamWriter
) -> None:
    """Do as the path says."""
    parts = urlsplit(target)
    query = {name: float(values[0]) for name, values in parse_qs(parts.query).items()}
    told = {"name": sys.argv[1], "method": method, "target": target, "headers": headers, "body": body.decode("latin-1")}
    note = dict(headers).get("x-test-note")
    if note is not None:
        seen.setdefault(note, []).append(told)
    status, content = "200 OK", json.dumps(told).encode()
    if parts.path == "/hang":
        await asyncio.sleep(3600)
    if parts.path == "/slow":
        await asyncio.sleep(query["pause"])
    if parts.path == "/fail":
        status, content = "500 Internal Server Error", b"no"
    if parts.path == "/seen":
        content = json.dumps(seen).encode()
    if parts.path == "/stream":
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for number in range(int(query["n"])):
            chunk = b"data: %d\n\n" % number
            writer.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            await writer.drain()
            await asyncio.sleep(query["pause"])
        writer.write(b"0\r\n\r\n")
    elif parts.path == "/cut":
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
        await writer.drain()
        await asyncio.sleep(0.2)
        os._exit(1)
    else:
        writer.write(
            b"HTTP/1.1 %s\r\nx-served-by: %s\r\ncontent-length: %d\r\n\r\n"
            % (status.encode(), sys.argv[1].encode(), len(content))
        )
        writer.write(b"" if method == "HEAD" else content)
    await writer.drain()


async def main() -> None:
    """Until the process is ended."""
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[2]), backlog=1024)
    print("ready", flush=True)
    await server.serve_forever()


asyncio.run(main())
