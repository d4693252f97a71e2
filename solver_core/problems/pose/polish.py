# SPDX-License-Identifier: Apache-2.0
"""The last tenths of a pixel: the mean of the poses around an estimate that explain the mask about equally well.

Next to the answer IoU counts whole pixels, so many poses share the best value and no step lowers it.  Any of them is as
good as the others to the energy, but their mean is nearer to the truth than most.  It is found by importance sampling
with the spread that the contour allows, in a few rounds with ever smaller spread.
"""

from __future__ import annotations

import numpy as np

from solver_core.kernel.contour import contour_points
from solver_core.loop import LoopSettings
from solver_core.problem import Update, take
from solver_core.problems.pose.contour import damped_normal_equations
from solver_core.problems.pose.observation import PoseObservation
from solver_core.problems.pose.problem import PoseProblem

SPREADS_PX = (1.0, 0.7, 0.5, 0.35)  # of the outline, round by round
NUM_SAMPLES = 48  # in pairs of opposite steps, so that they are centred on the estimate, which is one more
MAX_FACES = 50_000  # with more, the 200 renders take longer than the rest of the solve
MAX_STEP = 0.5  # in radians, image widths at depth 1, log depth; an outline that ties nothing down has a spread without bound
TOLERANCE_PX = 1.5  # a pose that leaves this many more pixels unexplained counts 1 / e
# Whole steps, because the mean may explain a pixel less than one sample did, and even from a perfect fit.
POLISH_LOOP = LoopSettings(steps=len(SPREADS_PX), halvings=None, patience=len(SPREADS_PX), converged_energy=-1.0)


def polish_update(problem: PoseProblem, rng: np.random.Generator) -> Update:
    """Update that moves to the weighted mean of random poses around the estimate."""

    def update(stage: int, x: np.ndarray, prediction: np.ndarray, observation: PoseObservation, rows: np.ndarray) -> np.ndarray:
        points = contour_points(x[:, 4:], prediction, observation.distance, observation.evidence, problem.intrinsics[rows])
        hessian, _ = damped_normal_equations(points, np.ones(len(x)))
        # Columns of the inverse transposed Cholesky factor: steps that move the outline by one pixel in all.
        spread = SPREADS_PX[stage] * np.linalg.inv(np.linalg.cholesky(hessian)).transpose(0, 2, 1)
        half = rng.normal(size=(len(x), NUM_SAMPLES // 2, 6)) @ spread.transpose(0, 2, 1)
        half = np.clip(half, -MAX_STEP, MAX_STEP)
        steps = np.concatenate([np.zeros((len(x), 1, 6)), half, -half], axis=1)  # (B, K, 6)
        return np.stack([_weighted_mean(problem, observation, *one) for one in zip(x, steps, rows, range(len(x)), strict=True)])

    return update


def _weighted_mean(
    problem: PoseProblem, observation: PoseObservation, pose: np.ndarray, steps: np.ndarray, row: int, index: int
) -> np.ndarray:
    """(6,) mean of steps (K, 6) from a pose (7,), weighted by how well each explains the mask."""
    rows = np.full(len(steps), row)
    observed = take(observation, np.array([index]))
    candidates = problem.manifold.retract(np.repeat(pose[None], len(steps), axis=0), steps)
    energy = problem.energy(problem.forward(candidates, rows), observed, rows)
    num_pixels = np.sum(observation.coverage[index], where=observation.evidence[index])
    weights = np.exp(-(energy - energy.min()) * num_pixels / TOLERANCE_PX)
    return weights @ steps / weights.sum()
