# SPDX-License-Identifier: Apache-2.0
"""Position, normal and albedo of what is seen."""

import numpy as np
import pytest

from solver_core.errors import SetupError
from solver_core.mesh import Mesh
from solver_core.render.gbuffer import Texture, join_scene, render_gbuffer

INTRINSICS = np.array([8.0, 8.0, 4.0, 4.0])
SQUARE = Mesh.checked(np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], float), np.array([[0, 1, 2], [0, 2, 3]]))


def at_depth(depth: float, turn: np.ndarray | None = None) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = np.eye(3) if turn is None else turn
    matrix[2, 3] = -depth
    return matrix


def see(matrices, albedos):
    scene = join_scene([SQUARE] * len(matrices), matrices, albedos)
    return render_gbuffer([scene], INTRINSICS, 8, 8)


def test_position_lies_on_the_ray_of_its_pixel():
    buffer = see([at_depth(2)], [None])

    np.testing.assert_allclose(buffer.position[0, 4, 4], [0.125, -0.125, -2], atol=1e-6)  # half a pixel right and down
    assert buffer.mask.all()


@pytest.mark.parametrize("turn", [np.eye(3), np.diag([1.0, -1.0, -1.0])], ids=["front", "back"])
def test_normal_is_towards_the_camera_whatever_the_winding(turn):
    buffer = see([at_depth(2, turn)], [None])

    np.testing.assert_allclose(buffer.normal[0, 4, 4], [0, 0, 1], atol=1e-6)


def test_nearer_mesh_hides_the_other_and_keeps_its_colour():
    buffer = see([at_depth(4), at_depth(3)], [np.array([1.0, 0, 0]), np.array([0, 1.0, 0])])

    np.testing.assert_allclose(buffer.albedo[0, 4, 4], [0, 1, 0])
    assert buffer.position[0, 4, 4, 2] == pytest.approx(-3)


def test_albedo_is_interpolated_between_vertices():
    by_vertex = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], dtype=float)  # red is x, green is y, from 0 to 1

    buffer = see([at_depth(2)], [by_vertex])

    expected = (buffer.position[0, ..., :2] + 1) / 2
    np.testing.assert_allclose(buffer.albedo[0, ..., :2], expected, atol=1e-5)


def test_albedo_by_face_is_constant_on_it():
    buffer = see([at_depth(2)], [np.array([[1.0, 0, 0], [0, 0, 1.0]])])

    assert {tuple(colour) for colour in buffer.albedo.reshape(-1, 3)} == {(1, 0, 0), (0, 0, 1)}


def test_albedo_of_another_shape_is_refused():
    with pytest.raises(SetupError, match="4 vertices"):
        see([at_depth(2)], [np.ones((5, 3))])


def test_scene_out_of_view_is_empty():
    buffer = see([at_depth(-2)], [None])

    assert not buffer.mask.any()
    assert not buffer.albedo.any()


def test_texture_stands_upright_and_repeats():
    image = np.zeros((2, 2, 3), np.float32)
    image[0, 1, 0] = 1  # red at the top right
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    once, twice = (Texture((scale * corners)[SQUARE.faces], image) for scale in (1, 2))

    single = see([at_depth(2)], [once]).albedo[0, ..., 0]
    repeated = see([at_depth(2)], [twice]).albedo[0, ..., 0]

    assert np.unravel_index(np.argmax(single), single.shape) in {(1, 6), (1, 5), (2, 5), (2, 6)}
    np.testing.assert_allclose(repeated[:4, :4], repeated[4:, 4:], atol=1e-6)


def test_texture_is_looked_up_on_its_own_mesh():
    blue = np.broadcast_to(np.array([0, 0, 1.0]), (2, 2, 3))
    texture = Texture(np.zeros((2, 3, 2)), blue)

    buffer = see([at_depth(4), at_depth(3)], [np.array([1.0, 0, 0]), texture])

    np.testing.assert_allclose(buffer.albedo[0, 4, 4], [0, 0, 1])
    assert buffer.object_index[0, 4, 4] == 1


def test_smooth_normals_are_blended_and_flat_faces_stay_flat():
    tilted = np.array([[-0.6, 0, 0.8], [0.6, 0, 0.8], [0.6, 0, 0.8], [-0.6, 0, 0.8]])
    flat_half = tilted[SQUARE.faces]
    flat_half[1] = 0

    smooth = render_gbuffer([join_scene([SQUARE], [at_depth(2)], [None], [tilted])], INTRINSICS, 8, 8).normal[0]
    half = render_gbuffer([join_scene([SQUARE], [at_depth(2)], [None], [flat_half])], INTRINSICS, 8, 8).normal[0]

    assert smooth[4, 0, 0] < -0.4 < 0.4 < smooth[4, 7, 0]
    np.testing.assert_allclose(np.linalg.norm(smooth, axis=2), 1, atol=1e-6)
    np.testing.assert_allclose(half[1, 1], [0, 0, 1], atol=1e-6)  # the upper left half
    assert half[6, 6, 0] > 0.3


@pytest.mark.parametrize(
    ("albedo", "normals", "word"),
    [(Texture(np.zeros((1, 3, 2)), np.ones((2, 2, 3))), None, "corner_uv"), (None, [np.ones((3, 3))], "normals")],
)
def test_texture_or_normals_of_another_mesh_are_refused(albedo, normals, word):
    with pytest.raises(SetupError, match=word):
        join_scene([SQUARE], [at_depth(2)], [albedo], normals)
