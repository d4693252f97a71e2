# SPDX-License-Identifier: Apache-2.0
"""Poses by Adam on a differentiable silhouette: soft rasteriser or neural mesh renderer."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from solver_core import rotations
from solver_core.loop import LoopSettings
from solver_core.manifolds import Euclidean
from solver_core.mesh import Mesh
from solver_core.problems.pose.problem import PoseProblem
from solver_core.solution import Solution
from training.paper.baselines.adam import adam_update
from training.paper.baselines.descent import Descent, Slope, descend
from training.paper.baselines.neural_mesh_renderer import hard_overlap_slope
from training.paper.baselines.silhouette import quaternion_prior
from training.paper.baselines.soft_rasterizer import soft_overlap_slope

PoseSlope = Callable[[Mesh, np.ndarray, np.ndarray, np.ndarray], tuple[float, np.ndarray]]


@dataclass(frozen=True)
class PoseDescent:
    """How Adam runs; the defaults come from 24 samples of the validation split, see training/paper/tune_pose_baselines.py.

    wxyz_rate, position_rate: learning rates of the quaternion and of the position, in object diagonals.  steps, patience:
    the protocol's.  sigma: of the soft rasteriser, in squared half image heights; 1e-4 is the authors'.  finer: of the
    neural mesh renderer, samples along a side of a pixel; 2 is the authors'.
    """

    wxyz_rate: float = 0.005
    position_rate: float = 0.01
    steps: int = 500
    patience: int = 20
    sigma: float = 1e-6
    finer: int = 2


def descend_soft_rasterizer(
    problem: PoseProblem, observed: np.ndarray, x0: np.ndarray, settings: PoseDescent | None = None
) -> Solution:
    """Poses (B, 7) that explain masks (B, H, W) float32, from x0 (B, 7), by the soft rasteriser of Liu et al. 2019."""
    settings = settings or PoseDescent()
    slope = functools.partial(soft_overlap_slope, sigma_px=settings.sigma * (problem.height / 2) ** 2)
    return _descend(slope, problem, observed, x0, settings)


def descend_neural_mesh_renderer(
    problem: PoseProblem, observed: np.ndarray, x0: np.ndarray, settings: PoseDescent | None = None
) -> Solution:
    """The same by the neural mesh renderer of Kato et al. 2018."""
    settings = settings or PoseDescent()
    return _descend(functools.partial(hard_overlap_slope, finer=settings.finer), problem, observed, x0, settings)


def _descend(slope: PoseSlope, problem: PoseProblem, observed: np.ndarray, x0: np.ndarray, settings: PoseDescent) -> Solution:
    def objective(x: np.ndarray, rows: np.ndarray) -> Slope:
        values, gradients = [], []
        for row, pose in zip(rows, x, strict=True):
            value, gradient = slope(problem.meshes[row], pose, problem.intrinsics[row], observed[row])
            prior, prior_gradient = quaternion_prior(pose)
            values.append(value + prior)
            gradients.append(gradient + prior_gradient)
        return Slope(np.array(values), np.stack(gradients))

    rates = np.repeat([settings.wxyz_rate, settings.position_rate], (4, 3))
    loop = LoopSettings(steps=settings.steps, patience=settings.patience)
    solution = descend(Descent(Euclidean(7), objective), adam_update(len(x0), rates), x0.astype(np.float32), loop)
    history = [replace(iteration, x=_unit(iteration.x)) for iteration in solution.history]
    return replace(solution, x=history[-1].x, history=history)


def _unit(x: np.ndarray) -> np.ndarray:
    """(B, 7) with quaternions of unit length, in double precision."""
    x = x.astype(np.float64)
    return np.concatenate([rotations.normalized(x[:, :4]), x[:, 4:]], axis=1)
