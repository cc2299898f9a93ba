from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from mlctl.providers.serving.admission import admission, row_fields, serve_problems
from mlctl.providers.serving.client import token_of
from mlctl.providers.serving.spec.deployment import DeploymentSpec
from mlctl.providers.serving.spec.serve import ServeSpec
from mlctl.testing.harness import make_context
from mlctl.types.address import ObjectKey
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.server import Admission, AnswerCache, Concurrency
from mlctl.types.secret import HIDDEN, Secrets
from mlctl.types.state import Record

TOKEN = "a token that nobody guesses".replace(" ", "-")


def serve(**fields: Any) -> ServeSpec:
    return ServeSpec.model_validate({"port": 8080, **fields})


def test_every_field_reaches_the_server() -> None:
    made = admission(
        serve(
            concurrency={"max_running": 8, "max_waiting": 4, "retry_after": "3s"}, cache={"ttl": "5m"}, max_body=2048,
            read_timeout="2s", auth={"token": TOKEN},
        )
    )  # fmt: skip
    assert made == Admission(
        max_body_bytes=2048,
        read_seconds=2.0,
        concurrency=Concurrency(max_running=8, max_waiting=4, retry_after_seconds=3.0),
        cache=AnswerCache(ttl_seconds=300.0, max_entries=10_000, url=None),
        token=TOKEN,
    )
    assert admission(serve()) == Admission()


def test_defaults_are_those_of_the_models_features() -> None:
    spec = serve(on_missing_features="default", defaults={"visits": 0})
    assert row_fields(spec, ["amount", "visits"])["defaults"] == {"visits": 0.0}
    assert row_fields(serve(), ["amount"])["defaults"] is None
    assert row_fields(serve(on_missing_features="default"), ["amount"])["defaults"] == {}
    with pytest.raises(MlctlError) as raised:
        row_fields(spec, ["amount", "visit"])
    [found] = raised.value.diagnostics
    assert (found.code, found.fix) == ("deploy.unknown-default", "did you mean `visit`?")


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"host": "0.0.0.0"}, "without `auth"),
        ({"host": "::"}, "without `auth"),
        ({"auth": {"token": "short"}}, "at least 16 characters"),
        ({"auth": {"token": TOKEN + " "}}, "at least 16 characters"),
        ({"cache": {"ttl": "0s"}}, "greater than 0"),
        ({"cache": {"ttl": "60s", "url": "http://here"}}, "redis://"),
        ({"cache": {"ttl": "60s", "url": "redis://here", "max_entries": 5}}, "no effect with `url`"),
        ({"concurrency": {}}, "max_running"),
        ({"concurrency": {"max_running": 0}}, "greater than or equal to 1"),
        ({"max_body": 10}, "greater than or equal to 1024"),
        ({"workers": 0}, "greater than or equal to 1"),
        ({"defaults": {"a": 1}}, "no effect without `on_missing_features: default`"),
    ],
)
def test_what_is_wrong_or_has_no_effect_is_refused(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError) as raised:
        serve(**fields)
    assert told in str(raised.value)


def test_with_a_token_a_server_may_listen_for_others() -> None:
    assert serve(host="0.0.0.0", auth={"token": TOKEN}).host == "0.0.0.0"


def test_a_token_that_is_no_secret_is_refused(tmp_path: Path) -> None:
    ctx, spec = make_context(tmp_path), serve(auth={"token": TOKEN})
    [found] = serve_problems(spec, ctx)
    assert (found.code, found.path) == ("deploy.token-in-the-clear", ("serve", "auth", "token"))
    assert TOKEN not in f"{found.summary} {found.why} {found.fix}"
    assert list(serve_problems(serve(auth={"token": HIDDEN}), ctx)) == []  # not set: that is told by itself
    known = dataclasses.replace(ctx, secrets=Secrets({"env.API_TOKEN": TOKEN}))
    assert list(serve_problems(spec, known)) == []


def test_who_asks_a_deployment_needs_the_value_of_its_token() -> None:
    sealed = {"serve": {"port": 1, "auth": {"token": "${secret:env.API_TOKEN#0f}"}}}
    record = Record(ObjectKey.parse("deployments.api#"), "1", spec=sealed)
    assert token_of(record, lambda: Secrets({"env.API_TOKEN": TOKEN})) == TOKEN
    with pytest.raises(MlctlError) as raised:
        token_of(record, Secrets)
    assert "env.API_TOKEN" in raised.value.diagnostics[0].summary

    def unread() -> Secrets:
        raise AssertionError("a deployment without a token needs no project")

    assert token_of(Record(ObjectKey.parse("deployments.api#"), "1", spec={"serve": {"port": 1}}), unread) is None


def test_what_the_guide_shows_is_a_deployment_with_every_field() -> None:
    guide = (Path(__file__).parents[4] / "docs" / "guides" / "serving.md").read_text()
    blocks = [part.partition("```")[0] for part in guide.split("```yaml\n")[1:]]
    assert len(blocks) == 2
    for block in blocks:
        text = block.replace("${env.CHURN_API_TOKEN}", TOKEN)
        spec = DeploymentSpec.model_validate(yaml.safe_load(text)["deployments"]["churn_api"])
    assert spec.serve.model_fields_set == ServeSpec.model_fields.keys() - {"pattern", "engine"}


@pytest.mark.parametrize("url", ["redis://:hunter2hunter2@cache:6379/0", "unix://me:hunter2hunter2@/run/redis.sock"])
def test_a_password_of_a_cache_that_is_no_secret_is_refused(tmp_path: Path, url: str) -> None:
    ctx, spec = make_context(tmp_path), serve(cache={"ttl": "5m", "url": url})
    [found] = serve_problems(spec, ctx)
    assert (found.code, found.path) == ("deploy.password-in-the-clear", ("serve", "cache", "url"))
    assert "hunter2" not in f"{found.summary} {found.why} {found.fix}"
    for secret in ("hunter2hunter2", url):
        known = dataclasses.replace(ctx, secrets=Secrets({"env.CACHE": secret}))
        assert list(serve_problems(spec, known)) == []
    plain = serve(cache={"ttl": "5m", "url": "redis://cache:6379/0"})
    assert list(serve_problems(plain, ctx)) == []


def test_the_address_of_a_cache_may_be_a_secret_that_is_not_set_where_one_only_looks(tmp_path: Path) -> None:
    for url in (HIDDEN, f"redis://:{HIDDEN}@cache"):
        assert list(serve_problems(serve(cache={"ttl": "5m", "url": url}), make_context(tmp_path))) == []
