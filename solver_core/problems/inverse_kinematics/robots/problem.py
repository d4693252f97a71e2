# SPDX-License-Identifier: Apache-2.0
"""Joint values of a robot as an inverse problem: f puts the links where the values take them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from solver_core import rotations
from solver_core.problem import Update
from solver_core.problems.inverse_kinematics.robots.robot import LinkPoses, Robot

TURN_SHARE = 0.3  # of the reach: a turn by one radian counts as much as being so far off
TRUST = 0.1  # damping in parts of the energy (Fan and Yuan 2005)
LEAST_DAMPING = 1e-9
AT_LIMIT = 1e-9
AT_ONCE = 1024  # poses whose Jacobians are made together


class LinkTargets(NamedTuple):
    """Of B poses and T links.  positions (B, T, 3) metres.  orientations (B, T, 3, 3).  has_position, has_orientation (B, T)
    1 where they are given, else 0.
    """

    positions: np.ndarray
    orientations: np.ndarray
    has_position: np.ndarray
    has_orientation: np.ndarray


@dataclass(frozen=True)
class JointValues:
    """Values (B, D) within limits (D, 2), which may be infinite; a step that leads out ends at the limit."""

    limits: np.ndarray

    @property
    def dim(self) -> int:
        return len(self.limits)

    def retract(self, x: np.ndarray, step: np.ndarray) -> np.ndarray:
        return np.clip(x + step, *self.limits.T)

    def difference(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return y - x

    def distance(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.linalg.norm(y - x, axis=-1)

    def random(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Uniform; where there is no limit, within half a turn or a metre of 0."""
        lower, upper = np.where(np.isfinite(self.limits), self.limits, [-np.pi, np.pi]).T
        return rng.uniform(np.minimum(lower, upper), upper, size=(count, self.dim))


@dataclass(frozen=True, eq=False)
class RobotProblem:
    """links: (T,) numbers of the links that have targets."""

    robot: Robot
    links: np.ndarray

    @property
    def manifold(self) -> JointValues:
        return JointValues(self.robot.limits)

    @property
    def turn_length(self) -> float:
        """Metres that a radian counts as."""
        return TURN_SHARE * max(self.robot.reach, 1e-3)

    def forward(self, x: np.ndarray, rows: np.ndarray) -> LinkPoses:
        return self.robot.poses(x)

    def residuals(self, prediction: LinkPoses, observation: LinkTargets) -> np.ndarray:
        """(B, T, 6) metres from the links to their targets, and of the turn between them; 0 where nothing is given."""
        shift = observation.has_position[..., None] * (observation.positions - prediction.positions[:, self.links])
        turn = observation.orientations @ prediction.orientations[:, self.links].swapaxes(2, 3)
        rotvec = rotations.rotvec_from_wxyz(rotations.wxyz_from_matrix(turn))
        return np.concatenate([shift, self.turn_length * observation.has_orientation[..., None] * rotvec], axis=-1)

    def energy(self, prediction: LinkPoses, observation: LinkTargets, rows: np.ndarray) -> np.ndarray:
        """Root mean square over what is given of a pose, in metres."""
        squared = (self.residuals(prediction, observation) ** 2).sum(axis=(1, 2))
        return np.sqrt(squared / (observation.has_position + observation.has_orientation).sum(axis=1))

    def jacobian(self, prediction: LinkPoses, observation: LinkTargets) -> np.ndarray:
        """(B, T, 6, D) how the links' positions and turns, as residuals count them, follow the values."""
        tree = self.robot.tree
        axes = (prediction.orientations[:, tree.links] @ tree.axes[..., None])[..., 0]  # (B, M, 3)
        levers = prediction.positions[:, self.links, None] - prediction.positions[:, None, tree.links]  # (B, T, M, 3)
        moves = tree.moves[:, self.links].T[..., None]  # (T, M, 1)
        turning = tree.is_turning[:, None]
        shift = moves * np.where(turning, np.cross(axes[:, None], levers), axes[:, None])
        turn = moves * turning * self.turn_length * axes[:, None]
        given = (observation.has_position, observation.has_orientation)
        both = [part * has[..., None, None] for part, has in zip((shift, turn), given, strict=True)]
        return np.concatenate(both, axis=-1).swapaxes(2, 3) @ tree.gain


def damped_steps(problem: RobotProblem) -> Update:
    """Damped least squares (Wampler 1986); values at a limit that would go beyond it stay."""
    lower, upper = problem.robot.limits.T
    size = np.where(problem.robot.is_turning, 1.0, max(problem.robot.reach, 1e-3))  # of a step of a joint

    def update(stage: int, x: np.ndarray, prediction: LinkPoses, observation: LinkTargets, rows: np.ndarray) -> np.ndarray:
        count, dim = x.shape
        jacobian = problem.jacobian(prediction, observation).reshape(count, -1, dim) * size
        left = problem.residuals(prediction, observation).reshape(count, -1, 1)
        energy = problem.energy(prediction, observation, rows)
        damping = (LEAST_DAMPING + TRUST * energy * max(problem.robot.reach, 1e-3))[:, None, None] * np.eye(dim)
        step = np.zeros_like(x)
        for _ in range(2):
            pushed_out = ((x <= lower + AT_LIMIT) & (step < 0)) | ((x >= upper - AT_LIMIT) & (step > 0))
            jacobian = np.where(pushed_out[:, None], 0, jacobian)
            normal = jacobian.swapaxes(1, 2) @ jacobian + damping
            step = size * np.linalg.solve(normal, jacobian.swapaxes(1, 2) @ left)[..., 0]
        return step

    return update
