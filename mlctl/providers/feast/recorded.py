"""What the state says of entities and feature views, for commands that use what an apply made."""

from __future__ import annotations

from mlctl.types.diagnostic import MlctlError
from mlctl.types.state import Record
from mlctl.types.value import Json


def outputs_of(record: Record) -> dict[str, Json]:
    """The outputs of an entity or a feature view. Raises MlctlError for one that is not made, or of which 0.1 said too little."""
    if not record.complete or not record.outputs:
        raise not_whole(record)
    if not isinstance(record.outputs.get("keys"), list):
        raise MlctlError.of(
            "features.old-record",
            f"{record.key.address} was made by an earlier version of mlctl",
            "it was recorded before keys could be of several columns",
            "run `mlctl apply`: it makes it anew, by the same definition",
            address=str(record.key.address),
        )
    return dict(record.outputs)


def not_whole(record: Record) -> MlctlError:
    """An apply failed or was cut off: what is there may be half of the old and half of the new."""
    address = str(record.key.address)
    return MlctlError.of(
        "features.not-made",
        f"{address} is not whole",
        "its last apply failed, or was cut off",
        "run `mlctl apply`",
        address=address,
    )
