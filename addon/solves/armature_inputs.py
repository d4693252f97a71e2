# SPDX-License-Identifier: GPL-3.0-or-later
"""What Solve Armature reads of a scene before it solves."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from solver_core.problems.inverse_kinematics.solver.orientations import Orientations


class Inputs(NamedTuple):
    """What was read.  targets: (F, N, 3) metres in the space of the solve, which is the armature's as if the root's parent
    were at rest.  weights: (N,).  limits: (N, 3, 2).  world_from_solve, parent_pose: (F, 4, 4), without metres.  metres: of a
    unit of the armature.  shown: number of the frame that steps are shown at.  above: (F, 4, 4) of the parents of controls.
    orientations: in the space of the solve, None where targets are positions only.  rest: (N, 4) rotations that count as rest.
    """

    targets: np.ndarray
    weights: np.ndarray
    limits: np.ndarray | None
    world_from_solve: np.ndarray
    parent_pose: np.ndarray
    metres: float
    shown: int
    above: dict[str, np.ndarray]
    orientations: Orientations | None
    rest: np.ndarray | None

    def to_world(self, points: np.ndarray, frame: int) -> np.ndarray:
        """(..., 3) from metres in the space of the solve."""
        matrix = self.world_from_solve[frame]
        return points / self.metres @ matrix[:3, :3].T + matrix[:3, 3]
