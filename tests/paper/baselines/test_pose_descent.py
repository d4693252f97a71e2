# SPDX-License-Identifier: Apache-2.0
"""Adam on differentiable silhouettes."""

import numpy as np
import pytest

from solver_core import rotations
from solver_core.frames import Camera, matrix_from_pose
from solver_core.manifolds import SE3
from solver_core.mesh import Mesh
from solver_core.problems.pose.metrics import pose_errors
from solver_core.problems.pose.problem import PoseProblem
from training.paper.baselines.pose_descent import PoseDescent, descend_neural_mesh_renderer, descend_soft_rasterizer
from training.paper.baselines.silhouette import pose_gradient, project_mesh, quaternion_prior, soft_overlap

SIZE = 48
CAMERA = Camera.from_fov(SIZE, SIZE, np.radians(30))
TRUTH = np.array([*rotations.wxyz_from_rotvec(np.array([0.5, -0.4, 0.3])), 0.05, -0.03, -2.5])
STEP = np.array([0.1, -0.12, 0.1, 0.02, -0.02, 0.05])  # 11 degrees, two pixels, 5 % of the depth


@pytest.fixture
def slab() -> Mesh:
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 2) for z in (0, 0.4)], dtype=float)
    faces = [[0, 1, 3], [0, 2, 3], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1], [2, 3, 7], [2, 6, 7], [0, 2, 6], [0, 6, 4],
             [1, 3, 5], [3, 5, 7]]  # fmt: skip
    return Mesh.checked(corners, np.array(faces)).unit().mesh


def problem_of(mesh: Mesh, count: int) -> PoseProblem:
    return PoseProblem([mesh] * count, np.tile(CAMERA.intrinsics, (count, 1)), SIZE, SIZE)


@pytest.mark.parametrize("method", [descend_soft_rasterizer, descend_neural_mesh_renderer])
def test_easy_poses_are_found(slab, method):
    problem = problem_of(slab, 2)
    x_true = np.stack([TRUTH, TRUTH])
    observed = np.isfinite(problem.forward(x_true, np.arange(2))).astype(np.float32)
    x0 = SE3().retract(x_true, np.stack([STEP, -STEP]))

    solution = method(problem, observed, x0)

    rotation_deg, translation = pose_errors(solution.x, x_true)
    assert (rotation_deg < 3).all()  # of 11
    assert (translation < 0.02).all()  # of 0.15
    assert (np.diff([step.energy for step in solution.history], axis=0) <= 0).all()
    np.testing.assert_allclose(np.linalg.norm(solution.x[:, :4], axis=1), 1)


def test_steps_are_limited(slab):
    problem = problem_of(slab, 1)
    observed = np.isfinite(problem.forward(TRUTH[None], np.array([0]))).astype(np.float32)

    solution = descend_soft_rasterizer(problem, observed, SE3().retract(TRUTH[None], STEP[None]), PoseDescent(steps=3))

    assert len(solution.history) == 4


def test_gradient_through_the_projection_is_the_finite_difference(slab, rng):
    by_pixels = rng.normal(size=(len(slab.vertices), 2))
    pose = TRUTH * ([1.3] * 4 + [1.0] * 3)  # of no unit length

    def value(at: np.ndarray) -> float:
        return float(np.sum(by_pixels * project_mesh(slab, at, CAMERA.intrinsics).pixels))

    gradient = pose_gradient(by_pixels, project_mesh(slab, pose, CAMERA.intrinsics), pose, CAMERA.intrinsics)

    expected = [(value(pose + 1e-6 * axis) - value(pose - 1e-6 * axis)) / 2e-6 for axis in np.eye(7)]
    np.testing.assert_allclose(gradient, expected, rtol=1e-6)


def test_projection_is_that_of_the_renderer(slab):
    pixels = project_mesh(slab, TRUTH, CAMERA.intrinsics).pixels

    matrix = matrix_from_pose(TRUTH)
    x, y, z = (slab.vertices @ matrix[:3, :3].T + matrix[:3, 3]).T
    fx, fy, cx, cy = CAMERA.intrinsics
    np.testing.assert_allclose(pixels, np.stack([cx - fx * x / z, cy + fy * y / z], axis=1), rtol=1e-6)


def test_gradient_of_the_overlap_is_the_finite_difference(rng):
    silhouette, observed = rng.uniform(size=(2, 5, 6))

    overlap = soft_overlap(silhouette, observed)

    nudges = 1e-6 * np.eye(silhouette.size).reshape(-1, *silhouette.shape)
    slopes = [(soft_overlap(silhouette + nudge, observed).value - overlap.value) / 1e-6 for nudge in nudges]
    np.testing.assert_allclose(overlap.by_pixel.ravel(), slopes, rtol=1e-4)


def test_prior_draws_the_quaternion_to_unit_length():
    longer = TRUTH * ([1.1] * 4 + [1.0] * 3)
    value, gradient = quaternion_prior(longer)
    at_rest, nothing = quaternion_prior(TRUTH)

    slopes = [(quaternion_prior(longer + nudge)[0] - quaternion_prior(longer - nudge)[0]) / 2e-6 for nudge in 1e-6 * np.eye(7)]
    np.testing.assert_allclose(gradient, slopes, atol=1e-8)

    assert value > at_rest == pytest.approx(0)
    assert gradient[:4] @ TRUTH[:4] > 0
    np.testing.assert_allclose(nothing, 0, atol=1e-12)
