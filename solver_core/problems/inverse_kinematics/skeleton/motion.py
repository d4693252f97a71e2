# SPDX-License-Identifier: Apache-2.0
"""A skeleton that moves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from solver_core.problems.inverse_kinematics.skeleton.kinematics import forward_kinematics
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton


@dataclass(frozen=True)
class Motion:
    """A skeleton with F frames.  rotations (F, N, 4) wxyz in the parents' frames, identity for end sites; root (F, 3).

    frame_time: seconds.  orders: Euler order of each node in the file.  metres_per_unit: length unit of the file.
    offsets: (F, N, 3) metres where joints move within their parents, None where bones keep their length.
    notices: sentences about what was mended when it was read.
    """

    skeleton: Skeleton
    rotations: np.ndarray
    root: np.ndarray
    frame_time: float
    orders: tuple[str, ...]
    metres_per_unit: float
    offsets: np.ndarray | None = None
    notices: tuple[str, ...] = ()

    @property
    def num_frames(self) -> int:
        return len(self.rotations)

    def positions(self) -> np.ndarray:
        """(F, N, 3) of all nodes, metres."""
        skeleton = self.skeleton
        offsets = np.broadcast_to(skeleton.offsets, (*self.rotations.shape[:2], 3)) if self.offsets is None else self.offsets
        posture = forward_kinematics(skeleton, offsets, self.rotations[:, skeleton.joints])
        return posture.positions + self.root[:, None]
