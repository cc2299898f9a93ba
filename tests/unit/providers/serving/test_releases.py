from __future__ import annotations

from pathlib import Path

from mlctl.processes.service import ServiceState
from mlctl.providers.serving.deployment import server_job
from mlctl.providers.serving.releases import Release
from mlctl.providers.serving.spec.deployment import DeploymentSpec
from mlctl.types.jobs.server import ServerJob
from mlctl.types.secret import Secrets

TOKEN, ROTATED = "the-token-that-is-asked-for", "the-token-that-comes-after-it"


def job(token: str) -> ServerJob:
    spec = DeploymentSpec.model_validate(
        {"model": "shops@champion", "serve": {"port": 8080, "auth": {"token": token}}},
    )
    serving = {"columns": ["a"], "keys": [], "views": [], "store": None}
    return server_job("api", spec, {"name": "shops", "version": 3, "model": "models/3", "serving": serving}, "p")


def test_a_server_with_a_token_is_known_again_and_one_with_a_rotated_token_is_another() -> None:
    before, after = (Secrets({"env.API_TOKEN": token}, b"key") for token in (TOKEN, ROTATED))
    kept = before.masked(job(TOKEN).model_dump(mode="json"))  # as the job file has it
    assert TOKEN not in str(kept)
    release = Release(1, Path("1"), ServiceState(True, 1, 0.0, None, kept, None))
    assert release.serves(job(TOKEN), before)
    assert not release.serves(job(ROTATED), after)
