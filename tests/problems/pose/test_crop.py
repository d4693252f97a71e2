# SPDX-License-Identifier: Apache-2.0
"""The virtual camera, and what it sees of a mask."""

import numpy as np
import pytest

from solver_core import render
from solver_core.frames import Camera, matrix_from_pose, project, rays
from solver_core.kernel.crop import mask_spans
from solver_core.manifolds import SE3
from solver_core.problems.pose.crop import (
    coverage_distance,
    crop_poses,
    cut_sides,
    turn_pose,
    turn_to_axis,
    virtual_camera,
)
from solver_core.problems.pose.features import CROP_SIZE
from solver_core.problems.pose.observation import overlap

from .conftest import make_case


@pytest.mark.parametrize("direction", [(0, 0, -1), (0.3, -0.2, -0.9), (0.9, 0.1, -0.05)])
def test_turn_takes_the_direction_to_the_axis(direction):
    direction = np.array(direction) / np.linalg.norm(direction)

    turn = turn_to_axis(direction[None])[0]

    np.testing.assert_allclose(turn @ direction, (0, 0, -1), atol=1e-12)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)


@pytest.mark.parametrize(
    "camera",
    [
        Camera.from_fov(128, 128, np.radians(30)),
        Camera(640, 360, 300.0, 310.0, 320.0, 150.0),
        Camera(500, 500, 180.0, 180.0, 120.0, 400.0),
    ],
)
def test_crop_shows_what_a_render_by_the_virtual_camera_shows(chair, camera):
    pose = np.array([0.8, 0.5, 0.2, 0.1, 0.3, 0.1, -3.0])
    pose[:4] /= np.linalg.norm(pose[:4])
    mask = make_case(chair, camera, pose, np.zeros(6)).mask

    cropped = crop_poses([chair], [mask.astype(np.float32)], [camera])

    x = turn_pose(cropped.virtual_from_camera, pose[None])
    seen = np.isfinite(cropped.problem.forward(x, np.array([0])))
    assert overlap(seen, cropped.observation)[0] > 0.9  # thin legs, half-covered pixels on their sides


def test_crop_does_not_depend_on_the_resolution(chair_case):
    small, large = (Camera.from_fov(size, size, np.radians(30)) for size in (160, 640))
    masks = [make_case(chair_case.mesh, camera, chair_case.truth, np.zeros(6)).mask for camera in (small, large)]

    cropped = crop_poses([chair_case.mesh] * 2, [mask.astype(np.float32) for mask in masks], [small, large])

    difference = np.abs(cropped.observation.coverage[0] - cropped.observation.coverage[1])
    assert difference.mean() < 0.02


def test_box_fills_its_part_of_the_crop(chair_case):
    view = virtual_camera(mask_spans(chair_case.mask[None]), chair_case.camera.intrinsics[None], CROP_SIZE)

    rows, columns = np.nonzero(chair_case.mask)
    corners = rays(np.concatenate([columns, columns + 1]), np.concatenate([rows, rows + 1]), chair_case.camera.intrinsics)
    points = project(corners @ view.virtual_from_camera[0].T, view.intrinsics[0])
    extent = (points.max(axis=0) - points.min(axis=0)).max()
    assert 0.70 * CROP_SIZE < extent <= 0.7201 * CROP_SIZE


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        ((slice(0, 5), slice(3, 6)), (False, False, False, True)),
        ((slice(4, 10), slice(0, 4)), (True, True, False, False)),
        ((slice(3, 6), slice(5, 10)), (False, False, True, False)),
    ],
)
def test_cut_sides_are_those_the_mask_touches(window, expected):
    is_object = np.zeros((1, 10, 10), dtype=bool)
    is_object[0][window] = True

    assert tuple(cut_sides(mask_spans(is_object), is_object)[0]) == expected


def test_side_that_ends_at_unknown_pixels_is_cut():
    is_object, known = np.zeros((1, 10, 10), dtype=bool), np.ones((1, 10, 10), dtype=bool)
    is_object[0, 3:7, 3:7] = True
    known[0, 4:6, 7:9] = False

    assert tuple(cut_sides(mask_spans(is_object), is_object, known)[0]) == (False, False, True, False)


def test_distance_of_partial_coverage_lies_between_pixels():
    coverage = np.zeros((1, 8, 9), dtype=np.float32)
    coverage[..., :4] = 1
    coverage[..., 4] = 0.25  # the edge is a quarter into column 4

    distance = coverage_distance(coverage)

    np.testing.assert_allclose(distance[0, 4, 4], 0.25)
    np.testing.assert_allclose(distance[0, 4, 6], 2.5)


def test_turned_pose_is_seen_at_the_turned_place(rng):
    pose = SE3().random(rng, 5)
    turn = turn_to_axis(np.array([[0.3, 0.1, -0.95]]) / np.linalg.norm([0.3, 0.1, -0.95]))[0]
    points = rng.normal(size=(5, 10, 3))

    turned = turn_pose(turn, pose)

    expected = np.einsum("ij,bnj->bni", turn, _transform(pose, points))
    np.testing.assert_allclose(_transform(turned, points), expected, atol=1e-9)


def _transform(pose: np.ndarray, points: np.ndarray) -> np.ndarray:
    matrix = matrix_from_pose(pose)
    return points @ np.swapaxes(matrix[:, :3, :3], 1, 2) + matrix[:, None, :3, 3]


def test_pixels_beyond_the_border_give_no_evidence(chair):
    camera = Camera(100, 100, 150.0, 150.0, 85.0, 50.0)
    pose = np.array([1.0, 0, 0, 0, 0, 0, -2.0])
    seen = render.render_depth([chair], matrix_from_pose(pose[None]), camera.intrinsics[None], 100, 100)
    mask = np.isfinite(seen)[0]

    cropped = crop_poses([chair], [mask.astype(np.float32)], [camera])

    assert cropped.is_cut[0, 2]
    assert not cropped.observation.evidence[0, :, -1].any()
    assert cropped.observation.evidence[0, :, CROP_SIZE // 2].all()
