"""Position, normal and albedo of what is seen."""

import numpy as np
import pytest

from solver_core.errors import SetupError
from solver_core.mesh import Mesh
from solver_core.render.gbuffer import join_scene, render_gbuffer

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
