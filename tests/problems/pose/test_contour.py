# SPDX-License-Identifier: Apache-2.0
"""The Gauss-Newton step on contours."""

import numpy as np
import pytest

from solver_core import render, rotations
from solver_core.frames import project
from solver_core.kernel.contour import contour_points, jacobian_of_points, normal_equations, sum_by_instance
from solver_core.loop import LoopSettings, solve
from solver_core.manifolds import SE3
from solver_core.problems.pose.contour import contour_update, gauss_newton_step
from solver_core.problems.pose.observation import PoseObservation
from solver_core.problems.pose.problem import PoseProblem

pytestmark = pytest.mark.usefixtures("implementation")


@pytest.fixture
def problem(chair_case):
    camera = chair_case.camera
    return PoseProblem([chair_case.mesh], camera.intrinsics[None], camera.height, camera.width)


@pytest.fixture
def observation(chair_case):
    mask = chair_case.mask[None]
    return PoseObservation(mask.astype(np.float32), np.ones_like(mask), render.signed_distance(mask))


def test_jacobian_equals_finite_differences(rng):
    num_points, epsilon = 20, 1e-6
    x = SE3().random(rng, num_points)
    intrinsics = np.tile([200.0, 220.0, 60.0, 70.0], (num_points, 1))
    arms_object = 0.3 * rng.normal(size=(num_points, 3))
    gradient = rng.normal(size=(num_points, 2))

    def distance(step: np.ndarray) -> np.ndarray:
        """A signed distance that is linear in the image, of points fixed to the object."""
        moved = SE3().retract(x, np.tile(step, (num_points, 1)))
        turned = SE3().retract(x, np.tile(step * [1, 1, 1, 0, 0, 0], (num_points, 1)))
        points = rotations.rotate(turned[:, :4], arms_object) + moved[:, 4:]
        return np.sum(gradient * project(points, intrinsics), axis=1)

    points = rotations.rotate(x[:, :4], arms_object) + x[:, 4:]
    numeric = np.stack([(distance(epsilon * unit) - distance(-epsilon * unit)) / (2 * epsilon) for unit in np.eye(6)], axis=1)

    jacobian = jacobian_of_points(points, x[:, 4:], gradient, intrinsics)

    np.testing.assert_allclose(jacobian, numeric, rtol=1e-4, atol=1e-3)  # differences of pixels over 2e-6


def test_residuals_are_zero_at_the_truth(problem, observation, chair_case):
    x = chair_case.truth[None]

    points = contour_points(x[:, 4:], problem.forward(x, np.array([0])), *observation[2:0:-1], problem.intrinsics)

    assert len(points.residual) > 100
    np.testing.assert_allclose(points.residual, 0, atol=1e-6)


def test_step_points_back_to_the_truth_from_a_shift(problem, observation, chair_case):
    step = np.array([0, 0, 0, 0.004, -0.003, 0.0])  # one pixel
    x = SE3().retract(chair_case.truth[None], step[None])
    points = contour_points(x[:, 4:], problem.forward(x, np.array([0])), *observation[2:0:-1], problem.intrinsics)

    back = gauss_newton_step(points, np.array([8.0]))[0]

    np.testing.assert_allclose(back[3:5], -step[3:5], atol=0.001)  # a quarter of a pixel


def test_kernel_finds_the_points_and_sums_of_numpy(use, problem, observation, chair_case):
    x = np.stack([chair_case.start, chair_case.truth])
    depth = problem.repeated(2).forward(x, np.arange(2))
    both = [np.repeat(array, 2, axis=0) for array in (observation.distance, observation.evidence, problem.intrinsics)]
    both[1][0, :, 80:] = False  # no evidence there

    found = {}
    for name in ("kernel", "numpy"):
        with use(name):
            points = contour_points(x[:, 4:], depth, *both)
            found[name] = points, *normal_equations(points, np.array([4.0, 16.0]))

    (points, *sums), (expected, *expected_sums) = found["kernel"], found["numpy"]
    order, expected_order = (np.lexsort((*p.numbers.round(6).T, p.instance)) for p in (points, expected))
    np.testing.assert_array_equal(points.instance[order], expected.instance[expected_order])
    np.testing.assert_allclose(points.numbers[order], expected.numbers[expected_order], rtol=1e-5, atol=1e-5)  # float32 slopes
    for one, other in zip(sums, expected_sums, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5 * np.abs(other).max())


def test_outline_of_any_length_is_found(problem):
    stripes = np.where(np.arange(problem.width) % 2, np.inf, 1.0).astype(np.float32)
    depth = np.tile(stripes, (1, problem.height, 1))
    x = np.array([[1.0, 0, 0, 0, 0, 0, -1]])

    points = contour_points(x[:, 4:], depth, np.zeros_like(depth), np.isfinite(np.zeros_like(depth)), problem.intrinsics)

    assert len(points.residual) == problem.height * (problem.width - 1)


def test_step_is_zero_without_an_outline(problem, observation, chair_case):
    x = chair_case.truth[None]
    nothing = np.full((1, problem.height, problem.width), np.inf, dtype=np.float32)

    points = contour_points(x[:, 4:], nothing, *observation[2:0:-1], problem.intrinsics)

    np.testing.assert_array_equal(gauss_newton_step(points, np.array([4.0])), np.zeros((1, 6)))


def test_points_without_evidence_are_left_out(problem, observation, chair_case):
    x = chair_case.start[None]
    evidence = observation.evidence.copy()
    evidence[:, :, 80:] = False

    depth = problem.forward(x, np.array([0]))
    everywhere = contour_points(x[:, 4:], depth, observation.distance, observation.evidence, problem.intrinsics)
    on_the_left = contour_points(x[:, 4:], depth, observation.distance, evidence, problem.intrinsics)

    assert 0 < len(on_the_left.residual) < len(everywhere.residual)


def test_iterated_steps_recover_the_pose(problem, observation, chair_case):
    update = contour_update(problem.intrinsics, (8.0, 2.0, 4.0, 1.0))

    solution = solve(problem, update, observation, chair_case.start[None], LoopSettings(steps=20, halvings=2, patience=4))

    assert SE3().distance(solution.x, chair_case.truth[None])[0] < 0.02


def test_sums_keep_instances_apart(rng):
    values = rng.normal(size=(3, 7))
    instance = np.array([2, 0, 0, 2, 2, 0, 2])

    sums = sum_by_instance(values, instance, 4)

    np.testing.assert_allclose(sums[2], values[:, [0, 3, 4, 6]].sum(axis=1))
    np.testing.assert_array_equal(sums[[1, 3]], 0)
