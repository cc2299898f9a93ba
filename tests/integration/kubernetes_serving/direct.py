"""The same API server, asked without kubectl and without a network: for what is tried hundreds of times."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from mlctl.providers.serving.kubernetes.kubectl import RESOURCES, Cluster, Name, Objects
from mlctl.providers.serving.kubernetes.naming import Owner
from mlctl.types.diagnostic import MlctlError
from mlctl.types.secret import Secrets
from tests.integration.kubernetes_serving.api import Api


class Killed(BaseException):
    """In place of a SIGKILL."""


class Direct(Cluster):
    """`before` is called before each request that changes something, and may raise."""

    api: Api
    requests = 0
    killed_at: int | None = None

    def __init__(self, context: str | None, namespace: str, address: str, secrets: Secrets) -> None:
        super().__init__(context, namespace, address, secrets)
        self._space = namespace

    def ours(self, owner: Owner, kinds: Collection[str]) -> Objects:
        self.api.reconcile()
        found = [item for kind in sorted(kinds) for item in self.api.select(self._space, _plural(kind), owner.selector)]
        return _named(item for item in found if not item["metadata"].get("ownerReferences"))

    def named(self, names: Iterable[Name]) -> Objects:
        found = [self.api.objects.get((self._space, _plural(kind), name)) for kind, name in names]
        return _named(item for item in found if item is not None)

    def apply(self, manifests: Sequence[Mapping[str, Any]]) -> Objects:
        made = []
        for manifest in manifests:
            self._count()
            key = (self._space, _plural(manifest["kind"]), manifest["metadata"]["name"])
            answer, code = self.api.apply(key, copy.deepcopy(dict(manifest)))
            if code == 409:
                raise MlctlError.of("kubernetes.refused", "refused", answer["message"])
            made.append(answer)
        return _named(made)

    def delete(self, names: Iterable[Name]) -> None:
        for kind, name in names:
            self._count()
            self.api.delete((self._space, _plural(kind), name))

    def waits(self, owner: Owner, revision: str) -> tuple[list[str], int]:
        selector = ",".join(f"{name}={value}" for name, value in owner.pods(revision).items())
        pods = self.api.select(self._space, "pods", selector)
        waiting = [pod["status"]["containerStatuses"][0]["state"]["waiting"] for pod in pods]
        return [f"{item['reason']}: {item['message']}" for item in waiting], 0

    def _count(self) -> None:
        type(self).requests += 1
        if type(self).requests == type(self).killed_at:
            raise Killed


def _plural(kind: str) -> str:
    return RESOURCES[kind].partition(".")[0]


def _named(items: Iterable[dict[str, Any]]) -> Objects:
    return {(item["kind"], item["metadata"]["name"]): copy.deepcopy(item) for item in items}
