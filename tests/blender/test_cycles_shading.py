# SPDX-License-Identifier: Apache-2.0
"""Shading and hard shadows of both kinds of light as Blender's Cycles has them; training/cycles compares more meshes."""

import numpy as np
import pytest

from solver_core.frames import Camera
from solver_core.mesh import Mesh

trimesh = pytest.importorskip("trimesh")
pytest.importorskip("pyrender", reason="needs the dev extra, as training/cycles does")

from training.cycles import compare_shading  # noqa: E402

SIZE = 96
CAMERA = Camera.from_fov(SIZE, SIZE, np.radians(30))
CENTRE = np.array([0, 0, -2.732])


def box_on_floor():
    return [trimesh.creation.box((0.9, 0.7, 0.02)), trimesh.creation.box((0.25, 0.2, 0.4)).apply_translation((0.1, 0.05, 0.2))]


def ball_and_ring():
    return [
        trimesh.creation.icosphere(subdivisions=2, radius=0.2).apply_translation((0.15, 0, 0.2)),
        trimesh.creation.torus(0.25, 0.05, major_sections=24, minor_sections=12).apply_translation((-0.2, 0, 0)),
    ]


def before_camera(parts) -> Mesh:
    """The parts seen from 35 degrees above."""
    joined = trimesh.util.concatenate(parts)
    matrix = trimesh.transformations.rotation_matrix(np.radians(-55), (1, 0, 0))
    return Mesh.checked(trimesh.transform_points(joined.vertices, matrix) + CENTRE, joined.faces)


@pytest.mark.parametrize("kind", ["sun", "point"])
@pytest.mark.parametrize("parts", [box_on_floor, ball_and_ring])
def test_shading_equals_cycles_away_from_shadow_edges(parts, kind):
    light = np.array([0.7, 0.6, 0.5]) / np.linalg.norm([0.7, 0.6, 0.5])
    placed = light if kind == "sun" else light + CENTRE
    shaded = compare_shading.Shaded.of(kind, before_camera(parts()), placed, CAMERA)
    ours, theirs, facing = shaded.ours(), shaded.cycles(CAMERA), shaded.facing()

    found = compare_shading.measure(compare_shading.Comparison(ours, theirs, facing, shaded.mask))

    in_shadow = shaded.mask & (facing > 0) & (theirs < facing / 2)
    assert in_shadow.sum() > 50  # there is a cast shadow to get right
    assert found["difference_percent"] < 0.2  # 20 meshes of the test split: 0.01 on average, 0.05 for the worst
    assert found["all_pixels_percent"] < 2  # shadow edges, off by a texel here and there, included
