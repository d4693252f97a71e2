# SPDX-License-Identifier: Apache-2.0
"""Whether the outline agrees with the focal length that is given."""

import numpy as np
import pytest

from solver_core.frames import Camera, matrix_from_pose
from solver_core.kernel.contour import ContourPoints, jacobian_of_points
from solver_core.problems.pose.focal import by_log_focal
from solver_core.problems.pose.solve import solve_pose
from solver_core.solution import Verdict

from .conftest import make_case


def test_derivative_by_focal_length_is_that_of_the_image_point(rng):
    count, centre, intrinsics = 50, np.array([0.2, -0.1, -2.5]), np.array([300.0, 320.0, 80.0, 90.0])
    points = centre + rng.uniform(-0.4, 0.4, size=(count, 3))
    gradient = rng.normal(size=(count, 2))  # of the distance, by column and row
    jacobian = jacobian_of_points(points, np.tile(centre, (count, 1)), gradient, np.tile(intrinsics, (count, 1)))

    found = by_log_focal(ContourPoints(np.zeros(count, int), np.column_stack([np.zeros((count, 2)), jacobian])), centre)

    from_centre = np.stack([intrinsics[0] * points[:, 0], -intrinsics[1] * points[:, 1]], axis=1) / -points[:, 2:]
    np.testing.assert_allclose(found, np.sum(gradient * from_centre, axis=1), rtol=1e-6)


@pytest.mark.parametrize(("factor", "is_noticed"), [(1.0, False), (1.15, True), (0.87, True)])
def test_focal_length_that_the_outline_does_not_agree_with_is_noticed(chair, chair_case, factor, is_noticed):
    camera = Camera.from_fov(400, 400, np.radians(30))
    case = make_case(chair, camera, chair_case.truth, np.array([0.05, -0.05, 0.05, 0.0, 0.01, 0.0]))
    start = matrix_from_pose(np.append(case.start[:6], factor * case.start[6]))

    result = solve_pose(case.mask, chair.vertices, chair.faces, camera.with_focal(factor * camera.fx), start)

    assert any("focal length" in note for note in result.notes) is is_noticed


@pytest.mark.parametrize(("distance", "is_sure"), [(1.2, True), (12.0, False)])
def test_pose_is_as_sure_as_perspective_tells_the_distance(chair, chair_case, distance, is_sure):
    fov = 2 * np.arctan(2.7 * np.tan(np.radians(15)) / distance)  # the chair is as large in both
    camera = Camera.from_fov(400, 400, fov)
    case = make_case(chair, camera, np.append(chair_case.truth[:6], -distance), np.array([0.05, -0.05, 0.05, 0.0, 0.01, 0.0]))
    focals = (0.6 * camera.fx, 1.6 * camera.fx)

    result = solve_pose(
        case.mask, chair.vertices, chair.faces, camera, matrix_from_pose(case.start), focal_range=focals
    )  # fmt: skip

    assert (result.verdict is Verdict.GOOD) is is_sure
    assert ("distance is not sure" in result.explanation) is not is_sure
    assert abs(-result.camera_from_object[2, 3] - distance) < result.interval.along
