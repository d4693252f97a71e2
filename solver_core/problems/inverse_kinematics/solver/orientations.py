# SPDX-License-Identifier: Apache-2.0
"""Orientations that targets bring: what tells the turn of a bone about itself, and of hands, feet and the head."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from solver_core import rotations
from solver_core.problems.inverse_kinematics.observation import Targets
from solver_core.problems.inverse_kinematics.problem import KinematicProblem
from solver_core.problems.inverse_kinematics.skeleton.body import Body
from solver_core.problems.inverse_kinematics.skeleton.kinematics import local_rotations
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton
from solver_core.problems.inverse_kinematics.solver.closed_form import pointed
from solver_core.problems.inverse_kinematics.solver.start import nearest_rotation
from solver_core.problems.inverse_kinematics.solver.transfer import Transfer


@dataclass(frozen=True, eq=False)
class Orientations:
    """Orientations (F, J, 3, 3) of a skeleton's joints in the world, nan where they are unknown.

    is_aligned: whether the axes are the skeleton's; else each joint's differ by a turn that stays the same over time.
    """

    world_from_joint: np.ndarray
    is_aligned: bool = True

    @property
    def is_known(self) -> np.ndarray:
        """(F, J)."""
        return np.isfinite(self.world_from_joint).all(axis=(2, 3))

    def aligned(self, problem: KinematicProblem, x: np.ndarray) -> Orientations:
        """The same in the skeleton's axes: turned so that over all frames they are nearest to those of poses x (F, J, 4)."""
        if self.is_aligned:
            return self
        solved = problem.forward(x, np.arange(len(x))).orientations
        known = np.where(self.is_known[..., None, None], self.world_from_joint, 0)
        turns = nearest_rotation((known.swapaxes(2, 3) @ solved).sum(axis=0))  # (J, 3, 3)
        return Orientations(self.world_from_joint @ turns)

    def taken(self, problem: KinematicProblem, x: np.ndarray) -> np.ndarray:
        """(F, J, 4) poses with these orientations; joints without one are turned in their parents as in x (F, J, 4)."""
        skeleton, is_known = problem.skeleton, self.is_known[..., None, None]
        local = rotations.matrix_from_wxyz(x)
        root = skeleton.joint_of_node[skeleton.root]
        orientations = local.copy()
        orientations[:, root] = np.where(is_known[:, root], self.world_from_joint[:, root], local[:, root])
        for level in skeleton.levels:
            above, joints = level.parent_joints[level.inner], level.joints
            carried = orientations[:, above] @ local[:, joints]
            orientations[:, joints] = np.where(is_known[:, joints], self.world_from_joint[:, joints], carried)
        return local_rotations(skeleton, orientations).astype(x.dtype)

    def with_positions(self, problem: KinematicProblem, x: np.ndarray, is_given: np.ndarray) -> np.ndarray:
        """(F, J, 4) poses turned as these orientations are, but with nodes where poses x (F, J, 4) have them.

        These are the nodes with a target, is_given (F, N), and those above them.
        """
        rows, taken, is_held = np.arange(len(x)), self.taken(problem, x), is_given.T.copy()  # (N, F)
        for level in reversed(problem.skeleton.levels):
            np.logical_or.at(is_held, level.parents, is_held[level.nodes])
        held = Targets.exact(problem.forward(x, rows).positions, is_held.T.astype(x.dtype))
        return pointed(problem, taken, problem.forward(taken, rows), held, self.is_known)


def carried_orientations(
    skeleton: Skeleton, source: Skeleton, world_from_joint: np.ndarray, node_of: Mapping[str, str]
) -> Orientations:
    """Orientations of a skeleton's joints that follow another skeleton.

    Args:
        skeleton: that follows.
        source: that is followed.
        world_from_joint: (F, J', 3, 3) orientations of the source's joints.
        node_of: nodes of the source -> nodes of the skeleton.
    """
    transfer = Transfer(skeleton, Body.at_rest(source), dict(node_of))
    orientations = transfer.orientations(world_from_joint)
    orientations[:, ~transfer.has_guide] = np.nan
    return Orientations(orientations, transfer.points_alike(source.names))
