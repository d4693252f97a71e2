# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from solver_core import frames, render
from solver_core.errors import SetupError
from solver_core.mesh import Mesh

pytestmark = pytest.mark.usefixtures("implementation")

RIGHT_TRIANGLE = [(1, 1, 2), (5, 1, 2), (1, 5, 2)]
RIGHT_TRIANGLE_MASK = np.array(
    [
        [0, 0, 0, 0, 0, 0, 0, 0],
        [0, 1, 1, 1, 1, 0, 0, 0],  # the last centre of each row lies on the long edge
        [0, 1, 1, 1, 0, 0, 0, 0],
        [0, 1, 1, 0, 0, 0, 0, 0],
        [0, 1, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0],
    ],
    dtype=bool,
)


def plane_depth(normal, offset, intrinsics, height, width):
    """Depth at which each pixel's ray meets the plane normal . p = offset; not positive where it does so behind."""
    rows, columns = np.mgrid[:height, :width] + 0.5
    return offset / (frames.rays(columns, rows, intrinsics) @ normal)


@pytest.mark.parametrize("order", [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 2, 1], [2, 1, 0], [1, 0, 2]])
def test_pixels_are_covered_when_their_centre_is_in_the_triangle_whatever_the_winding(order, mesh_at_pixels, pixel_view):
    mesh = mesh_at_pixels(RIGHT_TRIANGLE, [order])

    result = render.rasterize([mesh], *pixel_view)

    assert np.array_equal(result.face_index[0] == 0, RIGHT_TRIANGLE_MASK)
    assert np.array_equal(np.isfinite(result.depth[0]), RIGHT_TRIANGLE_MASK)


@pytest.mark.parametrize(
    ("corners", "pixel"),
    [
        ([(3.4, 2.4, 1), (3.6, 2.4, 1), (3.5, 2.6, 1)], (2, 3)),  # smaller than a pixel, around its centre
        ([(3.5, 2.5, 1), (3.9, 2.5, 1), (3.5, 2.9, 1)], (2, 3)),  # touches the centre with a corner
        ([(-5, 0.5, 1), (0.5, 0.5, 1), (-5, -9, 1)], (0, 0)),  # mostly outside the image
        ([(7.5, 7.5, 1), (20, 7.5, 1), (7.5, 20, 1)], (7, 7)),
    ],
)
def test_one_pixel_is_covered_when_the_triangle_reaches_one_centre(corners, pixel, mesh_at_pixels, pixel_view):
    result = render.rasterize([mesh_at_pixels(corners)], *pixel_view)

    assert np.argwhere(result.face_index[0] == 0).tolist() == [list(pixel)]


def test_no_pixel_is_covered_when_the_triangle_lies_between_centres(mesh_at_pixels, pixel_view):
    mesh = mesh_at_pixels([(3.55, 2.55, 1), (4.45, 2.55, 1), (3.55, 3.45, 1)])

    depth = render.render_depth([mesh], *pixel_view)

    assert np.isinf(depth).all()


def test_depth_follows_the_plane_when_the_triangle_is_tilted(mesh_at_pixels, pixel_view):
    mesh = mesh_at_pixels([(-1, -1, 1), (20, -1, 4), (-1, 20, 9)])
    corners = mesh.vertices.astype(np.float64)
    normal = np.cross(corners[1] - corners[0], corners[2] - corners[0])

    depth = render.render_depth([mesh], *pixel_view)[0]

    expected = plane_depth(normal, normal @ corners[0], *pixel_view[1:])
    np.testing.assert_allclose(depth, expected, rtol=1e-5)  # float32, corners rounded to 1/4096 pixel


def test_depth_follows_the_ground_when_it_passes_below_and_behind_the_camera():
    height, width = 32, 48
    intrinsics = np.array([30.0, 30.0, 24.0, 16.0])
    ground = Mesh.checked(
        [[-1e4, -2, -1e4], [1e4, -2, -1e4], [1e4, -2, 1e4], [-1e4, -2, 1e4]], np.array([[0, 1, 2], [2, 3, 0]])
    )

    depth = render.render_depth([ground], np.eye(4)[None], intrinsics, height, width)[0]

    expected = plane_depth(np.array([0.0, 1, 0]), -2.0, intrinsics, height, width)
    assert np.array_equal(np.isfinite(depth), expected > 0)
    # Corners are rounded to 1/4096 pixel, and the farthest row is half a pixel below the horizon.
    np.testing.assert_allclose(depth[expected > 0], expected[expected > 0], rtol=5e-4)


def test_image_is_filled_when_a_triangle_is_a_million_times_larger(mesh_at_pixels, pixel_view):
    mesh = mesh_at_pixels([(-8e6, -8e6, 3), (16e6, -8e6, 3), (-8e6, 16e6, 3)])

    depth = render.render_depth([mesh], *pixel_view)

    np.testing.assert_allclose(depth, 3, rtol=1e-6)  # float32


@pytest.mark.parametrize("faces", [[[0, 1, 2], [3, 4, 5]], [[3, 4, 5], [0, 1, 2]]])
def test_nearer_face_hides_the_other_in_either_order(faces, mesh_at_pixels, pixel_view):
    mesh = mesh_at_pixels([*RIGHT_TRIANGLE, (1, 1, 3), (5, 1, 3), (1, 5, 3)], faces)

    result = render.rasterize([mesh], *pixel_view)

    np.testing.assert_allclose(result.depth[0][RIGHT_TRIANGLE_MASK], 2, rtol=1e-6)  # float32
    assert (result.face_index[0][RIGHT_TRIANGLE_MASK] == faces.index([0, 1, 2])).all()


def test_first_face_counts_when_two_are_equally_near(mesh_at_pixels, pixel_view):
    mesh = mesh_at_pixels(RIGHT_TRIANGLE, [[0, 1, 2], [0, 1, 2], [0, 1, 2]])

    result = render.rasterize([mesh], *pixel_view)

    assert set(np.unique(result.face_index)) == {-1, 0}


@pytest.mark.parametrize("faces", [[[0, 0, 0]], [[0, 1, 1]], [[0, 3, 1]]], ids=["point", "segment", "collinear"])
def test_face_without_area_covers_nothing(faces, mesh_at_pixels, pixel_view):
    mesh = mesh_at_pixels([(1.5, 1.5, 1), (5.5, 1.5, 1), (1.5, 5.5, 1), (3.5, 1.5, 1)], faces)

    result = render.rasterize([mesh], *pixel_view)

    assert (result.face_index == -1).all()


@pytest.mark.parametrize("move", [(9, 0, 0), (-9, 0, 0), (0, 9, 0), (0, -9, 0), (0, 0, 9), (0, 0, 2)])
def test_mesh_out_of_view_covers_nothing(move, mesh_at_pixels, pixel_view):
    _, *view = pixel_view
    camera_from_object = np.eye(4)[None].copy()
    camera_from_object[0, :3, 3] = move

    result = render.rasterize([mesh_at_pixels(RIGHT_TRIANGLE)], camera_from_object, *view)

    assert (result.face_index == -1).all()
    assert np.isposinf(result.depth).all()


def test_pose_that_is_not_finite_covers_nothing(mesh_at_pixels, pixel_view):
    _, *view = pixel_view

    depth = render.render_depth([mesh_at_pixels(RIGHT_TRIANGLE)], np.full((1, 4, 4), np.nan), *view)

    assert np.isposinf(depth).all()


def test_faces_that_share_edges_leave_no_crack(rng, pixel_view):
    size = 12
    grid = np.stack(np.meshgrid(np.linspace(-1, 1, size), np.linspace(-1, 1, size)), axis=-1)
    grid[1:-1, 1:-1] += rng.uniform(-0.05, 0.05, (size - 2, size - 2, 2))
    vertices = np.concatenate([grid.reshape(-1, 2), rng.uniform(-1.4, -1.2, (size * size, 1))], axis=1)
    corner = (np.arange(size - 1)[:, None] * size + np.arange(size - 1)).reshape(-1, 1)
    faces = np.concatenate([corner + np.array([0, 1, size]), corner + np.array([1, size + 1, size])])

    depth = render.render_depth([Mesh.checked(vertices, faces)], *pixel_view[:1], [400.0, 400.0, 200.0, 200.0], 400, 400)

    assert np.isfinite(depth).all()


@pytest.mark.parametrize("scale", [1 / 1024, 1024], ids=["1 mm", "1 km"])
def test_mask_stays_the_same_when_the_world_is_scaled(scale, rng):
    mesh = Mesh.checked(rng.normal(size=(60, 3)), rng.integers(0, 60, (100, 3)))
    camera_from_object = np.eye(4)[None].copy()
    camera_from_object[0, 2, 3] = -1.5  # the camera is among the faces: some are cut by the near plane
    scaled_mesh, scaled_pose = Mesh.checked(mesh.vertices * scale, mesh.faces), camera_from_object.copy()
    scaled_pose[0, :3, 3] *= scale
    view = np.array([40.0, 40.0, 32.0, 32.0]), 64, 64

    expected = render.rasterize([mesh], camera_from_object, *view)
    result = render.rasterize([scaled_mesh], scaled_pose, *view)

    assert np.array_equal(result.face_index, expected.face_index)
    assert np.array_equal(result.depth, expected.depth * np.float32(scale))


def test_near_plane_cuts_at_the_fraction_of_the_farthest_vertex(mesh_at_pixels, pixel_view):
    mesh = mesh_at_pixels([(-20, -20, 1), (40, -20, 4), (-20, 40, 4)])

    depth = render.render_depth([mesh], *pixel_view, near_fraction=0.5)

    uncut = render.render_depth([mesh], *pixel_view)
    assert np.array_equal(np.isfinite(depth), uncut >= 2)


def test_batch_gives_what_its_items_give(rng):
    meshes = [Mesh.checked(rng.normal(size=(30, 3)), rng.integers(0, 30, (size, 3))) for size in (1, 20, 50)] * 3
    camera_from_object = np.tile(np.eye(4), (9, 1, 1))
    camera_from_object[:, :3, 3] = rng.normal(size=(9, 3)) - np.array([0, 0, 4])
    intrinsics = np.stack([[f, f, 16, 12] for f in rng.uniform(10, 60, 9)])

    batch = render.rasterize(meshes, camera_from_object, intrinsics, 24, 32)

    for i in range(9):
        item = render.rasterize(meshes[i : i + 1], camera_from_object[i : i + 1], intrinsics[i], 24, 32)
        assert np.array_equal(batch.depth[i], item.depth[0]), i
        assert np.array_equal(batch.face_index[i], item.face_index[0]), i


def test_depth_alone_equals_that_with_faces(mesh_at_pixels, pixel_view):
    mesh = mesh_at_pixels([(0, 0, 1), (9, 0, 2), (0, 9, 3)])

    assert np.array_equal(render.render_depth([mesh], *pixel_view), render.rasterize([mesh], *pixel_view).depth)


def test_empty_batch_gives_empty_images():
    result = render.rasterize([], np.zeros((0, 4, 4)), np.zeros((0, 4)), 3, 5)

    assert result.depth.shape == result.face_index.shape == (0, 3, 5)


def test_mesh_without_faces_covers_nothing(pixel_view):
    mesh = Mesh(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32))

    assert np.isinf(render.render_depth([mesh], *pixel_view)).all()


@pytest.mark.parametrize("index", [-1, 3, 2**31 - 1])
def test_face_index_outside_the_vertices_raises_setup_error(index, mesh_at_pixels, pixel_view):
    mesh = Mesh(mesh_at_pixels(RIGHT_TRIANGLE).vertices, np.array([[0, 1, index]], dtype=np.int32))

    with pytest.raises(SetupError, match="must index the 3 vertices"):
        render.rasterize([mesh], *pixel_view)


def test_wrong_number_of_poses_raises(mesh_at_pixels, pixel_view):
    _, *view = pixel_view

    with pytest.raises(ValueError, match=r"2 meshes need \(2, 4, 4\)"):
        render.rasterize([mesh_at_pixels(RIGHT_TRIANGLE)] * 2, np.eye(4)[None], *view)


@pytest.mark.parametrize("depth", [5.0, 0.0, -5.0])
def test_orthographic_pixels_do_not_depend_on_depth(depth):
    mesh = Mesh.checked([[-1.5, 1.5, -depth], [0.5, 1.5, -depth], [-1.5, -0.5, -depth]], np.array([[0, 1, 2]]))

    result = render.rasterize_orthographic([mesh], np.eye(4)[None], np.array([2.0, 2.0, 4.0, 4.0]), 8, 8)

    assert np.array_equal(result.face_index[0] == 0, RIGHT_TRIANGLE_MASK)
    assert (result.depth[0][RIGHT_TRIANGLE_MASK] == depth).all()
    assert np.isposinf(result.depth[0][~RIGHT_TRIANGLE_MASK]).all()


def test_orthographic_depth_is_linear_in_the_image():
    mesh = Mesh.checked([[-9, -9, -1], [20, -9, -30], [-9, 20, -1]], np.array([[0, 1, 2]]))

    depth = render.render_depth_orthographic([mesh], np.eye(4)[None], np.array([1.0, 1.0, 4.0, 4.0]), 8, 8)

    np.testing.assert_allclose(depth[0], np.tile(np.arange(8) + 6.5, (8, 1)), rtol=1e-6)  # float32
