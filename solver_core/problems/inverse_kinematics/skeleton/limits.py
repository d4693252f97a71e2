# SPDX-License-Identifier: Apache-2.0
"""Joint limits: ranges of Euler angles that no step leaves, locked axes and locked joints included."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from solver_core import rotations
from solver_core.checks import checked_array
from solver_core.errors import SetupError
from solver_core.manifolds import SO3Power
from solver_core.problems.inverse_kinematics.skeleton.euler import euler_axes, euler_from_wxyz, wxyz_from_euler
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton

ORDER = "ZYX"  # R = Rz Ry Rx, what Blender calls XYZ
AT_BOUND = 1e-6  # radians; an angle this near a bound is on it


@dataclass(frozen=True, eq=False)
class JointLimits:
    """Ranges of the Euler angles of those K joints that do not turn freely.

    joints (K,) joint numbers.  lower, upper (K, 3): radians about z, y and x as in ORDER; equal = locked at that angle.
    frames (K, 4): wxyz joint_from_own, the axes that the angles are about; those of a rolled bone are not the joint's.
    """

    joints: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    frames: np.ndarray

    @classmethod
    def from_ranges(cls, skeleton: Skeleton, ranges: np.ndarray, axes: np.ndarray | None = None) -> JointLimits | None:
        """Limits from (N, 3, 2) lowest and highest angle of each node about x, y, z; infinite where free; None if all are.

        axes: (N, 3, 3) rotations whose columns are these x, y and z at rest, if they are not those of the skeleton.
        Raises SetupError.
        """
        ranges = checked_array(ranges, "limits", f"({skeleton.num_nodes}, 3, 2)").astype(np.float64)
        if ranges.shape != (skeleton.num_nodes, 3, 2):
            raise SetupError(f"limits must be ({skeleton.num_nodes}, 3, 2) radians, one range an axis, got {ranges.shape}")
        if np.isnan(ranges).any() or (ranges[..., 0] > ranges[..., 1]).any():
            bad = np.isnan(ranges).any(axis=(1, 2)) | (ranges[..., 0] > ranges[..., 1]).any(axis=1)
            name = skeleton.names[int(np.flatnonzero(bad)[0])]
            raise SetupError(f"the limits of {name!r} must be pairs of a lower and an upper angle")
        of_joints = ranges[skeleton.joints]
        joints = np.flatnonzero(np.isfinite(of_joints).any(axis=(1, 2)))
        if len(joints) == 0:
            return None
        frames = np.tile([1.0, 0, 0, 0], (len(joints), 1))
        if axes is not None:
            frames = rotations.wxyz_from_matrix(_checked_axes(axes, skeleton)[skeleton.joints][joints])
        return cls(joints, of_joints[joints, ::-1, 0], of_joints[joints, ::-1, 1], frames)

    def clamp(self, x: np.ndarray) -> np.ndarray:
        """(B, J, 4) with every limited joint moved to the nearest angles within its ranges."""
        angles = self._angles(x)
        clamped = np.clip(angles, self.lower, self.upper)
        x = x.copy()
        is_outside = (np.abs(clamped - angles) > AT_BOUND).any(axis=-1)  # (B, K); the others keep their bits
        rows, columns = np.nonzero(is_outside)
        x[rows, self.joints[columns]] = self.in_joint(wxyz_from_euler(clamped[rows, columns], ORDER), columns)
        return x

    def in_joint(self, own: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Rotations (..., 4) of limited joints, about their own axes, in the joints' frames."""
        frames = self.frames[columns]
        return rotations.multiply(rotations.multiply(frames, own), rotations.inverse(frames))

    def _angles(self, x: np.ndarray) -> np.ndarray:
        """(B, K, 3) Euler angles of the limited joints; of the two triples for a rotation the one nearer to the ranges."""
        to_own = rotations.inverse(self.frames)
        own = rotations.multiply(rotations.multiply(to_own, x[:, self.joints].astype(np.float64)), self.frames)
        one = euler_from_wxyz(own, ORDER)
        other = one * [1, -1, 1] + np.pi
        is_bounded = np.isfinite(self.lower) & np.isfinite(self.upper)
        middle = (np.where(is_bounded, self.lower, 0) + np.where(is_bounded, self.upper, 0)) / 2
        triples = np.stack([one, other]) - middle
        triples = middle + np.arctan2(np.sin(triples), np.cos(triples))
        excess = np.maximum(np.maximum(self.lower - triples, triples - self.upper), 0).sum(axis=-1)
        return np.where((excess[1] < excess[0])[..., None], triples[1], triples[0])

    def free_axes(self, x: np.ndarray, axes: np.ndarray, pull: np.ndarray) -> np.ndarray:
        """A copy of the local axes (B, J, 3, 3), one a row, in which limited joints have those of their Euler angles.

        pull: (B, J, 3) rotation vectors the joints would like to turn by.  Axes that are locked or would be pushed through
        their bound are zero.
        """
        axes = axes.copy()
        angles = self._angles(x)
        own = euler_axes(angles, ORDER) @ rotations.matrix_from_wxyz(self.frames).swapaxes(1, 2)  # (B, K, 3, 3)
        pushed = (own @ pull[:, self.joints, :, None])[..., 0]
        is_locked = self.upper - self.lower <= 2 * AT_BOUND
        is_held = is_locked | ((angles <= self.lower + AT_BOUND) & (pushed < 0))
        is_held |= (angles >= self.upper - AT_BOUND) & (pushed > 0)
        axes[:, self.joints] = np.where(is_held[..., None], 0, own)
        return axes


@dataclass(frozen=True, eq=False)
class LimitedRotations:
    """Rotations (B, J, 4) of which some stay within limits: a step ends at the nearest allowed angles."""

    free: SO3Power
    limits: JointLimits

    @property
    def dim(self) -> int:
        return self.free.dim

    def retract(self, x: np.ndarray, step: np.ndarray) -> np.ndarray:
        return self.limits.clamp(self.free.retract(x, step))

    def difference(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return self.free.difference(x, y)

    def distance(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return self.free.distance(x, y)

    def random(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Uniform angles within the limits, uniform rotations elsewhere."""
        x = self.free.random(rng, count)
        lower, upper = np.maximum(self.limits.lower, -np.pi), np.minimum(self.limits.upper, np.pi)
        angles = rng.uniform(lower, upper, size=(count, *lower.shape))
        limits = self.limits
        x[:, limits.joints] = limits.in_joint(wxyz_from_euler(angles, ORDER), np.arange(len(limits.joints)))
        return x


def _checked_axes(axes: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    axes = checked_array(axes, "the axes of the limits", f"({skeleton.num_nodes}, 3, 3)").astype(np.float64)
    if axes.shape != (skeleton.num_nodes, 3, 3) or not np.allclose(axes @ axes.swapaxes(1, 2), np.eye(3), atol=1e-4):
        raise SetupError(f"the axes of the limits must be ({skeleton.num_nodes}, 3, 3) rotations, got shape {axes.shape}")
    return axes
