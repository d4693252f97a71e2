# SPDX-License-Identifier: Apache-2.0
"""Refinement: damped least squares from a pose that is near the answer, which leaves unchanged what positions do not show."""

from __future__ import annotations

import numpy as np

from solver_core.kernel.tree import damped_step
from solver_core.loop import LoopSettings
from solver_core.problem import Update
from solver_core.problems.inverse_kinematics.problem import KinematicProblem, Targets, rotvecs_about
from solver_core.problems.inverse_kinematics.skeleton.kinematics import Posture
from solver_core.problems.inverse_kinematics.solver.least_squares import damped_step_of_floating

END = 2e-6  # metres: what float32 can tell in a body, with some margin
NATURAL = LoopSettings(steps=8, halvings=6, converged_energy=END, min_decrease=0.3)  # slow = as motions go, it cannot
REFINE = LoopSettings(steps=40, halvings=6, converged_energy=END, min_decrease=0.02)
FAR = LoopSettings(steps=100, halvings=6, converged_energy=END, min_decrease=1e-3)
# Damping in proportion to the residual converges quadratically (Fan and Yuan 2005), and shorter steps where little is seen.
TRUST = 0.3
LEAST_DAMPING = 1e-6  # square metres; below this float32 loses the weakest directions
POOR = 0.01  # energy over the root mean square bone length above which another start is tried
SPREADS = (0.3, 2.0)  # radians: random starts are turned a little at first and completely at random at last


def random_start(problem: KinematicProblem, x: np.ndarray, spread: float, rng: np.random.Generator) -> np.ndarray:
    """(B, J, 4) the poses x, all turned by the same random rotations of about `spread` radians, within the limits.

    So that frames beside each other find the same way to meet their targets.
    """
    step = np.broadcast_to(spread * rng.normal(size=problem.manifold.dim), (len(x), problem.manifold.dim))
    return problem.manifold.retract(x, step).astype(x.dtype)


def least_squares_update(problem: KinematicProblem) -> Update:
    """Damped least squares steps within the problem's limits."""
    skeleton, limits = problem.skeleton, problem.limits
    trust = TRUST * bone_length(problem) * float((problem.body.axes**2).sum(axis=-1).mean())

    def step_about(axes: np.ndarray, posture: Posture, targets: Targets, rows: np.ndarray) -> np.ndarray:
        """(B, J, 3) local rotation vectors; axes: (B, J, 3, 3) in the joints' frames, one a row."""
        damping = LEAST_DAMPING + trust * problem.energy(posture, targets, rows)
        axes_root = axes @ posture.orientations.swapaxes(2, 3)
        residuals = problem.residuals(posture, targets)
        turns = damped_step(skeleton, posture.positions, axes_root, residuals, targets.precision, damping)
        floating = np.flatnonzero(~targets.is_exact(skeleton.root))
        if len(floating):
            arrays = (posture.positions, axes_root, residuals, targets.precision, damping)
            turns[floating] = damped_step_of_floating(skeleton, *(array[floating] for array in arrays))
        return rotvecs_about(axes, turns)

    def update(stage: int, x: np.ndarray, prediction: Posture, observation: Targets, rows: np.ndarray) -> np.ndarray:
        axes = np.broadcast_to(problem.body.axes.astype(x.dtype), prediction.orientations.shape)
        step = step_about(axes, prediction, observation, rows)
        if limits is not None:  # a joint that would be pushed through its bound must not carry the others along
            step = step_about(limits.free_axes(x, axes, step), prediction, observation, rows)
        return step.reshape(len(x), -1)

    return update


def bone_length(problem: KinematicProblem) -> float:
    """Root mean square length of the bones, metres."""
    bones = problem.skeleton.bone_lengths[problem.skeleton.parents >= 0]
    return float(np.sqrt((bones**2).mean()))
