"""The project's `tracking` block: where experiments, runs and registered models are kept."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

from mlctl.provider import Block
from mlctl.types.jobs.tracking import DEFAULT_URI, SQLITE


def _tracking_uri(uri: str) -> str:
    """A URI that MLflow takes and that may stand in a state file. Raises ValueError."""
    parts = urlsplit(uri)
    if parts.scheme in ("http", "https"):
        if not parts.hostname:
            raise ValueError(f"{uri!r} names no host; write `http://127.0.0.1:5000`")
        if parts.username or parts.password:
            raise ValueError(
                "a tracking URI is kept in the state, so it must not hold a password; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD in the environment instead"
            )
        return uri
    if uri.startswith(SQLITE) and uri != SQLITE:
        return uri
    if parts.scheme in ("", "file"):
        name = parts.path.strip("/") or "mlflow"
        raise ValueError(
            f"{uri!r} is a folder, and MLflow 3 no longer writes to one; write `sqlite:///{name}.db`, or the http address of a tracking server"
        )
    raise ValueError(
        f"{uri!r} is not a tracking URI that mlctl knows; write `sqlite:///path/to/mlflow.db`, or the http address of a tracking server"
    )


class Mlflow(Block):
    """The MLflow store. A relative SQLite path is meant from the project folder; `experiment` is the project's name by default."""

    uri: Annotated[str, AfterValidator(_tracking_uri)] = DEFAULT_URI
    experiment: Annotated[str | None, AfterValidator(lambda name: _experiment(name))] = None


def _experiment(name: str | None) -> str | None:
    if name is not None and not name.strip():
        raise ValueError("an experiment needs a name; leave the field out to use the project's")
    return name


class Tracking(Block):
    """`tracking: {mlflow: {uri: ..., experiment: ...}}`."""

    mlflow: Mlflow = Mlflow()
