"""A Kubernetes API server in a thread: what the real `kubectl` needs of one before it comes to objects.

It is discovered, and speaks HTTP; what is kept and what becomes of it is up to whoever handles requests.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

Kinds = Mapping[str, Mapping[str, str]]  # group and version: plural: kind
_PATH = re.compile(
    r"/(?:api|apis)/(?P<version>v1|[\w.-]+/\w+)/namespaces/(?P<space>[\w-]+)/(?P<kind>\w+)(?:/(?P<name>[\w.-]+))?"
)
_VERBS = ["create", "delete", "get", "list", "patch"]
_REASONS = {404: "NotFound", 409: "Conflict"}


class Loopback:
    """The server."""

    def __init__(self, handler: type[Handler]) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.port: int = self._server.server_address[1]
        # the pause between two looks of the server's own for its end is what closing takes
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def write_config(self, path: Path) -> None:
        """A kubeconfig for kubectl."""
        config = {
            "apiVersion": "v1", "kind": "Config", "current-context": "here",
            "clusters": [{"name": "here", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}],
            "users": [{"name": "me", "user": {}}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
        }  # fmt: skip
        path.write_text(yaml.safe_dump(config))

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Handler(BaseHTTPRequestHandler):
    """Base of handlers. `discovery` is what `discovery()` makes of the kinds that are known."""

    discovery: Mapping[str, Any]
    protocol_version = "HTTP/1.1"

    def discovered(self) -> bool:
        """Whether the request was about what the server knows, and is answered."""
        found = self.discovery.get(urlsplit(self.path).path)
        if found is not None:
            self.answer(found)
        return found is not None

    def place(self) -> re.Match[str] | None:
        """Which objects a request is about: `version`, `space`, `kind` and `name`."""
        return _PATH.fullmatch(urlsplit(self.path).path)

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def answer(self, value: Any, code: int = 200) -> None:
        data = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


def status(code: int, message: str, said: str = "Failure") -> dict[str, Any]:
    """What a server answers that has no object to show."""
    reason = {"reason": _REASONS[code]} if code in _REASONS else {}
    return {"kind": "Status", "apiVersion": "v1", "status": said, "code": code, "message": message, **reason}


def listed(items: list[dict[str, Any]]) -> dict[str, Any]:
    return {"kind": "List", "apiVersion": "v1", "metadata": {}, "items": items}


def discovery(kinds: Kinds) -> dict[str, Any]:
    """What `kubectl` asks first, by path."""
    return {
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": _groups(kinds)},
        **{_base(name): _resources(name, kinds[name]) for name in kinds},
        "/openapi/v3": {
            "paths": {
                _base(name).removeprefix("/"): {"serverRelativeURL": f"/openapi/v3{_base(name)}"} for name in kinds
            }
        },
        **{f"/openapi/v3{_base(name)}": _openapi(name, kinds[name]) for name in kinds},
        "/version": {"major": "1", "minor": "32", "gitVersion": "v1.32.0"},
    }


def _base(version: str) -> str:
    return "/api/v1" if version == "v1" else f"/apis/{version}"


def _resources(version: str, kinds: Mapping[str, str]) -> dict[str, Any]:
    resources = [
        {"name": plural, "singularName": kind.lower(), "namespaced": True, "kind": kind, "verbs": _VERBS}
        for plural, kind in kinds.items()
    ]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources}


def _groups(kinds: Kinds) -> list[dict[str, Any]]:
    groups: dict[str, list[dict[str, str]]] = {}
    for version in kinds:
        if "/" in version:
            groups.setdefault(version.partition("/")[0], []).append(
                {"groupVersion": version, "version": version.partition("/")[2]}
            )
    return [{"name": name, "versions": items, "preferredVersion": items[0]} for name, items in groups.items()]


def _openapi(version: str, kinds: Mapping[str, str]) -> dict[str, Any]:
    """Enough for kubectl to see that the server checks fields by itself."""
    group, _, number = version.rpartition("/")
    checked = {"name": "fieldValidation", "in": "query", "schema": {"type": "string"}}
    paths = {
        f"{_base(version)}/namespaces/{{namespace}}/{plural}/{{name}}": {
            "patch": {
                "parameters": [checked],
                "x-kubernetes-group-version-kind": {"group": group, "version": number, "kind": kind},
            }
        }
        for plural, kind in kinds.items()
    }
    return {"openapi": "3.0.0", "info": {"title": "x", "version": "1"}, "paths": paths}
