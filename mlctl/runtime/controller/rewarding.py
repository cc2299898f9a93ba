"""A bandit's rewards: takes them on their port, and says what shares they ask for when it is time to."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Literal

from mlctl.rollout.state import RolloutState
from mlctl.runtime.controller.bandit import decide, summary
from mlctl.runtime.controller.saying import say
from mlctl.types.jobs.rollout import Bandit, Wanted

_FOLDER = "rewards"
_RETRY_SECONDS = 5.0
_Told = tuple[int, Literal["binary", "mean"], float]  # port, kind and window of the endpoint


class Rewarding:
    """Runs the endpoint for as long as a bandit is wanted. Rewards outlive it: they are on the disk."""

    def __init__(self, folder: Path, root: Path) -> None:
        self._folder = folder
        self._root = root
        self._endpoint: Any = None  # Rewards
        self._told: _Told | None = None
        self._decided = float("-inf")
        self._tried = float("-inf")
        self._problem = ""
        self._logs: list[Path] = []

    def shares(self, state: RolloutState, wanted: Wanted) -> dict[str, float] | None:
        """What the rewards ask for, once an update; None at all other times, and while they ask for nothing new."""
        rule = wanted.strategy
        if not isinstance(rule, Bandit) or wanted.rewards_port is None:
            self.close()
            return None
        self._logs = sorted(_logs(state, self._root))
        self._listen((wanted.rewards_port, rule.reward, rule.window_seconds))
        moment = time.monotonic()
        if self._endpoint is None or not state.arm_shares or moment - self._decided < rule.update_seconds:
            return None
        self._decided = moment
        return decide(rule, _versions(state), self._endpoint.sums())

    def summary(self, state: RolloutState, wanted: Wanted) -> dict[str, Any] | None:
        """What is known of each arm, for people; None without a bandit."""
        rule = wanted.strategy
        if not isinstance(rule, Bandit):
            return None
        problem = self._problem or ("" if self._endpoint is None else self._endpoint.problem)
        arms = {} if self._endpoint is None else summary(rule, _versions(state), self._endpoint.sums())
        return {"port": wanted.rewards_port, "problem": problem, "arms": arms}

    def close(self) -> None:
        """Take no more rewards."""
        if self._endpoint is not None:
            self._endpoint.close()
        self._endpoint, self._told = None, None

    def _listen(self, told: _Told) -> None:
        """Have the endpoint run as it was told. A port that is taken is tried again and again."""
        if self._endpoint is not None and told == self._told:
            return
        if time.monotonic() - self._tried < _RETRY_SECONDS:
            return
        self._tried = time.monotonic()
        self.close()
        from mlctl.runtime.controller.ledger import Ledger
        from mlctl.runtime.controller.rewards import Rewards

        port, kind, window = told
        try:
            self._endpoint = Rewards(lambda: Ledger(self._folder / _FOLDER, lambda: self._logs, window), kind, port)
            self._told, self._problem = told, ""
        except OSError as error:
            if not self._problem:
                say(f"rewards cannot be taken on port {port}: {error}")
            self._problem = f"rewards cannot be taken on port {port}: {error}"


def _versions(state: RolloutState) -> dict[str, str]:
    """The version that answers for each arm."""
    found = {arm.name: state.release(arm.current) for arm in state.arms}
    return {name: release.revision.version for name, release in found.items() if release is not None}


def _logs(state: RolloutState, root: Path) -> set[Path]:
    """Where the releases log their predictions."""
    folders = [(release.revision.params.get("log") or {}).get("folder") for release in state.releases.values()]
    return {root / folder for folder in folders if folder}
