"""The processes of the gateway benchmark: upstreams, the gateways it compares, and the load."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psutil

from mlctl.rollout.routes import Backend, Routes
from mlctl.runtime.gateway import Gateway, open_gateway
from mlctl.runtime.gateway.envoy.process import program
from mlctl.types.jobs.rollout import GatewaySpec, Unit
from tests.integration.gateway.parts import Client
from tests.integration.servers import free_port

UNIT = Unit(header="x-user-id", salt="bench-2026")
GATEWAY_CORE, OTHERS_CORE = 0, 1

# Each user of the load is somebody new; an answer says who gave it and which variant that server was told to be.
_LOAD = """
local asked, bad, unavailable = 0, 0, 0
wrk.method = "POST"
wrk.body = string.rep("x", 250)
wrk.headers["content-type"] = "application/json"
function init() math.randomseed(os.time()) end
function request()
  asked = asked + 1
  wrk.headers["x-user-id"] = tostring(math.random(1, 1000000000))
  return wrk.format(nil, "/predict")
end
@CHECK@
function setup(thread) threads = threads or {}; table.insert(threads, thread) end
function done(summary, latency)
  local wrong, away = @STATUS@, 0
  for _, thread in ipairs(threads) do wrong = wrong + (thread:get("bad") or 0); away = away + (thread:get("unavailable") or 0) end
  local lost = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  print(string.format("RESULT %d %d %d %d %d %d %d", summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), lost, wrong, away))
end
"""
_CHECK = """
bad, unavailable = 0, 0
function response(status, headers, body)
  if status == 503 and headers["retry-after"] == "1" then unavailable = unavailable + 1; return end
  local name, told = string.match(body, "^(%a+) (%a+) ")
  if status ~= 200 or name == nil or name ~= told then bad = bad + 1 end
end
"""


@dataclass(frozen=True)
class Load:
    """What a load saw: `lost` got no answer, `wrong` got one from a server that was told to be another, or none of 200."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    lost: int
    wrong: int
    unavailable: int


class Upstream:
    """nginx, which says its name, and what it was told: far quicker than any gateway in front of it."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.port = name, free_port()
        self._folder = folder / f"upstream-{name}-{self.port}"
        self._folder.mkdir()
        told = "$http_x_mlctl_variant $http_x_mlctl_bucket"
        (self._folder / "nginx.conf").write_text(
            f"daemon off; worker_processes 1; pid {self._folder}/pid; error_log {self._folder}/log;\n"
            "events { worker_connections 8192; }\n"
            "http { access_log off; keepalive_requests 100000000; client_body_buffer_size 64k;\n"
            f" server {{ listen 127.0.0.1:{self.port} backlog=4096;"
            f' location / {{ return 200 "{name} {told} {"." * 160}"; }} }} }}\n'
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return once it answers."""
        self._process = spawn(["nginx", "-p", str(self._folder), "-c", str(self._folder / "nginx.conf")], OTHERS_CORE)
        await_port(self.port)

    def kill(self) -> None:
        """All of it, with SIGKILL."""
        if self._process is not None:
            end(self._process)
            self._process = None

    def backend(self, version: str) -> Backend:
        """How routes name it."""
        return Backend("127.0.0.1", self.port, version)


def load(port: int, connections: int, seconds: float, folder: Path, *, check: bool = False) -> Load:
    """Ask for a while."""
    script = folder / "load.lua"
    script.write_text(
        _LOAD.replace("@CHECK@", _CHECK if check else "").replace("@STATUS@", "0" if check else "summary.errors.status")
    )
    command = [
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{max(1, math.ceil(seconds))}s",
        "--timeout",
        "10s",
        "-s",
        str(script),
        f"http://127.0.0.1:{port}/",
    ]
    done = subprocess.run(_pinned(command, OTHERS_CORE), capture_output=True, text=True, check=True)
    found = re.search(r"RESULT (\d+) (\d+) (\d+) (\d+) (\d+) (\d+) (\d+)", done.stdout)
    if found is None:
        raise SystemExit(f"wrk said nothing: {done.stdout}{done.stderr}")
    requests, duration, p50, p99, lost, wrong, unavailable = map(int, found.groups())
    return Load(requests, duration / 1e6, p50 / 1e3, p99 / 1e3, lost, wrong, unavailable)


@contextmanager
def ours(type_: Literal["envoy", "python"], folder: Path, routes: Routes) -> Iterator[tuple[Gateway, int, int]]:
    """One of our gateways: with its port and its pid."""
    port = free_port()
    gateway = open_gateway(type_, folder / type_)
    everywhere = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {GATEWAY_CORE % (os.cpu_count() or 1)})  # what is started stays there
        gateway.start(
            GatewaySpec(type=type_, host="127.0.0.1", port=port, timeout_seconds=30, max_body_bytes=10_000_000)
        )
        gateway.configure(routes)
        pid = int(re.findall(r'"pid": ?(\d+)', (folder / type_ / "process.json").read_text())[0])
        os.sched_setaffinity(0, everywhere)
        yield gateway, port, pid
    finally:
        os.sched_setaffinity(0, everywhere)
        gateway.stop(1)


@contextmanager
def peer(name: str, folder: Path, stable: Upstream, candidate: Upstream) -> Iterator[tuple[int, int]]:
    """One of the others, with a sticky split of 90 to 10: its port and its pid."""
    port = free_port()
    command, environment = _PEERS[name](folder, port, stable.port, candidate.port)
    process = spawn(command, GATEWAY_CORE, environment)
    try:
        await_port(port)
        yield port, process.pid
    finally:
        end(process)


def cpu_seconds(pid: int) -> float:
    """Of a process and its children."""
    with suppress(psutil.Error):
        leader = psutil.Process(pid)
        times = [one.cpu_times() for one in (leader, *leader.children(recursive=True))]
        return sum(item.user + item.system for item in times)
    return 0.0


def spawn(command: Sequence[str], core: int, environment: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, on one core."""
    return subprocess.Popen(
        _pinned(command, core), env={**os.environ, **(environment or {})}, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def end(process: subprocess.Popen[bytes]) -> None:
    """All of its session."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def await_port(port: int) -> None:
    """Until somebody answers there."""
    deadline = time.monotonic() + 20
    while True:
        client = Client(port)
        try:
            if client.ask("/").status == 200:
                return
        except OSError:
            pass
        finally:
            client.connection.close()
        if time.monotonic() > deadline:
            raise SystemExit(f"nobody answers on port {port}")
        time.sleep(0.05)


@contextmanager
def awake(wanted: bool) -> Iterator[None]:
    """Cores that wait without going to sleep, if wanted: on a virtual machine each awakening is a way through the host.

    The kernel is asked to for as long as the file is open, which only root may. Raises SystemExit otherwise.
    """
    if not wanted:
        yield
        return
    try:
        handle = os.open("/dev/cpu_dma_latency", os.O_WRONLY)
    except OSError as error:
        raise SystemExit(f"cores cannot be kept awake here ({error}); leave out --awake") from None
    try:
        os.write(handle, struct.pack("i", 0))
        yield
    finally:
        os.close(handle)


@contextmanager
def workplace() -> Iterator[Path]:
    """A folder that goes."""
    folder = Path(tempfile.mkdtemp(prefix="mlctl-bench-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _pinned(command: Sequence[str], core: int) -> list[str]:
    return ["taskset", "-c", str(core % (os.cpu_count() or 1)), *command]


def _bare_envoy(folder: Path, port: int, stable: int, candidate: int) -> tuple[list[str], dict[str, str]]:
    """Ours without any of our functions: what is left is Envoy's own. All requests go to one server."""
    extensions = "type.googleapis.com/envoy.extensions"
    manager = {
        "@type": f"{extensions}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bare",
        "generate_request_id": False,
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "stable"}}],
                }
            ]
        },
        "http_filters": [{"name": "router", "typed_config": {"@type": f"{extensions}.filters.http.router.v3.Router"}}],
    }
    cluster = {
        "name": "stable",
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": "stable",
            "endpoints": [{"lb_endpoints": [{"endpoint": _address(stable)}]}],
        },
    }
    chain = {"filters": [{"name": "http", "typed_config": manager}]}
    listener = {"name": "bare", **_address(port), "filter_chains": [chain]}
    config = {"static_resources": {"listeners": [listener], "clusters": [cluster]}}
    (folder / "bare.json").write_text(json.dumps(config))
    command = [str(program()), "-c", str(folder / "bare.json"), "--disable-hot-restart", "--concurrency", "1"]
    return [*command, "--log-level", "off"], {}


def _address(port: int) -> dict[str, Any]:
    return {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}


def _haproxy(folder: Path, port: int, stable: int, candidate: int) -> tuple[list[str], dict[str, str]]:
    (folder / "haproxy.cfg").write_text(
        "global\n nbthread 1\n maxconn 8192\n"
        "defaults\n mode http\n option http-no-delay\n timeout client 60s\n timeout server 60s\n timeout connect 2s\n"
        f"frontend f\n bind 127.0.0.1:{port}\n"
        " acl candidate req.hdr(x-user-id),xxh32,mod(10000) ge 9000\n"
        " http-request set-header x-mlctl-variant candidate if candidate\n"
        " http-request set-header x-mlctl-variant stable unless candidate\n"
        " use_backend candidate if candidate\n default_backend stable\n"
        f"backend stable\n server s 127.0.0.1:{stable}\nbackend candidate\n server c 127.0.0.1:{candidate}\n"
    )
    return ["haproxy", "-db", "-f", str(folder / "haproxy.cfg")], {}


def _nginx(folder: Path, port: int, stable: int, candidate: int) -> tuple[list[str], dict[str, str]]:
    (folder / "gateway.conf").write_text(
        f"daemon off; worker_processes 1; pid {folder}/gateway.pid; error_log {folder}/gateway.log;\n"
        "events { worker_connections 8192; }\n"
        'http { access_log off; keepalive_requests 100000000; split_clients "$http_x_user_id" $variant { 10% candidate; * stable; }\n'
        f" upstream stable {{ server 127.0.0.1:{stable}; keepalive 256; keepalive_requests 100000000; }}\n"
        f" upstream candidate {{ server 127.0.0.1:{candidate}; keepalive 256; keepalive_requests 100000000; }}\n"
        f" server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ proxy_pass http://$variant; proxy_http_version 1.1;"
        ' proxy_set_header Connection ""; proxy_set_header x-mlctl-variant $variant; proxy_buffering off; } } }\n'
    )
    return ["nginx", "-p", str(folder), "-c", str(folder / "gateway.conf")], {}


def _httpx(folder: Path, port: int, stable: int, candidate: int) -> tuple[list[str], dict[str, str]]:
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "by_hand_gateway:app",
        "--port",
        str(port),
        "--log-level",
        "error",
        "--no-access-log",
    ]
    backends = f"http://127.0.0.1:{stable},http://127.0.0.1:{candidate}"
    return [*command, "--app-dir", str(Path(__file__).parent)], {"BACKENDS": backends}


_PEERS: dict[str, Callable[[Path, int, int, int], tuple[list[str], dict[str, str]]]] = {
    "Envoy, bare": _bare_envoy,
    "HAProxy": _haproxy,
    "nginx": _nginx,
    "Starlette + httpx": _httpx,
}
PEERS = tuple(_PEERS)
