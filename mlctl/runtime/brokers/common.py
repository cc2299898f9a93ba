"""What holds for every broker: how a client says what it has to say, and how long it may take to end."""

from __future__ import annotations

import logging

from mlctl.types.diagnostic import MlctlError

STOP_SECONDS = 30.0  # how long a batch that is under way may take to be done when the worker is asked to stop


def quiet_logger() -> logging.Logger:
    """FastStream's messages, but for those of every batch."""
    logger = logging.getLogger("mlctl.stream")
    if not logger.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        logger.addHandler(handler)
    logger.setLevel(logging.WARNING)
    logger.propagate = False
    return logger


def unreachable(where: str, error: BaseException) -> MlctlError:
    """The broker does not answer."""
    return MlctlError.of(
        "stream.broker-unreachable",
        f"the broker at {where} does not answer",
        spoken(error),
        "start it, or correct `broker`; then run `mlctl apply` again",
    )


def spoken(error: BaseException) -> str:
    """An error of a client library in a line."""
    return f"{type(error).__name__}: {error}"[:400]
