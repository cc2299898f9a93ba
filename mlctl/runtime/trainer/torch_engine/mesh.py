"""Where a rank stands among pipeline stages, data ranks and tensor ranks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from mlctl.types.jobs.recipe import Layout

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh

STAGES, DATA, TENSOR = "pp", "dp", "tp"


class Grid:
    """All ranks of a layout. They count tensor ranks fastest, since those talk most and belong on one machine, then data ranks."""

    def __init__(self, layout: Layout, device: torch.device) -> None:
        from torch.distributed.device_mesh import init_device_mesh

        sizes = (layout.pipeline, layout.data, layout.tensor)
        self.mesh: DeviceMesh = init_device_mesh(device.type, sizes, mesh_dim_names=(STAGES, DATA, TENSOR))
        self.stages, self.data_world, self.tensor_world = sizes
        self.stage = self.mesh.get_local_rank(STAGES)
        self.data_rank = self.mesh.get_local_rank(DATA)
        self.tensor_rank = self.mesh.get_local_rank(TENSOR)

    @property
    def speaks(self) -> bool:
        """Whether this rank is the one that tells the loss of its data rank's rows: others know none, or the same."""
        return bool(self.stage == self.stages - 1 and self.tensor_rank == 0)

    def speaker_of(self, stage: int) -> int:
        """The first rank of a pipeline stage."""
        return stage * self.data_world * self.tensor_world
