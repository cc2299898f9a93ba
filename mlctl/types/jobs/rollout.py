"""What the rollout controller of a deployment is told, and the files it shares with whoever looks at it or gives it orders.

All paths are relative to the project. The controller's folder holds, besides what every worker's holds:

    wanted.json     what the last apply asked for (`Wanted`), swapped in whole; its serial only grows
    orders/         one file for each thing a person asked for (`Order`), taken in order of their names and then removed
    rollout.json    the state of the rollout (`mlctl.rollout.state`), the only truth, swapped in whole and fsync'd
    history.jsonl   what happened, one event a line, only for people
    looks.jsonl     what the gate of the step had to go by at each look, for the ledger of decisions
    live.json       what is measured now, for those who watch; nothing depends on it
    end.json        that everything is to end: gateway, releases and the controller itself
    releases/N/     the folder of release N: its worker's files, and `stats/*.json` of the middleware in it
    gateway/        what the data plane is configured by, its log, and its pid
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

WANTED_FILE = "wanted.json"
ORDERS_FOLDER = "orders"
ROLLOUT_FILE = "rollout.json"
HISTORY_FILE = "history.jsonl"
LIVE_FILE = "live.json"
LOOKS_FILE = "looks.jsonl"
END_FILE = "end.json"
RELEASES_FOLDER = "releases"
GATEWAY_FOLDER = "gateway"
STATS_FOLDER = "stats"  # in a release's folder

STABLE, CANDIDATE = "stable", "candidate"
VARIANT_HEADER = "x-mlctl-variant"  # set by the gateway; a client that sends it picks a variant (a preview)
MODEL_HEADER = "x-mlctl-model"  # set by the gateway when several variants are adapters of one engine
UNIT_BUCKET_HEADER = (
    "x-mlctl-bucket"  # set by the gateway: the unit's place, 0 to 9999 (`mlctl.stats.assignment.bucket`)
)


RECEIVED_HEADER = "x-mlctl-received"  # set by a gateway that is traced: when it got the request, in Unix seconds


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class Revision(_Part):
    """One thing to serve: a program and what it is told. Two revisions of one digest are the same release."""

    digest: str
    model: str  # the registered name
    version: str
    program: Literal["server", "llm_server"]
    params: dict[str, Any]  # of the program, but for its port, which the controller chooses
    adapter: str | None = None  # served by the engine of another revision of the same `engine_digest`, under this name
    engine_digest: str | None = None
    provenance: dict[str, Any] = {}


class MetricRule(_Part):
    """A bound on one metric of the candidate: against the baseline (`margin`, `max_ratio`), or as it is (`max`, `min`)."""

    name: str  # see mlctl.rollout.evidence.METRICS
    margin: float | None = None
    max_ratio: float | None = None
    max: float | None = None
    min: float | None = None


class GateRule(_Part):
    """When a step may be left. Never by time: without enough requests the verdict stays `inconclusive`."""

    metrics: list[MetricRule]
    alpha: float = 0.01  # the chance, over all looks together, to blame a version that keeps the bounds
    min_requests: int = 500  # of the candidate, and of the baseline where there is one
    on_no_data: Literal["hold", "fail"] = "hold"  # after `no_data_seconds` without one request
    no_data_seconds: float = 600.0
    interval_seconds: float = 10.0  # between two looks


class Step(_Part):
    """One step of a rollout. What is set holds from its beginning; `pause` and `gate` are what it waits for."""

    weight: float | None = None  # percent of the requests that the candidate answers
    mirror: float | None = None  # percent of the requests that it is sent a copy of
    pause_seconds: float | None = None
    confirm: bool = False  # waits for `mlctl rollout promote`
    gate: str | None = None
    name: str = ""


class Stepwise(_Part):
    """Blue-green, canary and shadow: a candidate goes through steps, and then is the stable version, or is not."""

    type: Literal["all_at_once", "blue_green", "canary", "shadow"]
    steps: list[Step]
    promote: bool = True  # shadow can also end without a change
    keep_old_seconds: float = 1800.0  # how long the old version stays warm for an instant way back


class ArmRule(_Part):
    """An arm of an A/B test or a bandit."""

    revision: Revision
    weight: float  # relative


class Split(_Part):
    """A/B: the units are split among arms for as long as the block stands."""

    type: Literal["ab"]
    arms: dict[str, ArmRule]  # in the order of their ranges, the control first


class Bandit(_Part):
    """Thompson sampling in batches: shares follow the rewards."""

    type: Literal["bandit"]
    arms: dict[str, ArmRule]
    reward: Literal["binary", "mean"] = "binary"
    floor: float = 0.05  # the least share of an arm
    update_seconds: float = 60.0
    min_rewards: int = 40  # of each arm before shares leave their beginning
    window_seconds: float = 86_400.0  # how long after its request a reward still counts
    seed: int = 0


Strategy = Annotated[Stepwise | Split | Bandit, Field(discriminator="type")]


class Unit(_Part):
    """By what requests are kept at one variant: a header, and a salt."""

    header: str
    salt: str


class GatewaySpec(_Part):
    """The data plane."""

    type: Literal["envoy", "python"]
    host: str
    port: int
    timeout_seconds: float
    max_body_bytes: int
    traced: bool = False  # whether servers are told when a request came (`RECEIVED_HEADER`), for their spans


class Wanted(_Part):
    """What an apply asks for. A stepwise strategy has a revision, the others have it in their arms."""

    serial: int
    deployment: str
    address: str  # in messages: deployments.churn_api
    gateway: GatewaySpec
    unit: Unit | None
    revision: Revision | None
    strategy: Strategy
    gates: dict[str, GateRule] = {}
    rewards_port: int | None = None  # of the endpoint that takes rewards (bandits)
    json_logs: bool = False


class ControllerJob(_Part):
    """The parameters of the `controller` program."""

    deployment: str
    folder: str  # where wanted.json is
    home: str = ""  # of the environment, whose ledger of decisions it writes to; without it none are kept


class Order(_Part):
    """What a person asks of a rollout."""

    what: Literal["promote", "abort", "pause", "resume", "retry", "undo"]
    full: bool = False  # promote: over all steps that are left
    why: str = ""
    who: str = ""
    at: str = ""
