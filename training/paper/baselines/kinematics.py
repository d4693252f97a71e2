# SPDX-License-Identifier: Apache-2.0
"""Inverse kinematics by descending a gradient: position error plus a Gaussian prior on Euler angles. [torch]

Ma et al. 2020, sec. 4.3, compare with these.  The unknown is (B, 3 J) Euler angles; solutions are given as rotations.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from solver_core.loop import LoopSettings, solve
from solver_core.manifolds import Euclidean
from solver_core.problems.inverse_kinematics.files.bvh_motion import DEFAULT_ORDER as ORDER
from solver_core.problems.inverse_kinematics.problem import KinematicProblem, Targets
from solver_core.problems.inverse_kinematics.skeleton.euler import euler_from_wxyz, wxyz_from_euler
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton
from solver_core.problems.inverse_kinematics.training.torch_kinematics import forward_kinematics
from solver_core.solution import Solution
from training.paper.baselines.adam import adam_update
from training.paper.baselines.autograd import slope
from training.paper.baselines.descent import Descent, Slope, descend
from training.paper.baselines.lbfgs import lbfgs_update

PRIOR_WEIGHT = 0.001  # of the prior beside the mean squared distance in square centimetres, as in the paper
LEAST_DEVIATION = 0.01  # radians: joints that hardly turn in the training clips may still turn so far
# Steps, rate, memory and deviation were chosen on validation clips: more steps or another rate gain little, fewer lose.
LBFGS = LoopSettings(steps=500, halvings=10, patience=2, min_decrease=1e-7)
ADAM = LoopSettings(steps=1500, patience=100)
ADAM_RATE = 0.1  # radians, falling linearly to zero


@dataclass(frozen=True, eq=False)
class AnglePrior:
    """Gaussian over the Euler angles (3 J,) of all joints but the root, which may face anywhere.

    whitening: (3 J, 3 J) such that |(angles - mean) @ whitening|^2 is the squared Mahalanobis distance.
    """

    mean: np.ndarray
    whitening: np.ndarray

    @classmethod
    def of_poses(cls, skeleton: Skeleton, poses: np.ndarray) -> AnglePrior:
        """Fit to poses (F, J, 4)."""
        angles = euler_from_wxyz(poses.astype(np.float64), ORDER).reshape(len(poses), -1)
        root = 3 * skeleton.joint_of_node[skeleton.root] + np.arange(3)
        others = np.setdiff1d(np.arange(angles.shape[1]), root)
        covariance = np.cov(angles[:, others].T) + LEAST_DEVIATION**2 * np.eye(len(others))
        whitening = np.zeros((angles.shape[1],) * 2)
        whitening[np.ix_(others, others)] = np.linalg.cholesky(np.linalg.inv(covariance))
        return cls(angles.mean(axis=0), whitening)


def angle_descent(
    problem: KinematicProblem, targets: Targets, prior: AnglePrior, prior_weight: float = PRIOR_WEIGHT
) -> Descent:
    """Descent of the weighted mean squared distance in square centimetres plus the prior, over angles (B, 3 J)."""
    skeleton = problem.skeleton
    offsets, positions = (torch.from_numpy(100 * np.ascontiguousarray(a)) for a in (problem.offsets, targets.positions))
    weights = torch.from_numpy(targets.weights / targets.weights.sum(axis=1, keepdims=True))
    mean, whitening = torch.from_numpy(prior.mean), torch.from_numpy(prior.whitening)

    def objective(x: np.ndarray, rows: np.ndarray) -> Slope:
        start = torch.from_numpy(x)
        dtype = start.dtype

        def value(step: torch.Tensor) -> torch.Tensor:
            angles = start + step
            found = forward_kinematics(skeleton, offsets[rows].to(dtype), matrix_from_euler(angles.unflatten(1, (-1, 3))))
            squared = (found - positions[rows].to(dtype)).square().sum(dim=2)
            unlikely = ((angles - mean.to(dtype)) @ whitening.to(dtype)).square().sum(dim=1)
            return (weights[rows].to(dtype) * squared).sum(dim=1) + prior_weight * unlikely

        return slope(value, len(x), x.shape[1], dtype)

    return Descent(Euclidean(3 * skeleton.num_joints), objective)


def lbfgs(
    problem: KinematicProblem, targets: Targets, x0: np.ndarray, prior: AnglePrior, settings: LoopSettings = LBFGS
) -> Solution:
    """Solution of L-BFGS from rotations x0 (B, J, 4); its energy is the objective.  In float64, where it gets further."""
    angles = _angles(x0).astype(np.float64)
    return _as_rotations(
        solve(angle_descent(problem, targets, prior), lbfgs_update(len(x0)), angles, angles, settings), x0.dtype
    )


def adam(
    problem: KinematicProblem, targets: Targets, x0: np.ndarray, prior: AnglePrior, settings: LoopSettings = ADAM
) -> Solution:
    """Solution of Adam from rotations x0 (B, J, 4); its energy is the objective."""
    angles = _angles(x0)
    update = adam_update(len(x0), ADAM_RATE, decay=lambda stage: 1 - stage / settings.steps)
    return _as_rotations(descend(angle_descent(problem, targets, prior), update, angles, settings), x0.dtype)


def matrix_from_euler(angles: torch.Tensor) -> torch.Tensor:
    """(..., 3, 3) of (..., 3) angles a, b, c about z, x, y: Rz(a) Rx(b) Ry(c), radians."""
    (sa, sb, sc), (ca, cb, cc) = angles.sin().unbind(-1), angles.cos().unbind(-1)
    entries = (
        ca * cc - sa * sb * sc, -sa * cb, ca * sc + sa * sb * cc,
        sa * cc + ca * sb * sc, ca * cb, sa * sc - ca * sb * cc,
        -cb * sc, sb, cb * cc,
    )  # fmt: skip
    return torch.stack(entries, dim=-1).unflatten(-1, (3, 3))


def _angles(x: np.ndarray) -> np.ndarray:
    """(B, 3 J) of rotations (B, J, 4)."""
    return euler_from_wxyz(x, ORDER).reshape(len(x), -1).astype(x.dtype)


def _as_rotations(solution: Solution, dtype: np.dtype) -> Solution:
    """The same with x (B, J, 4) for (B, 3 J), in the history too."""
    history = [
        replace(i, x=wxyz_from_euler(i.x.reshape(len(i.x), -1, 3), ORDER).astype(dtype), prediction=None)
        for i in solution.history
    ]
    return replace(solution, x=history[-1].x, history=history)
