"""Whether another focal length would explain the mask better than the one that was given.

A wrong focal length hides well: the object is put nearer or farther and looks nearly the same.  What is left is
perspective, a fraction of a pixel on small masks.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from solver_core.loop import LoopSettings, solve
from solver_core.problems.pose.refine import RefineLevel

FACTORS = np.array([1.0, 0.35, 0.5, 0.7, 0.85, 1.18, 1.4, 2.0, 3.0])  # the given one first, refined as far as the others
FOCAL_LOOP = LoopSettings(steps=12, halvings=2, patience=4)
MIN_GAIN = 0.03  # of energy; less is the noise of pixels
MIN_GAIN_SHARE = 0.35  # of the energy at the given focal length: where a mask is bad, any focal length gains a little


def better_focal(level: RefineLevel, pose: np.ndarray) -> float | None:
    """Factor on the focal length that explains the mask clearly better than none, at a level and from a pose (7,), or None."""
    count = len(FACTORS)
    batch = level.repeated(count)
    intrinsics = batch.problem.intrinsics.copy()
    intrinsics[:, :2] *= FACTORS[:, None]
    batch = RefineLevel(replace(batch.problem, intrinsics=intrinsics), batch.observation)
    x = np.repeat(pose[None], count, axis=0)
    x[:, 6] *= FACTORS  # as large in the image
    energy = solve(batch.problem, batch.update, batch.observation, x, FOCAL_LOOP).energy
    best = int(np.argmin(energy))
    gain = energy[0] - energy[best]
    return float(FACTORS[best]) if gain > max(MIN_GAIN, MIN_GAIN_SHARE * energy[0]) else None
