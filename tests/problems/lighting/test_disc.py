# SPDX-License-Identifier: Apache-2.0
"""The size of a sun, from shadows that were traced without the solver."""

import numpy as np
import pytest

from solver_core.problems.lighting.solve import solve_lighting

from .conftest import make_case

MIDDLE = np.array([0.5, -0.4, 0.8]) / np.linalg.norm([0.5, -0.4, 0.8])
NUM_SUNS = 60


def soft_case(angle_deg: float, rng):
    """A sun of many, drawn at random from its disc."""
    across = np.linalg.svd(MIDDLE[None])[2][1:]
    radius = np.tan(np.radians(angle_deg) / 2) * np.sqrt(rng.uniform(size=NUM_SUNS))
    azimuth = rng.uniform(0, 2 * np.pi, NUM_SUNS)
    suns = MIDDLE + np.stack([radius * np.cos(azimuth), radius * np.sin(azimuth)], axis=1) @ across
    cases = [make_case("sun", sun / np.linalg.norm(sun), strength=2.5, ambient=0.05) for sun in suns]
    return make_case("sun", MIDDLE, 2.5, 0.05)._replace(image=np.mean([case.image for case in cases], axis=0))


@pytest.mark.parametrize("angle_deg", [8.0, 20.0])
def test_a_soft_sun_has_its_size(angle_deg, rng):
    result = solve_lighting(**soft_case(angle_deg, rng).arguments(), size=True)

    assert result.size.angle_deg == pytest.approx(angle_deg, rel=0.3)
    assert result.size.low_deg <= angle_deg <= result.size.high_deg
    assert not any("lamps=2" in note for note in result.report.notes)  # one that is wide, not two


def test_a_sharp_sun_is_small(sun_case):
    result = solve_lighting(**sun_case.arguments(), size=True)

    assert result.size.angle_deg < 3


def test_a_size_is_found_only_where_it_is_asked_for(sun_case, point_case):
    assert solve_lighting(**sun_case.arguments(), refine=False).size is None
    assert solve_lighting(**point_case.arguments(), refine=False, size=True).size is None
