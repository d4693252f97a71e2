# SPDX-License-Identifier: Apache-2.0
"""L-BFGS and Adam on joint angles."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from solver_core import rotations  # noqa: E402
from solver_core.loop import LoopSettings  # noqa: E402
from solver_core.problems.inverse_kinematics.problem import KinematicProblem, Targets  # noqa: E402
from solver_core.problems.inverse_kinematics.skeleton.body import Body  # noqa: E402
from solver_core.problems.inverse_kinematics.skeleton.euler import wxyz_from_euler  # noqa: E402
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton  # noqa: E402
from training.paper.baselines import kinematics  # noqa: E402
from training.paper.baselines.kinematics import AnglePrior, adam, angle_descent, lbfgs, matrix_from_euler  # noqa: E402

pytestmark = pytest.mark.torch
COUNT = 3


@pytest.fixture
def skeleton() -> Skeleton:
    """A trunk with two arms of two bones each, metres."""
    offsets = np.array([[0, 0, 0], [0, 0.4, 0], [0.3, 0.1, 0], [0.3, 0, 0], [-0.3, 0.1, 0], [-0.3, 0, 0.1]])
    return Skeleton(["hip", "chest", "left", "lhand", "right", "rhand"], [-1, 0, 1, 2, 1, 4], offsets)


@pytest.fixture
def poses(skeleton, rng) -> np.ndarray:
    """(F, J, 4) of joints that turn by about 0.4 radians."""
    return rotations.wxyz_from_rotvec(0.4 * rng.normal(size=(200, skeleton.num_joints, 3)))


@pytest.fixture
def problem(skeleton) -> KinematicProblem:
    return KinematicProblem(Body.at_rest(skeleton), np.tile(skeleton.offsets, (COUNT, 1, 1)))


@pytest.fixture
def targets(problem, poses) -> Targets:
    positions = problem.forward(poses[:COUNT], np.arange(COUNT)).positions
    return Targets.exact(positions, np.ones(positions.shape[:2]))


def mean_distance_cm(problem: KinematicProblem, targets: Targets, x: np.ndarray) -> float:
    found = problem.forward(x, np.arange(COUNT)).positions
    return float(100 * np.linalg.norm(found - targets.positions, axis=-1).mean())


def test_matrices_are_those_of_the_angles_in_files(rng):
    angles = rng.uniform(-np.pi, np.pi, size=(5, 4, 3))

    found = matrix_from_euler(torch.from_numpy(angles)).numpy()

    np.testing.assert_allclose(found, rotations.matrix_from_wxyz(wxyz_from_euler(angles, kinematics.ORDER)), atol=1e-12)


def test_prior_is_the_mahalanobis_distance_of_all_joints_but_the_root(skeleton, poses):
    prior = AnglePrior.of_poses(skeleton, poses)
    angles = kinematics._angles(poses)
    squared = (((angles - prior.mean) @ prior.whitening) ** 2).sum(axis=1)

    num_free = 3 * (skeleton.num_joints - 1)

    assert squared.mean() == pytest.approx(num_free, rel=0.02)  # the deviation that is added takes a little
    assert not prior.whitening[:3].any()


def test_gradient_matches_finite_differences(problem, targets, skeleton, poses, rng):
    descent = angle_descent(problem, targets, AnglePrior.of_poses(skeleton, poses), prior_weight=0.1)
    x = 0.5 * rng.normal(size=(COUNT, 3 * skeleton.num_joints))
    direction = rng.normal(size=x.shape)
    rows, step = np.arange(COUNT), 1e-5

    slope = descent.forward(x, rows)
    higher, lower = (descent.forward(x + sign * step * direction, rows).value for sign in (1, -1))

    np.testing.assert_allclose((slope.gradient * direction).sum(axis=1), (higher - lower) / (2 * step), rtol=1e-7)


def test_rows_name_the_instances(problem, targets, skeleton, poses, rng):
    descent = angle_descent(problem, targets, AnglePrior.of_poses(skeleton, poses))
    x = 0.5 * rng.normal(size=(COUNT, 3 * skeleton.num_joints))

    some = descent.forward(x[1:], np.array([1, 2]))

    np.testing.assert_allclose(some.value, descent.forward(x, np.arange(COUNT)).value[1:], rtol=1e-5)


@pytest.mark.parametrize(
    ("solver", "settings"),
    [(lbfgs, LoopSettings(steps=100, halvings=10, patience=2)), (adam, LoopSettings(steps=300, patience=100))],
)
def test_solver_brings_the_hands_to_their_targets(solver, settings, problem, targets, skeleton, poses):
    x0 = np.tile(np.array([1.0, 0, 0, 0]), (COUNT, skeleton.num_joints, 1))

    solution = solver(problem, targets, x0, AnglePrior.of_poses(skeleton, poses), settings)

    assert solution.x.shape == x0.shape
    assert mean_distance_cm(problem, targets, x0) > 5
    assert mean_distance_cm(problem, targets, solution.x) < 0.3  # the prior pulls them off a little
    np.testing.assert_array_equal(solution.history[-1].x, solution.x)
