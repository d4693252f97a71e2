# SPDX-License-Identifier: Apache-2.0
"""Skies that are not the same all around, in pictures that were drawn without the solver."""

import numpy as np
import pytest

from solver_core.errors import ConfigError
from solver_core.problems.lighting.lights.light import spread
from solver_core.problems.lighting.metrics import angle_deg
from solver_core.problems.lighting.sky import FoundSky, SkyShape
from solver_core.problems.lighting.solve import solve_lighting
from solver_core.render.gbuffer import join_scene, render_gbuffer

from .conftest import BOX, CAMERA, FLOOR, SIZE, camera_from_world, make_case

UP = camera_from_world()[:3, 2]
ABOVE, BELOW = np.array([0.1, 0.2, 0.4]), np.array([0.3, 0.2, 0.05])
FRONT, SLOPE = -camera_from_world()[:3, 1], np.array([0.5, 0.3, 0.2])


def case_with(around):
    """A sun, and light (H, W, 3) from all around by the normals (H, W, 3) in the camera's frame; nothing hides it."""
    case = make_case("sun", [0.5, -0.4, 0.8], strength=2.5, ambient=0)
    scene = join_scene((FLOOR, BOX), [camera_from_world()] * 2, [None] * 2)
    buffer = render_gbuffer([scene], CAMERA.intrinsics, SIZE, SIZE)
    return case._replace(image=case.image + np.where(buffer.mask[0][..., None], around(buffer.normal[0]), 0))


@pytest.fixture(scope="module")
def filled_case():
    def around(normals):
        from_above = (1 + normals @ UP)[..., None] / 2
        return from_above * ABOVE + (1 - from_above) * BELOW

    return case_with(around)


def test_sky_and_fill_are_told_apart(filled_case):
    result = solve_lighting(**filled_case.arguments(), fill=True, indirect=False)

    assert angle_deg(result.direction[None], filled_case.light[None])[0] < 1
    np.testing.assert_allclose(result.strength, 2.5, rtol=0.04)
    np.testing.assert_allclose(result.sky.above, ABOVE, atol=0.03)
    np.testing.assert_allclose(result.sky.below, BELOW, atol=0.05)
    np.testing.assert_allclose(result.ambient, (result.sky.above + result.sky.below) / 2, atol=0.01)


def test_a_fill_explains_what_a_uniform_sky_does_not(filled_case):
    uniform, filled = (solve_lighting(**filled_case.arguments(), fill=fill, indirect=False) for fill in (False, True))

    assert filled.image_error < 0.8 * uniform.image_error


def test_a_sky_that_is_brighter_to_one_side_is_found():
    """Seen are faces that look up and faces that look to the front: what is known is how the two differ."""
    case = case_with(lambda normals: 0.55 + 2 / 3 * (normals @ FRONT)[..., None] * SLOPE)  # radiance of 0.55 + SLOPE front

    result = solve_lighting(**case.arguments(), sky="gradient", indirect=False)

    assert angle_deg(result.direction[None], case.light[None])[0] < 1
    front, back, above, below = result.sky.radiance(np.stack([FRONT, -FRONT, UP, -UP]))
    np.testing.assert_allclose((front - back - above + below) / 2, SLOPE, atol=0.1)


def test_a_sky_may_be_left_out(sun_case):
    result = solve_lighting(**sun_case.arguments(), sky="none", refine=False)

    assert result.sky is None
    assert not result.ambient.any()


def test_a_sky_may_be_asked_for_beside_a_known_strength(sun_case):
    result = solve_lighting(**sun_case.arguments(strength=2.5), sky="uniform")

    np.testing.assert_allclose(result.strength, 2.5)
    np.testing.assert_allclose(result.ambient, 0.05, atol=0.02)


def test_a_fill_without_a_sky_is_refused(sun_case):
    with pytest.raises(ConfigError, match="lower half of the sky"):
        solve_lighting(**sun_case.arguments(), sky="none", fill=True)


@pytest.mark.parametrize("kind", ["uniform", "gradient"])
@pytest.mark.parametrize("has_fill", [False, True])
def test_equal_parts_of_a_sky_are_a_uniform_one(kind, has_fill):
    shape = SkyShape(kind, has_fill)
    towards = spread(500, lowest_z=-1.0)

    profiles = shape.profiles(towards, UP)

    assert profiles.min() >= -1e-6
    np.testing.assert_allclose(profiles.sum(axis=0), 1, atol=1e-5)
    found = FoundSky(shape, np.tile(ABOVE, (len(profiles), 1)), UP)
    np.testing.assert_allclose(found.above, ABOVE, atol=1e-4)
    np.testing.assert_allclose(found.below, ABOVE, atol=1e-4)
