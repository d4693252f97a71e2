# SPDX-License-Identifier: Apache-2.0
"""Random steps beside those of Gauss-Newton, of which f picks: the way down where a part of the outline leads astray.

What hides an object has an outline, too, and Gauss-Newton is pulled to it.  The robust energy is not, but has no useful
slope.  So steps are drawn at random, with the spread that the outline allows, and the loop takes the best one.
"""

from __future__ import annotations

import numpy as np

from solver_core.kernel.contour import contour_points, sum_by_instance
from solver_core.loop import LoopSettings
from solver_core.problem import Arrays, Update
from solver_core.problems.pose.contour import damped_normal_equations

ROBUST_PX = (8.0, 2.0)  # Cauchy scales of the two Gauss-Newton steps among the proposals
WIDE_PX, NARROW_PX = (4.0, 4.0, 3.0, 3.0, 2.0, 2.0), (1.5, 1.0, 1.0, 0.7, 0.7, 0.5, 0.5, 0.3, 0.3, 0.2)
WIDE_LOOP, NARROW_LOOP = (LoopSettings(steps=len(each), halvings=0, patience=len(each)) for each in (WIDE_PX, NARROW_PX))
NUM_RANDOM = 24
MAX_TURN = 0.6  # radians: what the outline does not see is not known beyond the linear


def descent_update(intrinsics: np.ndarray, spreads_px: tuple[float, ...], rng: np.random.Generator) -> Update:
    """Update that proposes Gauss-Newton steps and random ones that move the outline by about spreads_px[stage]."""

    def update(stage: int, x: np.ndarray, prediction: Arrays, observation: Arrays, rows: np.ndarray) -> np.ndarray:
        points = contour_points(x[:, 4:], prediction, observation.distance, observation.evidence, intrinsics[rows])
        newton, spread = [], np.eye(6)
        for robust_px in ROBUST_PX:
            hessian, gradient = damped_normal_equations(points, np.full(len(x), robust_px))
            newton.append(-np.linalg.solve(hessian, gradient[:, :, None])[:, :, 0])
        length = sum_by_instance(points.weight[None], points.instance, len(x))[:, 0]
        # Steps that move the outline by a pixel, root mean square, in each of the six directions on its own.
        spread = np.linalg.inv(np.linalg.cholesky(hessian)).transpose(0, 2, 1) * np.sqrt(length / 6)[:, None, None]
        drawn = rng.normal(size=(len(x), NUM_RANDOM, 6)) * rng.choice((0.3, 1.0), size=(len(x), NUM_RANDOM, 1))
        drawn = spreads_px[min(stage, len(spreads_px) - 1)] * drawn @ spread.transpose(0, 2, 1)
        turn = np.linalg.norm(drawn[:, :, :3], axis=2, keepdims=True)
        drawn *= np.minimum(1, MAX_TURN / np.maximum(turn, 1e-9))
        along = newton[0][:, None] + 0.5 * drawn[:, : NUM_RANDOM // 3]  # and around where Gauss-Newton leads
        return np.concatenate([np.stack(newton, axis=1), drawn[:, NUM_RANDOM // 3 :], along], axis=1)

    return update
