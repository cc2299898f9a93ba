"""Where pages of metrics come from, and what promtool says of them."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

from mlctl.cli.project_metrics import page
from mlctl.types.diagnostic import MlctlError
from mlctl.views.prometheus.lint import OURS, Problem
from mlctl.workspace import Workspace

_SECONDS = 10.0
_MOST_BYTES = 64 * 1024 * 1024
_SAID = re.compile(r"(?P<metric>[a-zA-Z_:][\w:]*) (?P<text>.*)")


def pages(workspace: Workspace, source: str | None, token_env: str) -> Iterator[tuple[str, str]]:
    """The page that is named, or those of the project: its own, and each deployment's that answers. Raises MlctlError."""
    token = _token(token_env)
    if source is None:
        yield "project", page(workspace)
        for address, record in workspace.records().items():
            url = record.outputs.get("url")
            if address.startswith("deployments.") and url:
                try:
                    yield address, _fetched(f"{url}/metrics", token)
                except MlctlError as error:
                    print(f"{address}: {error.diagnostics[0].summary}; skipped", file=sys.stderr)
    elif source == "-":
        yield "standard input", sys.stdin.buffer.read().decode("utf-8", "replace")
    elif source.startswith(("http://", "https://")):
        yield source, _fetched(source, token)
    else:
        try:
            yield source, Path(source).read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise _unreadable(source, error.strerror or str(error)) from None


def ask_promtool(text: str, *, everything: bool) -> list[Problem] | None:
    """What `promtool check metrics` says, of our own metrics or of all; None when it is not installed."""
    program = shutil.which("promtool")
    if program is None:
        return None
    try:
        done = subprocess.run(
            [program, "check", "metrics"], input=text, capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return [Problem("promtool", "", f"could not be asked: {error}", 1)]
    found = []
    for line in (done.stdout + done.stderr).splitlines():
        match = _SAID.fullmatch(line.strip())
        if match is None or (not everything and done.returncode == 3 and not match["metric"].startswith(OURS)):
            continue
        found.append(Problem("promtool", match["metric"], match["text"], 1))
    return found


def _token(name: str) -> str | None:
    if not name:
        return None
    value = os.environ.get(name)
    if value is None:
        raise MlctlError.of(
            "metrics.no-token",
            f"the variable `{name}` is not set",
            "`--token-env` names the one with the server's token",
            "set it, or leave the option out",
        )
    return value


def _fetched(url: str, token: str | None) -> str:
    try:
        request = Request(url, headers={"Accept": "text/plain;version=0.0.4"})  # noqa: S310 (http and https only)
        if token is not None:  # for this server alone: not for whoever it sends us on to
            request.add_unredirected_header("Authorization", f"Bearer {token}")
        with urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310 (http and https only)
            data: bytes = answer.read(_MOST_BYTES)
    except (URLError, OSError, ValueError, http.client.HTTPException) as error:
        raise _unreadable(url, str(getattr(error, "reason", error))) from None
    return data.decode("utf-8", "replace")


def _unreadable(source: str, why: str) -> MlctlError:
    return MlctlError.of(
        "metrics.unreadable",
        f"{source} cannot be read",
        why,
        "name a page of metrics: a file, or an address such as http://127.0.0.1:8080/metrics",
    )
