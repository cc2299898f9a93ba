"""What a request has to pass before a model sees it, from the block `serve` to what servers are told. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from mlctl.provider import Context
from mlctl.providers.serving.spec.engines import TorchEngine
from mlctl.providers.serving.spec.serve import ServeSpec
from mlctl.types.diagnostic import Diagnostic, MlctlError, did_you_mean
from mlctl.types.jobs.server import Admission, AnswerCache, Concurrency
from mlctl.types.secret import HIDDEN, sealed_names

_ENTRIES = 10_000
_OF_ROWS = ("workers", "batching", "on_missing_features", "defaults")


def admission(serve: ServeSpec) -> Admission:
    """For every kind of server, ours and those of language models."""
    limit, cache = serve.concurrency, serve.cache
    return Admission(
        max_body_bytes=serve.max_body,
        read_seconds=serve.read_timeout,
        concurrency=None
        if limit is None
        else Concurrency(
            max_running=limit.max_running, max_waiting=limit.max_waiting, retry_after_seconds=limit.retry_after
        ),
        cache=None
        if cache is None
        else AnswerCache(ttl_seconds=cache.ttl, max_entries=cache.max_entries or _ENTRIES, url=cache.url),
        token=None if serve.auth is None else serve.auth.token,
    )


def row_fields(serve: ServeSpec, columns: Sequence[str]) -> dict[str, Any]:
    """The fields of a `ServerJob` that only a server of rows has, besides its batches. Raises MlctlError for a default of no column."""
    defaults = None
    if serve.on_missing_features == "default":
        defaults = dict(serve.defaults or {})
        for name in defaults:
            if name not in columns:
                raise MlctlError.of(
                    "deploy.unknown-default",
                    f"`defaults` has `{name}`, which is no feature of the model",
                    f"it reads {', '.join(columns)}",
                    did_you_mean(name, columns),
                )
    return {"workers": serve.workers, "defaults": defaults, "admission": admission(serve)}


def serve_problems(serve: ServeSpec, ctx: Context) -> Iterator[Diagnostic]:
    """What has no effect on the engine chosen, and a token that everybody can read in the project."""
    if not isinstance(serve.engine, TorchEngine):
        for name in _OF_ROWS:
            if name in serve.model_fields_set:
                yield Diagnostic(
                    "deploy.no-effect",
                    f"`{name}` has no effect with the engine `{serve.engine.type}`",
                    "it is for models that score rows of features",
                    "remove it",
                    path=("serve", name),
                )
    unset = serve.auth is not None and serve.auth.token == HIDDEN  # which is told as what it is
    if serve.auth is not None and not unset and not sealed_names(ctx.secrets.masked(serve.auth.token)):
        yield Diagnostic(
            "deploy.token-in-the-clear",
            "the token is not a secret",
            "it would stand in the state, in plans and in job files as it is",
            "take it from the environment, as in `token: ${env.API_TOKEN}`, or from a sensitive variable",
            path=("serve", "auth", "token"),
        )
    if serve.cache is not None and serve.cache.url is not None and _shows_password(serve.cache.url, ctx):
        yield Diagnostic(
            "deploy.password-in-the-clear",
            "the address of the cache has a password that is not a secret",
            "it would stand in the state, in plans and in job files as it is",
            "take it from the environment, as in `url: ${env.CACHE_URL}`, or from a sensitive variable",
            path=("serve", "cache", "url"),
        )


def _shows_password(url: str, ctx: Context) -> bool:
    """Whether an address has one that everybody can read; a secret that is not set is told as what it is."""
    user = urlsplit(url).netloc.rpartition("@")[0]
    return ":" in user and HIDDEN not in url and not sealed_names(ctx.secrets.masked(url))
