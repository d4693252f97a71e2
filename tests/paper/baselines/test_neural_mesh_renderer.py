# SPDX-License-Identifier: Apache-2.0
"""The neural mesh renderer's hand-made gradient against its definition, edge by edge and pixel by pixel."""

import numpy as np
import pytest

from solver_core import render, rotations
from solver_core.frames import Camera, matrix_from_pose
from solver_core.mesh import Mesh
from training.paper.baselines.neural_mesh_renderer import NEAREST, hard_overlap_slope, hard_silhouette, pixel_gradient
from training.paper.baselines.silhouette import project_mesh

SIZE = 24
CAMERA = Camera.from_fov(SIZE, SIZE, np.radians(30))
POSE = np.array([*rotations.wxyz_from_rotvec(np.array([0.5, -0.4, 0.3])), 0.05, -0.03, -2.5])


@pytest.fixture
def tetrahedron() -> Mesh:
    corners = np.array([[0, 0, 0], [1, 0, 0.1], [0.2, 1, 0], [0.3, 0.2, 0.9]], dtype=float)
    return Mesh.checked(corners, np.array([[0, 1, 2], [0, 1, 3], [0, 2, 3], [1, 2, 3]])).unit().mesh


def defined_gradient(faces, pixels, face_index, by_pixel):
    """Kato et al. 2018, sec. 3.2 for a binary mask: each pixel that an edge would pass, over its distance."""
    gradient = np.zeros(pixels.shape)
    nearest = NEAREST * SIZE / 2
    for face, corners in enumerate(faces):
        for k in range(3):
            first, second, third = (corners[(k + j) % 3] for j in range(3))
            for axis in (0, 1):
                a, b, c = (pixels[vertex] - 0.5 for vertex in (first, second, third))
                across = 1 - axis
                for line in range(SIZE):
                    if a[across] == b[across] or not min(a[across], b[across]) <= line <= max(a[across], b[across]):
                        continue
                    share = (line - a[across]) / (b[across] - a[across])
                    place = a[axis] + share * (b[axis] - a[axis])
                    at_third = a[axis] + (c[across] - a[across]) / (b[across] - a[across]) * (b[axis] - a[axis])
                    outwards = -1 if c[axis] > at_third else 1
                    inner = int(np.floor(place) if outwards > 0 else np.ceil(place))
                    outer = inner + outwards
                    if not (0 <= inner < SIZE and 0 <= outer < SIZE):
                        continue
                    drawn = face_index[line] if axis == 0 else face_index[:, line]
                    wish = by_pixel[line] if axis == 0 else by_pixel[:, line]
                    pull = 0.0
                    for pixel in range(SIZE):
                        distance = abs(pixel - place) + nearest
                        is_beyond = (pixel - outer) * outwards >= 0
                        if is_beyond and drawn[inner] == face and drawn[pixel] < 0 and wish[pixel] < 0:
                            pull += outwards * wish[pixel] / distance
                        if not is_beyond and drawn[pixel] == face and drawn[outer] < 0 and wish[pixel] > 0:
                            pull += outwards * wish[pixel] / distance
                    gradient[first, axis] += (1 - share) * pull
                    gradient[second, axis] += share * pull
    return gradient


def test_gradient_is_that_of_the_paper(tetrahedron, rng):
    raster = render.rasterize([tetrahedron], matrix_from_pose(POSE[None]), CAMERA.intrinsics[None], SIZE, SIZE)
    by_pixel = rng.normal(size=(SIZE, SIZE))
    pixels = project_mesh(tetrahedron, POSE, CAMERA.intrinsics).pixels

    gradient = pixel_gradient(tetrahedron.faces, pixels, raster.face_index[0], by_pixel)

    expected = defined_gradient(tetrahedron.faces, pixels, raster.face_index[0], by_pixel)
    assert np.count_nonzero(expected) == 6  # all but those of the vertex that is hidden
    np.testing.assert_allclose(gradient, expected, rtol=1e-9)


@pytest.mark.parametrize("finer", [1, 2])
@pytest.mark.parametrize(("axis", "shift"), [(4, 0.1), (4, -0.1), (5, 0.1), (5, -0.1)])
def test_gradient_points_away_from_the_mask(tetrahedron, axis, shift, finer):
    pose = POSE.copy()
    pose[axis] += shift
    observed = hard_silhouette(tetrahedron, POSE, CAMERA.intrinsics, SIZE, SIZE, finer)

    value, gradient = hard_overlap_slope(tetrahedron, pose, CAMERA.intrinsics, observed, finer)

    assert value > 0.1
    assert np.sign(gradient[axis]) == np.sign(shift)


@pytest.mark.parametrize("finer", [1, 2])
def test_silhouette_is_the_share_of_covered_samples(tetrahedron, finer):
    silhouette = hard_silhouette(tetrahedron, POSE, CAMERA.intrinsics, SIZE, SIZE, finer)

    fine = render.render_depth(
        [tetrahedron], matrix_from_pose(POSE[None]), finer * CAMERA.intrinsics, finer * SIZE, finer * SIZE
    )
    assert silhouette.sum() == pytest.approx(np.isfinite(fine).sum() / finer**2)
    assert silhouette.max() == 1
