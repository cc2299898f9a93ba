"""What of a project can be watched, as far as dashboards and rules need to know it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Deployed:
    """A deployment. `language` says whether a language model answers, `gateway` whether requests are split."""

    name: str
    language: bool
    gateway: bool
    timeout_seconds: float
    traced: bool
    cached: bool


@dataclass(frozen=True)
class Monitored:
    """A monitor, with the parts that it has, and after how long without a run somebody should look."""

    name: str
    deployment: str
    parts: tuple[str, ...]
    stale_seconds: float = 2 * 86_400.0


@dataclass(frozen=True)
class Watched:
    """All of it, by name."""

    project: str
    environment: str
    deployments: tuple[Deployed, ...]
    monitors: tuple[Monitored, ...]
    experiments: tuple[str, ...]

    @property
    def title(self) -> str:
        """Of the dashboard."""
        return f"{self.project} ({self.environment})"
