"""The last bit: damped least squares from a pose that is near already, so that what positions cannot see stays as it is."""

from __future__ import annotations

import numpy as np

from solver_core.loop import LoopSettings, OnStep, solve
from solver_core.problem import Update
from solver_core.problems.inverse_kinematics.kinematics import Posture
from solver_core.problems.inverse_kinematics.least_squares import damped_step
from solver_core.problems.inverse_kinematics.problem import KinematicProblem, Targets
from solver_core.solution import Solution

# Square metres for a human; other bodies by the square of their bones.  Small steps in what is seen badly, such as twist.
DAMPING = 1e-4
HUMAN_BONE = 0.12  # metres, root mean square
REFINE = LoopSettings(steps=12, halvings=6, converged_energy=1e-6, min_decrease=0.01)


def refine(
    problem: KinematicProblem,
    targets: Targets,
    x0: np.ndarray,
    settings: LoopSettings = REFINE,
    on_step: OnStep | None = None,
) -> Solution:
    """Solution of least squares started at x0 (B, J, 4)."""
    return solve(problem, least_squares_update(problem, DAMPING), targets, x0, settings, on_step)


def least_squares_update(problem: KinematicProblem, damping: float) -> Update:
    """Damped least squares steps within the problem's limits.  damping: square metres for a body of human size."""
    bones = problem.skeleton.bone_lengths[problem.skeleton.parents >= 0]
    damping = damping * float((bones**2).mean()) / HUMAN_BONE**2
    limits = problem.limits

    def step_about(free: np.ndarray, posture: Posture, targets: Targets) -> np.ndarray:
        """(B, J, 3) local rotation vectors; free: (B, J, 3, 3) local axes, one a row."""
        axes = free @ posture.orientations.swapaxes(2, 3)
        residuals = problem.residuals(posture, targets)
        angles = damped_step(problem.skeleton, posture, axes, residuals, targets.weights, damping)
        return (angles[..., None, :] @ free)[..., 0, :]

    def update(stage: int, x: np.ndarray, prediction: Posture, observation: Targets, rows: np.ndarray) -> np.ndarray:
        everything = np.broadcast_to(np.eye(3, dtype=x.dtype), prediction.orientations.shape)
        step = step_about(everything, prediction, observation)
        if limits is not None:  # a joint that would be pushed through its bound must not carry the others along
            step = step_about(limits.free_axes(x, step), prediction, observation)
        return step.reshape(len(x), -1)

    return update


def refine_with_restarts(
    problem: KinematicProblem,
    targets: Targets,
    x0: np.ndarray,
    num_restarts: int,
    rng: np.random.Generator,
    settings: LoopSettings = REFINE,
    on_step: OnStep | None = None,
) -> Solution:
    """The best of refining x0 and poses spread around it, instance by instance; the others only where x0 fails.

    Far from the answer least squares gets stuck; a body without trained networks needs several tries.
    """
    raise NotImplementedError
