# SPDX-License-Identifier: Apache-2.0
import math

import numpy as np
import pytest

from solver_core.camera_files import read_camera
from solver_core.errors import SetupError
from solver_core.frames import Camera, matrix_from_pose, pose_from_matrix, project, rays
from solver_core.manifolds import SE3

CAMERA = Camera(width=640, height=480, fx=500, fy=400, cx=330, cy=230)


def test_project_puts_x_right_y_up_and_looks_along_minus_z():
    points = np.array([[0, 0, -2], [1, 0, -2], [0, 1, -2]])

    np.testing.assert_allclose(project(points, CAMERA.intrinsics), [[330, 230], [580, 230], [330, 30]])


def test_rays_are_what_project_sees_there(rng):
    columns, rows = rng.uniform(0, 640, (3, 7)), rng.uniform(0, 480, (3, 7))

    points = rays(columns, rows, CAMERA.intrinsics)

    np.testing.assert_array_equal(points[..., 2], -1)
    np.testing.assert_allclose(project(5 * points, CAMERA.intrinsics), np.stack([columns, rows], axis=-1))


def test_project_takes_a_camera_for_each_instance(rng):
    intrinsics = np.stack([CAMERA.intrinsics, CAMERA.scaled(0.5, 320, 240).intrinsics])
    points = rng.uniform(-1, 1, (6, 2, 3)) - [0, 0, 3]

    projected = project(points, intrinsics)

    np.testing.assert_allclose(projected[:, 0], project(points[:, 0], CAMERA.intrinsics))
    np.testing.assert_allclose(projected[:, 1] * 2, project(points[:, 1], CAMERA.intrinsics))


def test_from_fov_sees_the_angle_from_border_to_border():
    camera = Camera.from_fov(200, 100, math.radians(90))

    corners = project(np.array([[-2, 1, -1], [2, -1, -1]]), camera.intrinsics)

    np.testing.assert_allclose(corners, [[0, 0], [200, 100]], atol=1e-12)


def test_window_shows_the_same_view_from_its_corner():
    point = np.array([0.1, 0.2, -1])

    seen = project(point, CAMERA.window(left=30, top=-10, width=100, height=100).intrinsics)

    np.testing.assert_allclose(seen, project(point, CAMERA.intrinsics) - [30, -10])


def test_pose_round_trip_over_matrix(rng):
    pose = SE3().random(rng, 20)

    back = pose_from_matrix(matrix_from_pose(pose))

    np.testing.assert_allclose(SE3().distance(back, pose), 0, atol=1e-9)
    np.testing.assert_array_equal(matrix_from_pose(pose)[:, 3], np.tile([0, 0, 0, 1], (20, 1)))


def test_camera_json_round_trip(tmp_path):
    CAMERA.to_json(tmp_path / "camera.json")

    assert read_camera(tmp_path / "camera.json") == CAMERA


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"fx": 0}, "focal lengths must be positive pixels, got fx = 0"),
        ({"fy": -400}, "focal lengths must be positive"),
        ({"cx": math.nan}, "cx must be finite"),
        ({"fx": "500"}, "fx must be a number, got '500'"),
        ({"fx": True}, "fx must be a number, got True"),
        ({"width": 0}, "at least 1 x 1, got 0 x 480"),
        ({"height": 479.5}, "whole pixels"),
    ],
)
def test_camera_refuses_what_is_no_camera(change, sentence):
    with pytest.raises(SetupError, match=sentence):
        Camera(**{**vars(CAMERA), **change})


@pytest.mark.parametrize("angle", [0, math.pi, -1])
def test_from_fov_refuses_what_is_no_angle_of_view(angle):
    with pytest.raises(SetupError, match="between 0 and pi"):
        Camera.from_fov(10, 10, angle)


def test_missing_camera_file_is_named():
    with pytest.raises(SetupError, match=r"nowhere\.json: .*[Nn]o such file"):
        read_camera("nowhere.json")
