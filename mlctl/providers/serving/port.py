"""Whether a port can be had, and who has it."""

from __future__ import annotations

import socket

from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.server import server_url
from mlctl.types.ownership import import_command


def refuse_taken(host: str, port: int, address: str) -> None:
    """Raise MlctlError `deploy.port-in-use` when some program listens on it, named as far as the system lets us see."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            return
        except PermissionError as error:
            raise MlctlError.of(
                "deploy.cannot-bind",
                f"port {port} may not be used",
                str(error),
                "choose a port above 1023",
                address=address,
            ) from None
        except OSError as error:
            why = holder(port) or str(error)
    raise MlctlError.of(
        "deploy.port-in-use",
        f"port {port} of {host} is in use by another program",
        why,
        "stop that program, or set another `serve.port`; a server of this project whose state was lost is taken over with "
        f"`{import_command(address, server_url(host, port))}`",
        address=address,
    )


def holder(port: int) -> str:
    """`pid 123 holds it: python -m http.server`, or empty text when it cannot be found."""
    import psutil

    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid is not None:
                command = " ".join(psutil.Process(connection.pid).cmdline())
                return f"pid {connection.pid} holds it: {command[:200]}"
    except psutil.Error:
        pass  # other users' processes may be hidden from us
    return ""
