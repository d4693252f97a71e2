# SPDX-License-Identifier: Apache-2.0
"""Found suns and their sky as a picture of all that is around, for other renderers."""

from __future__ import annotations

import numpy as np

from solver_core.errors import ConfigError
from solver_core.problems.lighting.known import environment_directions
from solver_core.problems.lighting.solve import LightingSolution

HEIGHT = 512  # pixels; twice as many across
SUN_DEG = 0.53  # across the sun's disc, where its size was not asked for


def found_environment(solution: LightingSolution, camera_from_world: np.ndarray) -> np.ndarray:
    """Radiance all around, as Blender's Environment Texture shows it: z up, x in the middle, y in the middle of the left half.

    Args:
        solution: with a sun; point lights beside it are left out.
        camera_from_world: (4, 4) rigid, or any frame whose axes the picture shall have.

    Returns:
        (H, W, 3) float32 linear; on what faces a sun, its pixels together make the found strength in W/m2.

    Raises:
        ConfigError: without a sun: a light that is near is another one at every point.
    """
    suns = [lamp for lamp in solution.lamps if lamp.position is None]
    if not suns:
        raise ConfigError("an environment holds light from far away, and a point light is near: solve for a sun")
    ahead, solid_angle = environment_directions(HEIGHT, 2 * HEIGHT)
    towards = ahead[..., [2, 0, 1]] * [-1, -1, 1] @ camera_from_world[:3, :3].T  # the picture's middle is x here, and -z there
    radiance = np.zeros(towards.shape) if solution.sky is None else solution.sky.radiance(towards)
    for lamp in suns:
        across = SUN_DEG if lamp.size is None else lamp.size.angle_deg
        cosine = towards @ lamp.direction
        is_sun = cosine >= min(np.cos(np.radians(across / 2)), cosine.max())  # at least one pixel
        radiance += is_sun[..., None] * lamp.strength / float(np.sum(is_sun * solid_angle[:, None]))
    return radiance.astype(np.float32)
