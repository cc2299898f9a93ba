"""Where the ranks of one machine among several write: into folders named by their rank among all, not by their place on it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
from torch.distributed.elastic.multiprocessing.api import LogsDest

_ERROR_FILE = "TORCHELASTIC_ERROR_FILE"


class RankLogs(DefaultLogsSpecs):  # type: ignore[misc]
    """torchrun's own layout, `NAME/attempt_0/RANK/{stdout,stderr}.log`, with the rank that people know."""

    def reify(self, envs: dict[int, dict[str, str]]) -> LogsDest:
        """Let torchrun make its folders, and rename them; the last first, since ranks are no smaller than places."""
        made = super().reify(envs)
        moved = {}
        for place in sorted(envs, reverse=True):
            folder = Path(made.error_files[place]).parent
            named = folder.with_name(envs[place]["RANK"])
            if named != folder:
                os.rename(folder, named)
            moved[place] = named
            envs[place][_ERROR_FILE] = str(named / Path(made.error_files[place]).name)
        fields = ("stdouts", "stderrs", "tee_stdouts", "tee_stderrs", "error_files")
        return replace(
            made,
            **{
                field: {place: str(moved[place] / Path(path).name) for place, path in getattr(made, field).items()}
                for field in fields
            },
        )
