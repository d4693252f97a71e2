# SPDX-License-Identifier: Apache-2.0
"""Lambert's law and shadows, against what can be worked out by hand."""

import numpy as np
import pytest

from solver_core.mesh import Mesh
from solver_core.render.shading import point_light_shading, sun_shading

FLOOR = np.array([[-2, -2, 0], [2, -2, 0], [2, 2, 0], [-2, 2, 0]], float)
ROOF = np.array([[-0.5, -0.5, 1], [0.5, -0.5, 1], [0.5, 0.5, 1], [-0.5, 0.5, 1]], float)
SQUARE_FACES = np.array([[0, 1, 2], [0, 2, 3]])
FLOOR_ALONE = Mesh.checked(FLOOR, SQUARE_FACES)
FLOOR_AND_ROOF = Mesh.checked(np.concatenate([FLOOR, ROOF]), np.concatenate([SQUARE_FACES, SQUARE_FACES + 4]))
UP = np.array([0.0, 0.0, 1.0])


def floor_points(rng, count: int = 4000) -> np.ndarray:
    """(1, P, 3) points on the floor."""
    return np.concatenate([rng.uniform(-1.9, 1.9, (count, 2)), np.zeros((count, 1))], axis=1)[None].astype(np.float32)


def facing_up(points: np.ndarray) -> np.ndarray:
    return np.broadcast_to(UP.astype(np.float32), points.shape)


def unit(*vector: float) -> np.ndarray:
    return np.array([vector]) / np.linalg.norm(vector)


@pytest.mark.parametrize("slope", [0.0, 0.5, 2.0, 10.0])
def test_sun_on_a_floor_gives_the_cosine_without_acne(rng, slope):
    points = floor_points(rng)
    direction = unit(slope, 0.3 * slope, 1.0)

    shading = sun_shading([FLOOR_ALONE], points, facing_up(points), direction)

    np.testing.assert_allclose(shading, direction[0, 2], atol=1e-5)


@pytest.mark.parametrize("position", [(0, 0, 1), (0.4, -0.3, 0.2), (0.7, 1.5, 0.6), (5, 3, 4), (0, 0, 0.05)])
def test_point_light_over_a_floor_gives_cosine_over_squared_distance_without_acne(rng, position):
    points = floor_points(rng)
    towards = np.array(position) - points[0]
    distance = np.linalg.norm(towards, axis=1)

    shading = point_light_shading([FLOOR_ALONE], points, facing_up(points), np.array([position], float))

    np.testing.assert_allclose(shading[0], towards[:, 2] / distance**3, rtol=1e-3, atol=1e-5)


def test_sun_from_below_gives_nothing(rng):
    points = floor_points(rng)

    assert not sun_shading([FLOOR_ALONE], points, facing_up(points), unit(0.2, 0, -1)).any()


@pytest.mark.parametrize("direction", [(0.0, 0.0, 1.0), (0.8, 0.3, 1.0)])
def test_roof_throws_its_shape_along_the_sun(rng, direction):
    points = floor_points(rng)
    middle = -np.array(direction[:2]) / direction[2]  # of the shadow, opposite to the sun
    beside = np.abs(points[0, :, :2] - middle).max(axis=1) - 0.5

    shading = sun_shading([FLOOR_AND_ROOF], points, facing_up(points), unit(*direction))[0]

    assert not shading[beside < -0.05].any()  # 0.05: two texels of the map over the floor
    np.testing.assert_allclose(shading[beside > 0.05], unit(*direction)[0, 2], atol=1e-5)


def test_roof_throws_a_larger_shadow_by_a_point_light(rng):
    points = floor_points(rng)
    beside = np.abs(points[0, :, :2]).max(axis=1) - 1.0  # twice as high as the roof: twice its size

    shading = point_light_shading([FLOOR_AND_ROOF], points, facing_up(points), np.array([[0.0, 0.0, 2.0]]))[0]

    assert not shading[beside < -0.05].any()
    assert (shading[beside > 0.05] > 0).all()


def test_point_light_between_floor_and_roof_lights_both_sides(rng):
    points = floor_points(rng, 500)
    ceiling = points[:, :100] * 0.2 + [0, 0, 1]
    both = np.concatenate([points, ceiling], axis=1).astype(np.float32)
    normals = np.concatenate([facing_up(points), -facing_up(ceiling)], axis=1)

    shading = point_light_shading([FLOOR_AND_ROOF], both, normals, np.array([[0.0, 0.0, 0.5]]))

    assert (shading > 0).all()


def test_edge_of_a_shadow_is_soft(rng):
    points = floor_points(rng)

    shading = sun_shading([FLOOR_AND_ROOF], points, facing_up(points), UP[None], map_size=64)

    assert ((shading > 0.1) & (shading < 0.9)).any()


def test_batch_equals_single_calls(rng):
    points, directions = floor_points(rng), np.concatenate([unit(0.1, 0.2, 1), unit(-0.5, 0.3, 0.7)])
    both = np.repeat(points, 2, axis=0)

    batch = sun_shading([FLOOR_AND_ROOF, FLOOR_ALONE], both, facing_up(both), directions)

    for index, mesh in enumerate((FLOOR_AND_ROOF, FLOOR_ALONE)):
        alone = sun_shading([mesh], points, facing_up(points), directions[[index]])
        np.testing.assert_allclose(batch[index], alone[0], atol=1e-6)
