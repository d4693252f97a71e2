# SPDX-License-Identifier: Apache-2.0
"""The likeliest motion where targets have noise: they are weighed against the networks' answer and the neighbouring frames.

The objective adds up, over all frames,

    squared distances to the targets over their variance, less for what is far off,
    squared turns from the networks' answer over its variance,
    squared third differences of rotations and root over theirs, which says that motions are smooth.

Every step solves its normal equations, which couple all joints of a frame and all frames of a joint, by conjugate gradients;
what preconditions them is exact where frames are alike and joints independent (a cosine transform over time).  The variances
of the last two terms are those that the answer itself shows (expectation maximisation), so that nothing has to be set for a
frame rate or a kind of motion.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from solver_core import rotations
from solver_core.problems.inverse_kinematics.problem import KinematicProblem
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton
from solver_core.problems.inverse_kinematics.solver.series import cosine_transform, frequencies, inverse_cosine_transform
from solver_core.problems.inverse_kinematics.solver.smooth import continuous_signs

ORDER = 3  # of the differences: what moves a body changes its acceleration smoothly
FAR_OFF = 3.0  # standard deviations from which on a target counts less
LASTING = 10.0  # frames for which errors of networks last; so many frames say as much as one
CONJUGATE_STEPS, TOLERANCE = 40, 1e-3  # of the gradient that is left
PRIOR_RANGE = (0.02, 1.0)  # error of the networks' answer in standard deviations of motions
LEAST_ROUGHNESS = 1e-6  # third difference of a quaternion; a joint that never moves still can


class Motion(NamedTuple):
    """x: (F, J, 4) wxyz of the joints.  root: (F, 3) metres."""

    x: np.ndarray
    root: np.ndarray


@dataclass(eq=False)
class Posterior:
    """Objective of a motion of F frames.

    positions: (F, N, 3) targets, metres.  variance: (F, N) square metres; infinite where nothing is given.
    prior: (F, J, 4) the networks' answer.  axes: (J, 3, 3) as those of a Body, in which its errors are counted.
    prior_error: (J,) standard deviations along these axes.  roughness: (J,) and root_roughness: of third differences.
    """

    problem: KinematicProblem
    positions: np.ndarray
    variance: np.ndarray
    prior: np.ndarray
    axes: np.ndarray
    prior_error: np.ndarray = field(init=False)
    roughness: np.ndarray = field(init=False)
    root_roughness: float = field(init=False)

    def __post_init__(self) -> None:
        self.below = _below(self.problem.skeleton)  # (J, N)
        self.prior_error = np.full(len(self.axes), 0.2)

    def start(self, motion: Motion) -> Motion:
        """The motion, its roughness taken as what is to be expected."""
        motion = Motion(continuous_signs(motion.x.astype(np.float64)), motion.root.astype(np.float64))
        self.roughness = np.sqrt((_differences(motion.x) ** 2).sum(axis=-1).mean(axis=0) / 3) + LEAST_ROUGHNESS
        self.root_roughness = float(np.sqrt((_differences(motion.root) ** 2).mean())) + LEAST_ROUGHNESS
        return motion

    def improved(self, motion: Motion) -> Motion:
        """The motion after one Gauss-Newton step, and the variances that it shows."""
        x, root = motion
        posture = self.problem.forward(x, np.arange(len(x)))
        system = self._system(posture.positions, posture.orientations, x, root)
        turns, shift = system.solve()
        x = rotations.normalized(rotations.multiply(x, rotations.wxyz_from_rotvec(turns)))
        self._learn(system, Motion(x, root + shift))
        return Motion(continuous_signs(self.problem.within_limits(x)), root + shift)

    def _system(self, nodes: np.ndarray, orientations: np.ndarray, x: np.ndarray, root: np.ndarray) -> _System:
        residuals = self.positions - nodes - root[:, None]
        squared = (residuals**2).sum(axis=-1)
        weights = 1 / (
            self.variance * (1 + squared / (3 * FAR_OFF**2 * np.where(np.isfinite(self.variance), self.variance, 1)))
        )
        to_axes = np.linalg.inv(self.axes)
        precision = to_axes @ to_axes.swapaxes(1, 2) / (LASTING * self.prior_error**2)[:, None, None]
        behind = rotations.rotvec_from_wxyz(rotations.multiply(rotations.inverse(x), self.prior))
        joints = nodes[:, self.problem.skeleton.joints]
        stiffness = 1 / self.roughness**2, 1 / self.root_roughness**2
        return _System(self.below, nodes, joints, orientations, x, root, residuals, weights, behind, precision, *stiffness)

    def _learn(self, system: _System, motion: Motion) -> None:
        """Variances of prior and roughness, from the motion and from how sure it is."""
        information, _ = system.information
        waves = frequencies(len(motion.x), ORDER)
        spread = 1 / (information + system.stiffness[:, None] * waves[:, None, None] / 4)  # (F, J, 3) of each wave
        seen = (_differences(motion.x) ** 2).sum(axis=-1).sum(axis=0) / len(motion.x)
        hidden = (waves[:, None] * spread.sum(axis=-1) / 4).mean(axis=0)
        self.roughness = np.sqrt((seen + hidden) / 3) + LEAST_ROUGHNESS
        self.root_roughness = float(np.sqrt((_differences(motion.root) ** 2).mean())) + LEAST_ROUGHNESS
        behind = rotations.rotvec_from_wxyz(rotations.multiply(rotations.inverse(motion.x), self.prior))
        counted = (behind[..., None, :] @ np.linalg.inv(self.axes))[..., 0, :]
        self.prior_error = np.clip(np.sqrt((counted**2).mean(axis=(0, 2))), *PRIOR_RANGE)


@dataclass(eq=False)
class _System:
    """Normal equations of one step: turns (F, J, 3) of the joints in their own axes and shifts (F, 3) of the root."""

    below: np.ndarray
    nodes: np.ndarray
    joints: np.ndarray
    orientations: np.ndarray
    x: np.ndarray
    root: np.ndarray
    residuals: np.ndarray
    weights: np.ndarray
    behind: np.ndarray
    precision: np.ndarray
    stiffness: np.ndarray
    root_stiffness: float

    def __post_init__(self) -> None:
        w, v = self.x[..., :1, None], self.x[..., 1:]
        zero = np.zeros_like(v[..., 0])
        cross = np.stack([zero, -v[..., 2], v[..., 1], v[..., 2], zero, -v[..., 0], -v[..., 1], v[..., 0], zero], axis=-1)
        cross = cross.reshape(*v.shape[:-1], 3, 3)
        # What small turns make of the quaternions: half of x times (0, turn).
        self.quaternion_from_turn = 0.5 * np.concatenate([-v[..., None, :], w * np.eye(3) + cross], axis=-2)  # (F, J, 4, 3)
        lever = np.einsum("jn,fn,fnx->fjx", self.below, self.weights, self.nodes, optimize=True)
        total = self.weights @ self.below.T  # (F, J)
        squares = np.einsum("jn,fn->fj", self.below, self.weights * (self.nodes**2).sum(axis=-1), optimize=True)
        squares = squares - 2 * (lever * self.joints).sum(axis=-1) + total * (self.joints**2).sum(axis=-1)
        turns = 2 / 3 * squares.mean(axis=0)[:, None] + np.diagonal(self.precision, axis1=1, axis2=2)
        self.information = turns, self.weights.sum(axis=1).mean()  # (J, 3) and of the root, a frame

    def solve(self) -> tuple[np.ndarray, np.ndarray]:
        """Conjugate gradients (Hestenes and Stiefel 1952)."""
        right = self._downhill()
        step = (np.zeros_like(right[0]), np.zeros_like(right[1]))
        residual, before = right, 0.0
        direction: tuple[np.ndarray, np.ndarray] | None = None
        first = _dot(right, self._preconditioned(right))
        for _ in range(CONJUGATE_STEPS):
            smoothed = self._preconditioned(residual)
            now = _dot(residual, smoothed)
            if now <= TOLERANCE**2 * first:
                break
            direction = smoothed if direction is None else _sum(smoothed, direction, now / before)
            product = self._times(direction)
            length = now / _dot(direction, product)
            step, residual, before = _sum(step, direction, length), _sum(residual, product, -length), now
        return step[0], step[1]

    def _downhill(self) -> tuple[np.ndarray, np.ndarray]:
        """Minus the gradient."""
        turns, shift = self._pulled(self.weights[..., None] * self.residuals)
        turns = turns + (self.precision @ self.behind[..., None])[..., 0] - self._rough(self.x)
        return turns, shift - self.root_stiffness * _adjoint(_differences(self.root), len(self.root))

    def _times(self, step: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        turns, shift = step
        spins = (self.orientations @ turns[..., None])[..., 0]
        velocities = _cross(_spread(self.below, spins), self.nodes) - _spread(self.below, _cross(spins, self.joints))
        pulled, pulled_root = self._pulled(self.weights[..., None] * (velocities + shift[:, None]))
        pulled = pulled + (self.precision @ turns[..., None])[..., 0]
        pulled = pulled + self._rough((self.quaternion_from_turn @ turns[..., None])[..., 0])
        return pulled, pulled_root + self.root_stiffness * _adjoint(_differences(shift), len(shift))

    def _pulled(self, forces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What forces (F, N, 3) on the nodes do to joints and root: the transposed Jacobian."""
        moments = _gathered(self.below, _cross(self.nodes, forces)) - _cross(self.joints, _gathered(self.below, forces))
        return (moments[..., None, :] @ self.orientations)[..., 0, :], forces.sum(axis=1)

    def _rough(self, x: np.ndarray) -> np.ndarray:
        """(F, J, 3) gradient of the roughness term at quaternions (F, J, 4)."""
        rough = _adjoint(self.stiffness[:, None] * _differences(x), len(x))
        return (rough[..., None, :] @ self.quaternion_from_turn)[..., 0, :]

    def _preconditioned(self, step: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        turns, shift = (cosine_transform(part) for part in step)
        waves = frequencies(len(turns), ORDER)
        of_turns, of_root = self.information
        turns = turns / (of_turns + self.stiffness[:, None] * waves[:, None, None] / 4)
        shift = shift / (of_root + self.root_stiffness * waves[:, None])
        return inverse_cosine_transform(turns), inverse_cosine_transform(shift)


def _below(skeleton: Skeleton) -> np.ndarray:
    """(J, N) 1 for the nodes that a joint moves."""
    below = np.eye(skeleton.num_nodes)
    for level in reversed(skeleton.levels):
        np.add.at(below, level.parents, below[level.nodes])
    return below[skeleton.joints]


def _spread(below: np.ndarray, of_joints: np.ndarray) -> np.ndarray:
    """(F, N, 3) sums over the joints above each node of (F, J, 3)."""
    return np.einsum("jn,fjx->fnx", below, of_joints, optimize=True)


def _gathered(below: np.ndarray, of_nodes: np.ndarray) -> np.ndarray:
    """(F, J, 3) sums over the nodes below each joint of (F, N, 3)."""
    return np.einsum("jn,fnx->fjx", below, of_nodes, optimize=True)


def _differences(values: np.ndarray) -> np.ndarray:
    """Third differences (F - 3, ...); of a few frames lower ones, of a single frame zero."""
    return np.diff(values, n=min(ORDER, len(values) - 1), axis=0) if len(values) > 1 else np.zeros_like(values)


def _adjoint(differences: np.ndarray, count: int) -> np.ndarray:
    """(F, ...) the transpose of _differences."""
    for _ in range(count - len(differences)):
        padding = np.zeros_like(differences[:1])
        differences = np.concatenate([padding, differences]) - np.concatenate([differences, padding])
    return differences


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    product = np.empty(np.broadcast_shapes(a.shape, b.shape))
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        product[..., i] = a[..., j] * b[..., k] - a[..., k] * b[..., j]
    return product


def _dot(a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray]) -> float:
    return float(sum((one * other).sum() for one, other in zip(a, b, strict=True)))


def _sum(a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray], factor: float) -> tuple[np.ndarray, np.ndarray]:
    return a[0] + factor * b[0], a[1] + factor * b[1]
