# SPDX-License-Identifier: Apache-2.0
"""A pose that counts as the rest pose of a skeleton whose own, with all rotations identity, is no standing figure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from solver_core import rotations
from solver_core.checks import checked_array
from solver_core.errors import SetupError
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton

UNIT_TOLERANCE = 0.01  # of a quaternion's length: numbers from files are rounded


@dataclass(frozen=True, eq=False)
class RestPose:
    """A skeleton in a pose, and the same skeleton with that pose as its rest.

    own: the skeleton whose rotations are asked for.  skeleton: with axes that are the world's in the pose, and its bones as
    they are there.  root_from_node: (N, 4) wxyz of own in the pose; end sites have their parents'.
    """

    own: Skeleton
    skeleton: Skeleton
    root_from_node: np.ndarray

    @classmethod
    def checked(cls, own: Skeleton, pose: np.ndarray) -> RestPose:
        """From rotations (N, 4) wxyz in the parents' frames.  Raises SetupError for anything else."""
        pose = checked_array(pose, "rest", f"({own.num_nodes}, 4)").astype(np.float64)
        if pose.shape != (own.num_nodes, 4):
            raise SetupError(f"rest must be wxyz rotations of shape ({own.num_nodes}, 4), got {pose.shape}")
        length = np.linalg.norm(pose, axis=1, keepdims=True)
        if not (abs(length - 1) <= UNIT_TOLERANCE).all():
            raise SetupError("rest must hold unit quaternions, wxyz")
        root_from_node = pose / length
        offsets = own.offsets.copy()
        for level in own.levels:
            above = root_from_node[level.parents]
            offsets[level.nodes] = rotations.rotate(above, own.offsets[level.nodes])
            root_from_node[level.nodes] = rotations.multiply(above, root_from_node[level.nodes])
        return cls(own, Skeleton(own.names, own.parents, offsets), root_from_node)

    def to_own(self, x: np.ndarray) -> np.ndarray:
        """(F, J, 4) rotations of the skeleton's joints -> those of own, float32 as they are."""
        turned = rotations.multiply(
            rotations.multiply(rotations.inverse(self._above), x.astype(np.float64)), self.root_from_joint
        )
        return turned.astype(x.dtype)

    def from_own(self, x: np.ndarray) -> np.ndarray:
        """(F, J, 4) rotations of own's joints -> those of the skeleton."""
        turned = rotations.multiply(
            rotations.multiply(self._above, x.astype(np.float64)), rotations.inverse(self.root_from_joint)
        )
        return turned.astype(x.dtype)

    @property
    def root_from_joint(self) -> np.ndarray:
        """(J, 4) of own's joints in the pose."""
        return self.root_from_node[self.own.joints]

    @property
    def _above(self) -> np.ndarray:
        """(J, 4) of the joints' parents; the root's is the world."""
        parents = self.own.parents[self.own.joints]
        return np.where(parents[:, None] < 0, np.array([1.0, 0, 0, 0]), self.root_from_node[parents])
