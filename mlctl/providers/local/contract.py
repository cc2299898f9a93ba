"""A data contract out of a profile: what `mlctl data contract record` writes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from mlctl.types.jobs.contract import ContractColumn, DataContract
from mlctl.types.state import Record


def contract_of(record: Record, profile: Mapping[str, Any]) -> DataContract:
    """The contract of a dataset as it is now. `profile` is that of the record, whose bins are frozen by this."""
    return DataContract(
        dataset=record.key.address.name,
        digest=record.digest,
        recorded_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        rows=profile["rows"],
        columns=[
            ContractColumn.model_validate({name: column[name] for name in ("name", "type", "bins")})
            for column in profile["columns"]
        ],
    )
