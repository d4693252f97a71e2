# SPDX-License-Identifier: Apache-2.0
"""The soft rasteriser against its definition, face by face and pixel by pixel."""

import numpy as np
import pytest

from solver_core import rotations
from solver_core.frames import Camera, matrix_from_pose, project
from solver_core.mesh import Mesh
from training.paper.baselines import soft_rasterizer
from training.paper.baselines.soft_rasterizer import soft_overlap_slope, soft_silhouette

SIZE = 24
CAMERA = Camera.from_fov(SIZE, SIZE, np.radians(30))
POSE = np.array([*rotations.wxyz_from_rotvec(np.array([0.5, -0.4, 0.3])), 0.05, -0.03, -2.5])


@pytest.fixture
def boxy() -> Mesh:
    """A wedge: twelve faces less two, of either winding."""
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1.5) for z in (0, 0.7)], dtype=float)
    faces = [[0, 1, 3], [0, 2, 3], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1], [2, 3, 7], [2, 6, 7], [0, 2, 6], [1, 3, 5]]
    return Mesh.checked(corners, np.array(faces)).unit().mesh


@pytest.fixture
def observed(boxy) -> np.ndarray:
    """Its soft mask at another pose, hardened."""
    pose = POSE.copy()
    pose[4:] += (0.04, 0.05, 0.1)
    return (soft_silhouette(boxy, pose, CAMERA.intrinsics, SIZE, SIZE, 0.1) > 0.5).astype(np.float64)


def defined_silhouette(mesh: Mesh, sigma_px: float) -> np.ndarray:
    """Liu et al. 2019, eq. 1 and 8, written down with loops and without a cut-off."""
    points = mesh.vertices.astype(np.float64) @ matrix_from_pose(POSE)[:3, :3].T + POSE[4:]
    corners = project(points, CAMERA.intrinsics)[mesh.faces]
    empty = np.ones((SIZE, SIZE))
    for row in range(SIZE):
        for column in range(SIZE):
            pixel = np.array([column + 0.5, row + 0.5])
            for face in corners:
                squared, sides = [], []
                for start, end in zip(face, np.roll(face, -1, axis=0), strict=True):
                    span, arm = end - start, pixel - start
                    foot = start + np.clip(arm @ span / (span @ span), 0, 1) * span
                    squared.append(np.sum((pixel - foot) ** 2))
                    sides.append(span[0] * arm[1] - span[1] * arm[0])
                sign = 1 if min(sides) > 0 or max(sides) < 0 else -1
                empty[row, column] *= 1 - 1 / (1 + np.exp(-sign * min(squared) / sigma_px))
    return 1 - empty


def test_silhouette_is_that_of_the_paper(boxy):
    silhouette = soft_silhouette(boxy, POSE, CAMERA.intrinsics, SIZE, SIZE, 0.6)

    # ten faces, each cut off where it covers less than 1e-4
    np.testing.assert_allclose(silhouette, defined_silhouette(boxy, 0.6), atol=1e-3)
    assert silhouette.max() > 0.99


def test_silhouette_does_not_depend_on_how_the_work_is_cut(boxy, monkeypatch):
    whole = soft_silhouette(boxy, POSE, CAMERA.intrinsics, SIZE, SIZE, 0.6)

    monkeypatch.setattr(soft_rasterizer, "PAIRS_AT_ONCE", 50)

    np.testing.assert_allclose(soft_silhouette(boxy, POSE, CAMERA.intrinsics, SIZE, SIZE, 0.6), whole, atol=1e-12)


@pytest.mark.parametrize("sigma_px", [0.3, 3.0])
@pytest.mark.parametrize("length", [1.0, 1.2])
def test_gradient_is_the_finite_difference(boxy, observed, monkeypatch, sigma_px, length):
    monkeypatch.setattr(soft_rasterizer, "CUT_OFF", 40.0)  # the jump where a face is cut off is no part of the gradient
    pose = POSE * ([length] * 4 + [1.0] * 3)

    def value(at: np.ndarray) -> float:
        return soft_overlap_slope(boxy, at, CAMERA.intrinsics, observed, sigma_px)[0]

    _, gradient = soft_overlap_slope(boxy, pose, CAMERA.intrinsics, observed, sigma_px)

    step = 1e-6
    expected = [(value(pose + step * axis) - value(pose - step * axis)) / (2 * step) for axis in np.eye(7)]
    # 1e-3: between two edges of a face the distance has a kink, which a few of the pixels step over
    np.testing.assert_allclose(gradient, expected, atol=1e-3 * np.abs(expected).max())


def test_mesh_out_of_view_covers_nothing(boxy):
    pose = POSE.copy()
    pose[4] = 50

    value, gradient = soft_overlap_slope(boxy, pose, CAMERA.intrinsics, np.ones((SIZE, SIZE)), 0.6)

    assert value == pytest.approx(1)
    np.testing.assert_array_equal(gradient, 0)
