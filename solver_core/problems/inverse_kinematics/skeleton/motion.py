"""A skeleton that moves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton


@dataclass(frozen=True)
class Motion:
    """A skeleton with F frames.  rotations (F, N, 4) wxyz in the parents' frames, identity for end sites; root (F, 3).

    frame_time: seconds.  orders: Euler order of each node in the file.  metres_per_unit: length unit of the file.
    """

    skeleton: Skeleton
    rotations: np.ndarray
    root: np.ndarray
    frame_time: float
    orders: tuple[str, ...]
    metres_per_unit: float

    @property
    def num_frames(self) -> int:
        return len(self.rotations)
