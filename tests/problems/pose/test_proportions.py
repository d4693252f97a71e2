# SPDX-License-Identifier: Apache-2.0
"""Whether the outline agrees with the proportions of the mesh."""

from typing import Any

import numpy as np
import pytest

from solver_core import render
from solver_core.frames import Camera, matrix_from_pose
from solver_core.kernel.contour import ContourPoints, jacobian_of_points
from solver_core.problems.pose import proportions
from solver_core.problems.pose.freedom import FreerFit
from solver_core.problems.pose.proportions import by_stretch, doubted_axis_in_photo
from solver_core.problems.pose.solve import solve_pose
from solver_core.solution import Verdict

from .conftest import make_case


def test_derivative_by_length_is_that_of_the_image_point(rng, chair_case):
    count, pose, intrinsics = 50, chair_case.truth, np.array([300.0, 320.0, 80.0, 90.0])
    on_mesh = rng.uniform(-0.4, 0.4, size=(count, 3))
    to_camera = matrix_from_pose(pose)
    gradient = rng.normal(size=(count, 2))  # of the distance, by column and row
    place = np.tile(pose[4:], (count, 1))

    def seen(lengths):
        x, y, z = (on_mesh * lengths @ to_camera[:3, :3].T + pose[4:]).T
        return np.stack([intrinsics[0] * x / -z, intrinsics[1] * y / z], axis=1)

    points = on_mesh @ to_camera[:3, :3].T + pose[4:]
    jacobian = jacobian_of_points(points, place, gradient, np.tile(intrinsics, (count, 1)))

    found = by_stretch(ContourPoints(np.zeros(count, int), np.column_stack([np.zeros((count, 2)), jacobian])), pose)

    for axis in range(3):
        longer = np.ones(3)
        longer[axis] += 1e-6
        numeric = np.sum(gradient * (seen(longer) - seen(2 - longer)), axis=1) / 2e-6
        np.testing.assert_allclose(found[:, axis], numeric, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("axis", range(3))
def test_mesh_that_is_too_long_is_not_called_good(chair, chair_case, axis):
    camera = Camera.from_fov(240, 240, np.radians(30))
    case = make_case(chair, camera, chair_case.truth, np.array([0.05, -0.05, 0.05, 0.0, 0.01, 0.0]))
    given = chair.vertices * np.where(np.arange(3) == axis, 1.08, 1.0)

    right = solve_pose(case.mask, chair.vertices, chair.faces, camera, matrix_from_pose(case.start))
    wrong = solve_pose(case.mask, given, chair.faces, camera, matrix_from_pose(case.start))

    assert right.verdict is Verdict.GOOD
    assert wrong.verdict is not Verdict.GOOD


def test_edge_that_lies_off_is_no_matter_of_proportions(chair, chair_case):
    camera = Camera.from_fov(240, 240, np.radians(30))
    case = make_case(chair, camera, chair_case.truth, np.array([0.05, -0.05, 0.05, 0.0, 0.01, 0.0]))
    grown = render.signed_distance(case.mask[None])[0] < 2.0

    result = solve_pose(grown, chair.vertices, chair.faces, camera, matrix_from_pose(case.start))

    assert result.verdict is Verdict.GOOD
    assert any("edge lies" in note for note in result.notes)


def test_edges_that_agree_to_the_last_digit_doubt_nothing(chair_case, monkeypatch):
    off = FreerFit(np.array([0.05, 0.0]), 1e-6 * np.eye(2), 1.0, 0.1)
    fits = iter([off, FreerFit(np.zeros(2), np.zeros((2, 2)), 0.0, 0.0)])
    monkeypatch.setattr(proportions, "freer_fit", lambda *_: next(fits))

    level: Any = None
    assert doubted_axis_in_photo(level, level, chair_case.truth) is None
