# SPDX-License-Identifier: Apache-2.0
"""Simplified meshes have far fewer faces and silhouettes that are off by a fraction of a cell."""

import numpy as np
import pytest

from solver_core import render
from solver_core.mesh import Mesh
from solver_core.simplify import FEW_FACES, simplified

FRONT = np.eye(4)[None] + np.array([[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, -3], [0, 0, 0, 0]])


def grid_on(place, count: int) -> Mesh:
    """A grid of count x count squares, whose corners (u, v) in [0, 1] are moved to places."""
    u, v = (one.ravel() for one in np.meshgrid(*[np.linspace(0, 1, count + 1)] * 2, indexing="ij"))
    corner = np.arange((count + 1) ** 2).reshape(count + 1, count + 1)
    a, b, c, d = (one.ravel() for one in (corner[:-1, :-1], corner[1:, :-1], corner[1:, 1:], corner[:-1, 1:]))
    return Mesh.checked(np.stack(place(u, v), axis=1), np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]))


@pytest.fixture
def ball() -> Mesh:
    def place(u, v):
        around, down = 2 * np.pi * u + 0.3, np.pi * v  # no seam between two cells
        return 0.5 * np.cos(around) * np.sin(down), 0.5 * np.sin(around) * np.sin(down), 0.5 * np.cos(down)

    return grid_on(place, 60)


def silhouette(mesh: Mesh, pixels_per_unit: float) -> np.ndarray:
    return render.render_silhouettes(mesh, FRONT, np.array([3 * pixels_per_unit] * 2 + [60.0, 60.0]), 120, 120)[0]


def test_silhouette_of_a_simplified_ball_is_about_the_same(ball):
    few = simplified(ball, 1 / 10)

    before, after = silhouette(ball, 80), silhouette(few, 80)
    outline = np.sum(before[1:] != before[:-1]) + np.sum(before[:, 1:] != before[:, :-1])

    assert len(few.faces) < 0.5 * len(ball.faces)
    assert np.sum(before != after) < 0.5 * outline  # pixels, of cells of eight
    assert np.abs(few.vertices).max() <= 0.5


def test_both_sides_of_a_thin_plate_stay(ball):
    plate = Mesh(ball.vertices * np.array([1, 0.01, 1], np.float32), ball.faces)

    few = simplified(plate, 1 / 20)

    assert len(few.faces) < 0.7 * len(plate.faces)
    assert few.vertices[:, 1].max() > 0 > few.vertices[:, 1].min()


def test_corners_at_one_place_stay_together(ball):
    split = Mesh(ball.vertices[ball.faces].reshape(-1, 3), np.arange(ball.faces.size, dtype=np.int32).reshape(-1, 3))

    few, of_split = simplified(ball, 1 / 20), simplified(split, 1 / 20)

    assert len(of_split.faces) <= 1.05 * len(few.faces)
    assert silhouette(of_split, 80)[35:85, 35:85].all()  # no cracks


@pytest.mark.parametrize("cell", [1e-9, 1e-4])
def test_mesh_that_would_keep_its_faces_is_left_as_it_is(ball, cell):
    assert simplified(ball, cell) is ball


def test_mesh_of_few_faces_is_left_as_it_is():
    plane = grid_on(lambda u, v: (u, v, 0 * u), 20)

    assert len(plane.faces) < FEW_FACES
    assert simplified(plane, 0.5) is plane


def test_mesh_within_one_cell_stays_visible(ball):
    assert silhouette(simplified(ball, 100.0), 80).any()


def test_vertices_of_no_face_do_not_matter(ball):
    more = Mesh(np.concatenate([ball.vertices, np.array([[1e15, 0, 0]], np.float32)]), ball.faces)

    assert silhouette(simplified(more, 1 / 20), 80).any()
