# SPDX-License-Identifier: Apache-2.0
"""Inverse kinematics as an inverse problem: f puts the joints where rotations take them, E is how far they are off."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from solver_core.manifolds import Manifold, SO3Power
from solver_core.problem import Features
from solver_core.problems.inverse_kinematics import features as kinematic_features
from solver_core.problems.inverse_kinematics.observation import Targets
from solver_core.problems.inverse_kinematics.skeleton.body import Body
from solver_core.problems.inverse_kinematics.skeleton.kinematics import Posture, forward_kinematics
from solver_core.problems.inverse_kinematics.skeleton.limits import JointLimits, LimitedRotations
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton


@dataclass(frozen=True, eq=False)
class KinematicProblem:
    """A batch of bodies with the same tree of bones, each with its own offsets (B, N, 3).

    x: (B, J, 4) wxyz of each joint in its parent's frame.  f(x): a Posture.  limits: None lets every joint turn freely.
    """

    body: Body
    offsets: np.ndarray
    limits: JointLimits | None = None

    @property
    def skeleton(self) -> Skeleton:
        return self.body.skeleton

    @property
    def manifold(self) -> Manifold:
        free = SO3Power(self.skeleton.num_joints)
        return free if self.limits is None else LimitedRotations(free, self.limits)

    def within_limits(self, x: np.ndarray) -> np.ndarray:
        """The nearest poses (B, J, 4) that the limits allow."""
        return x if self.limits is None else self.limits.clamp(x).astype(x.dtype)

    def forward(self, x: np.ndarray, rows: np.ndarray) -> Posture:
        return forward_kinematics(self.skeleton, self.offsets[rows], x)

    def residuals(self, prediction: Posture, observation: Targets) -> np.ndarray:
        """(B, N, 3) from the nodes to their targets, after the best shift of the whole body where the root is not exact."""
        residuals = observation.positions - prediction.positions
        if observation.is_exact(self.skeleton.root).all():
            return residuals
        return residuals - self.shift(residuals, observation)

    def shift(self, residuals: np.ndarray, observation: Targets) -> np.ndarray:
        """(B, 1, 3) of the whole body: the mean residual where the root is not exact, else zero."""
        weights = observation.precision[..., None]
        mean = (weights * residuals).sum(axis=1, keepdims=True) / weights.sum(axis=1, keepdims=True)
        return np.where(observation.is_exact(self.skeleton.root)[:, None, None], 0, mean)

    def energy(self, prediction: Posture, observation: Targets, rows: np.ndarray) -> np.ndarray:
        """Root mean square distance to the targets, weighted by their precision, in metres."""
        squared = (self.residuals(prediction, observation) ** 2).sum(axis=-1)  # (B, N)
        precision = observation.precision
        return np.sqrt((precision * squared).sum(axis=1) / precision.sum(axis=1))

    def features(self, x: np.ndarray, prediction: Posture, observation: Targets, rows: np.ndarray) -> Features:
        residuals = self.residuals(prediction, observation)
        return kinematic_features.features(self.body, self.offsets[rows], x, prediction, residuals, observation)

    def step_from_output(self, output: np.ndarray, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return rotvecs_about(self.body.axes.astype(output.dtype), output.reshape(len(x), -1, 3)).reshape(len(x), -1)

    def output_from_step(self, step: np.ndarray, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        inverse = np.linalg.inv(self.body.axes).astype(step.dtype)
        return rotvecs_about(inverse, step.reshape(len(x), -1, 3)).reshape(len(x), -1)


def rotvecs_about(axes: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """(B, J, 3) rotation vectors of turns (B, J, 3) about axes (..., J, 3, 3), one a row and of any length."""
    return (turns[..., None, :] @ axes)[..., 0, :]
