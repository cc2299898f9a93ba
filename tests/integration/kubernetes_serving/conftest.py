from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlctl.provider import Context, Outcome
from mlctl.providers.serving.kubernetes import kept, models, places
from mlctl.providers.serving.kubernetes.convergence import Time
from mlctl.testing.harness import make_context, make_record
from mlctl.types.state import Record
from tests.integration.kubernetes_serving.api import Api
from tests.integration.kubernetes_serving.direct import Direct
from tests.unit.providers.serving.kubernetes.blocks import desired


class Clock:
    """Each look is some seconds after the one before, and nobody waits for them."""

    def __init__(self) -> None:
        self._now = 1_800_000_000.0

    def __call__(self) -> float:
        self._now += 5.0
        return self._now


class Deployed:
    """One deployment, applied again and again as the engine would."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx
        self.record: Record | None = None
        self.time = Time(now=Clock(), poll_seconds=0.001)

    def apply(self, block: dict[str, Any], version: int = 3) -> Outcome:
        asked, served = desired(self.ctx, block, version)
        outcome = kept.apply(asked, self.record, served, self.ctx, self.time)
        self.record = make_record(asked, outcome)
        return outcome


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Api, Path]]:
    """One for all tests: what kubectl asks a server for at first, it then keeps."""
    found, folder = Api(), tmp_path_factory.mktemp("kubectl")
    found.write_config(folder / "kubeconfig")
    yield found, folder
    found.close()


@pytest.fixture
def api(server: tuple[Api, Path], monkeypatch: pytest.MonkeyPatch) -> Api:
    found, folder = server
    monkeypatch.setenv("KUBECONFIG", str(folder / "kubeconfig"))
    monkeypatch.setenv("KUBECACHEDIR", str(folder / "cache"))
    found.empty()
    return found


@pytest.fixture
def by_kubectl(tmp_path: Path, api: Api, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Deployed:
    """A deployment whose cluster is reached by the real kubectl."""
    if shutil.which("kubectl") is None and not {"cluster", "deployed"} & set(request.fixturenames):
        pytest.skip("kubectl is not installed")
    monkeypatch.setattr(models, "publish", _published(tmp_path / "bucket"))
    return Deployed(make_context(tmp_path / "project"))


@pytest.fixture
def cluster(api: Api, monkeypatch: pytest.MonkeyPatch) -> type[Direct]:
    """The same cluster, reached without it: in milliseconds."""
    found = type("Reached", (Direct,), {"api": api})
    monkeypatch.setattr(places, "Cluster", found)
    return found


@pytest.fixture(params=["direct", pytest.param("kubectl", marks=pytest.mark.soak)])
def deployed(by_kubectl: Deployed, request: pytest.FixtureRequest) -> Deployed:
    """A deployment that is reached in either way."""
    if request.param == "direct":
        request.getfixturevalue("cluster")
    elif shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    return by_kubectl


def _published(bucket: Path) -> Callable[..., None]:
    """Bucket tests are elsewhere."""

    def publish(store: object, place: str, *others: object) -> None:
        (bucket / place.removeprefix("s3://")).mkdir(parents=True, exist_ok=True)

    return publish
