# SPDX-License-Identifier: Apache-2.0
"""Points on the outline of a mesh, and lines across it."""

import numpy as np
import pytest

from solver_core import render, rotations
from solver_core.frames import Camera, matrix_from_pose
from solver_core.kernel.lines import Lines, MeshEdges, edges_of, follow_lines, look_up_colours, outline_points
from solver_core.manifolds import SE3
from solver_core.mesh import Mesh

CAMERA = Camera.from_fov(96, 80, np.radians(40))
SIZE = (CAMERA.height, CAMERA.width)
SHORT = Lines(step_px=1.0, num_samples=12, robust_px=2.0, damping=1e-3, settled_px=0.0)
SURE = np.where(np.arange(256) > 127, 4.0, -4.0)


@pytest.fixture
def lump(rng) -> Mesh:
    corners = rng.normal(size=(40, 3)) * [1, 0.7, 0.5]
    return Mesh.checked(corners, np.unique(np.sort(rng.integers(0, 40, (120, 3)), axis=1), axis=0)).unit().mesh


@pytest.fixture
def box() -> Mesh:
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 0.8) for z in (0, 0.3)], float)
    squares = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])
    return Mesh.checked(corners, np.concatenate([squares[:, [0, 1, 2]], squares[:, [0, 2, 3]]])).unit().mesh


def view_of(mesh, rng) -> tuple[np.ndarray, np.ndarray]:
    matrix = matrix_from_pose(np.concatenate([rotations.random_wxyz(rng), [0.05, -0.02, -2.0]]))
    depth = render.render_depth([mesh], matrix[None], CAMERA.intrinsics[None], CAMERA.height, CAMERA.width)[0]
    return matrix, depth


def lines_of(mesh, matrix, image, num_steps=0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points, how far they are off after some steps, and where the steps have led."""
    points, _ = outline_points(edges_of(mesh), matrix, CAMERA.intrinsics, SIZE, 1.5)
    moved, matches, _ = follow_lines(points, matrix, CAMERA.intrinsics, image, SURE, SHORT, num_steps)
    return points, matches.numbers, moved


@pytest.mark.parametrize("seed", range(4))
def test_kernel_and_numpy_agree(seed, lump, use):
    rng = np.random.default_rng(seed)
    matrix, depth = view_of(lump, rng)
    image = np.round(255 * np.isfinite(depth) * rng.uniform(0.5, 1, depth.shape)).astype(np.uint8)

    with use("kernel"):
        points, *found = lines_of(lump, matrix, image, num_steps=2)
    with use("numpy"):
        expected_points, *expected = lines_of(lump, matrix, image, num_steps=2)

    assert len(points) > 20
    np.testing.assert_allclose(points, expected_points, atol=1e-9)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.usefixtures("implementation")
def test_edges_of_a_box_are_its_twelve_and_its_diagonals(box):
    edges = edges_of(box)

    assert len(edges.ends) == 18
    assert np.array_equal(np.diff(edges.first_wing), np.full(18, 2))


@pytest.mark.usefixtures("implementation")
def test_faces_that_share_places_but_no_vertices_share_edges(box):
    apart = Mesh.checked(box.vertices[box.faces].reshape(-1, 3), np.arange(36).reshape(-1, 3))

    assert len(edges_of(apart).ends) == 18


@pytest.mark.usefixtures("implementation")
def test_points_lie_on_the_outline_of_the_render(box, rng):
    matrix, depth = view_of(box, rng)

    _, matches, _ = lines_of(box, matrix, 255 * np.isfinite(depth).astype(np.uint8))

    assert np.median(np.abs(matches[:, 0])) < 0.4
    assert np.mean(np.abs(matches[:, 0]) < 1) > 0.9


@pytest.mark.usefixtures("implementation")
@pytest.mark.parametrize("tilt_deg", [0.2, 0.7, 1.2, 2.0])
def test_edges_side_by_side_leave_the_outermost(box, tilt_deg):
    turn = rotations.wxyz_from_rotvec(np.radians([tilt_deg, 0.0, 0.0]))  # the long side is a strip of a pixel and less
    matrix = matrix_from_pose(np.concatenate([turn, [0.0, 0.45, -2.0]]))
    fine = CAMERA.window(0, 0, CAMERA.width, CAMERA.height).intrinsics * 8
    image = 255 * np.isfinite(render.render_depth([box], matrix[None], fine[None], 8 * CAMERA.height, 8 * CAMERA.width)[0])

    points, _ = outline_points(edges_of(box), matrix, CAMERA.intrinsics, SIZE, 1.5)
    _, matches, _ = follow_lines(points, matrix, fine, image.astype(np.uint8), SURE, SHORT._replace(num_samples=48), 0)

    normal = points[:, 3:] @ matrix[:3, :3].T
    assert np.abs(matches.residual).max() < 0.2 * 8  # of the smaller render's pixels
    assert min((normal[:, 1] > 0.9).sum(), (normal[:, 1] < -0.9).sum()) > 20  # both long sides have points


@pytest.mark.usefixtures("implementation")
@pytest.mark.parametrize("direction", range(6))
def test_jacobian_is_the_change_of_the_residual(direction):
    image = np.where(np.arange(96) < 48, 255, 0).astype(np.uint8)[None].repeat(80, axis=0)
    share = np.clip(np.arange(256) / 255, 1e-3, 1 - 1e-3)
    ray = np.array([0.02, 0.1])  # of a point on an upright edge, a little to the right of the image's
    point = np.array([[*(1.8 * ray), 0.2, *np.array([1, 0, ray[0]]) / np.hypot(1, ray[0])]])
    pose = np.array([[1.0, 0, 0, 0, 0, 0, -2.0]])
    step = np.zeros((1, 6))
    step[0, direction] = 0.02

    def residual(moved):
        matrix = matrix_from_pose(SE3().retract(pose, moved)[0])
        odds = np.log(share / (1 - share))
        return follow_lines(point, matrix, CAMERA.intrinsics, image, odds, SHORT._replace(num_samples=24), 0)[1]

    change = (residual(step).residual - residual(-step).residual) / 0.04

    expected = residual(0 * step).jacobian[0, direction]
    assert change == pytest.approx([expected], abs=3)  # a pixel over a step of 0.04, where it moves by up to four pixels


@pytest.mark.parametrize("seed", range(4))
def test_silhouettes_agree_and_are_what_the_rasteriser_draws(seed, lump, use):
    matrix, depth = view_of(lump, np.random.default_rng(seed))  # faces in any order, that no two sides of an edge share

    with use("kernel"):
        _, is_seen = outline_points(edges_of(lump), matrix, CAMERA.intrinsics, SIZE, 1.5)
    with use("numpy"):
        _, expected = outline_points(edges_of(lump), matrix, CAMERA.intrinsics, SIZE, 1.5)

    assert np.array_equal(is_seen, expected)
    assert np.array_equal(is_seen, np.isfinite(depth))


@pytest.mark.usefixtures("implementation")
@pytest.mark.parametrize("place", [[0.8, 0.5, -1.0], [0, 0, -0.6]])
def test_silhouette_is_that_of_the_rasteriser_where_the_mesh_leaves_the_image(place, box):
    matrix = matrix_from_pose(np.array([0.9, 0.3, 0.3, 0.1, *place]))
    depth = render.render_depth([box], matrix[None], CAMERA.intrinsics[None], CAMERA.height, CAMERA.width)[0]

    _, is_seen = outline_points(edges_of(box), matrix, CAMERA.intrinsics, SIZE, 1.5)

    assert is_seen.any()
    assert np.array_equal(is_seen, np.isfinite(depth))


@pytest.mark.usefixtures("implementation")
def test_nothing_is_seen_of_a_mesh_that_reaches_behind_the_camera(box):
    points, is_seen = outline_points(edges_of(box), np.eye(4), CAMERA.intrinsics, SIZE, 1.5)

    assert len(points) == 0
    assert not is_seen.any()


@pytest.mark.usefixtures("implementation")
def test_hidden_part_of_the_outline_has_no_say_in_the_steps(box, rng):
    matrix, depth = view_of(box, rng)
    image = 255 * np.isfinite(depth).astype(np.uint8)
    image[:, : int(np.percentile(np.flatnonzero(image.any(axis=0)), 40))] = 0

    points, matches, _ = lines_of(box, matrix, image)
    is_shown = np.abs(matches[:, 0]) < 5  # of 6, where a line ends
    _, _, moved = lines_of(box, matrix, image, num_steps=1)
    expected, _, _ = follow_lines(points[is_shown], matrix, CAMERA.intrinsics, image, SURE, SHORT, 1)

    assert 10 < is_shown.sum() < len(points) - 10
    np.testing.assert_allclose(moved, expected, atol=1e-9)


@pytest.mark.usefixtures("implementation")
def test_lines_that_leave_the_image_have_no_weight(box):
    matrix = matrix_from_pose(np.array([1.0, 0, 0, 0, 0, 0, -0.7]))
    depth = render.render_depth([box], matrix[None], CAMERA.intrinsics[None], CAMERA.height, CAMERA.width)[0]

    points, matches, _ = lines_of(box, matrix, 255 * np.isfinite(depth).astype(np.uint8))

    place = points[:, :3] + matrix[:3, 3]
    column = CAMERA.cx - CAMERA.fx * place[:, 0] / place[:, 2]
    assert np.all(matches[(column < 0) | (column > CAMERA.width), 1] == 0)
    assert (column < 0).any()


@pytest.mark.parametrize("part", ["ends", "wings"])
def test_edges_of_other_vertices_are_refused(part, box, rng, use):
    matrix, _ = view_of(box, rng)
    edges = edges_of(box)
    wrong = edges._replace(**{part: np.full_like(getattr(edges, part), 10**6)})

    with use("kernel"), pytest.raises(IndexError):
        outline_points(wrong, matrix, CAMERA.intrinsics, SIZE, 1.0)


@pytest.mark.usefixtures("implementation")
def test_mesh_of_points_has_no_outline():
    none = MeshEdges(np.zeros((1, 3), np.float32), np.zeros((0, 2), np.int32), np.zeros(1, np.int32), np.zeros(0, np.int32))

    points, is_seen = outline_points(none, np.diag([1.0, 1, -1, 1]), CAMERA.intrinsics, SIZE, 1.0)

    assert points.shape == (0, 6)
    assert not is_seen.any()


@pytest.mark.usefixtures("implementation")
def test_steps_lead_to_where_the_image_shows_the_object(box, rng):
    matrix, depth = view_of(box, rng)
    image = 255 * np.isfinite(depth).astype(np.uint8)
    start = matrix.copy()
    start[:3, 3] += [0.03, -0.02, 0]

    points, _ = outline_points(edges_of(box), matrix, CAMERA.intrinsics, SIZE, 1.0)
    found, _, _ = follow_lines(points, start, CAMERA.intrinsics, image, SURE, SHORT, 8)

    assert np.linalg.norm(found[:2, 3] - matrix[:2, 3]) < 0.005


def test_colours_are_looked_up_alike(rng, use):
    image, table = rng.integers(0, 256, (20, 30, 3), np.uint8), rng.integers(0, 256, 32768).astype(np.uint8)

    with use("kernel"):
        found = look_up_colours(image[3:, 5:], table)
    with use("numpy"):
        expected = look_up_colours(image[3:, 5:], table)

    assert found.shape == (17, 25)
    assert np.array_equal(found, expected)
