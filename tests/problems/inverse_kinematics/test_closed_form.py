# SPDX-License-Identifier: Apache-2.0
"""The answer in closed form: bones point at their targets, and nothing turns that targets do not turn."""

import numpy as np
import pytest

from solver_core import rotations
from solver_core.loop import LoopSettings, solve
from solver_core.problems.inverse_kinematics.observation import Targets
from solver_core.problems.inverse_kinematics.problem import KinematicProblem
from solver_core.problems.inverse_kinematics.skeleton.body import Body
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton
from solver_core.problems.inverse_kinematics.solver.closed_form import closed_form_update, pointed, shortest_arc

from .conftest import positions_of

ONE_STEP = LoopSettings(steps=1, halvings=0)


def problem_of(skeleton: Skeleton, count: int) -> KinematicProblem:
    return KinematicProblem(Body.at_rest(skeleton), np.broadcast_to(skeleton.offsets, (count, *skeleton.offsets.shape)))


def at_rest(skeleton: Skeleton, count: int) -> np.ndarray:
    return np.tile([1.0, 0, 0, 0], (count, skeleton.num_joints, 1))


def pointed_from_rest(skeleton: Skeleton, positions: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    problem, x = problem_of(skeleton, len(positions)), at_rest(skeleton, len(positions))
    weights = np.ones(positions.shape[:2]) if weights is None else np.broadcast_to(weights, positions.shape[:2])
    return pointed(problem, x, problem.forward(x, np.arange(len(x))), Targets.exact(positions, weights))


def test_closed_form_meets_the_targets_of_any_tree_in_one_step_from_rest(tree, rng):
    positions = positions_of(tree, rotations.random_wxyz(rng, 6, tree.num_joints))
    problem = problem_of(tree, 6)
    targets = Targets.exact(positions, np.ones(positions.shape[:2]))

    solution = solve(problem, closed_form_update(problem), targets, at_rest(tree, 6), ONE_STEP)

    assert solution.energy.max() < 1e-3  # where bones fan out, the pose before counts a hundred-thousandth


def test_closed_form_keeps_a_pose_that_meets_its_targets(tree, rng):
    x = rotations.random_wxyz(rng, 4, tree.num_joints)
    problem = problem_of(tree, 4)
    posture = problem.forward(x, np.arange(4))

    again = pointed(problem, x, posture, Targets.exact(posture.positions, np.ones(posture.positions.shape[:2])))

    assert rotations.angle_between(again, x).max() < 1e-5


def test_a_turn_about_a_straight_chain_is_carried_along():
    skeleton = Skeleton(["hip", "left", "right", "chest", "neck", "head"], [-1, 0, 0, 0, 3, 4], np.eye(3)[[1, 0, 0, 1, 1, 1]])
    skeleton = Skeleton(skeleton.names, skeleton.parents, skeleton.offsets * [[1], [1], [-1], [1], [1], [1]])
    yaw = rotations.wxyz_from_rotvec(np.array([0, 2.5, 0]))
    positions = rotations.rotate(yaw, skeleton.rest_positions())[None]

    x = pointed_from_rest(skeleton, positions)

    hip, chest, neck = x[0]
    assert rotations.angle_between(hip, yaw) < 1e-5
    assert rotations.angle_between(np.stack([chest, neck]), np.array([1.0, 0, 0, 0])).max() < 1e-5


def test_a_chest_whose_shoulders_have_no_width_is_turned_by_the_arms():
    names = ["chest", "neck", "left", "left_arm", "right", "right_arm"]
    offsets = [[0, 0, 0], [0, 1, 0], [0, 1, 0], [1, 0, 0], [0, 1, 0], [-1, 0, 0]]
    skeleton = Skeleton(names, [-1, 0, 0, 2, 0, 4], offsets)
    yaw = rotations.wxyz_from_rotvec(np.array([0, 2.0, 0]))

    x = pointed_from_rest(skeleton, rotations.rotate(yaw, skeleton.rest_positions())[None])

    assert np.degrees(rotations.angle_between(x[0, 0], yaw)) < 1


def test_a_bone_to_a_joint_without_target_points_over_it_at_the_next():
    skeleton = Skeleton(["hip", "knee", "foot"], [-1, 0, 1], [[0, 0, 0], [0, -1, 0], [0, -1, 0]])
    quarter = np.array([[[0.0, 0, 0], [0, 0, 0], [2, 0, 0]]])

    x = pointed_from_rest(skeleton, quarter, np.array([1.0, 0, 1]))

    np.testing.assert_allclose(positions_of(skeleton, x)[0], [[0, 0, 0], [1, 0, 0], [2, 0, 0]], atol=1e-6)


def test_closed_form_moves_smoothly_when_targets_do(tree, rng):
    axis = rng.normal(size=(tree.num_joints, 3))
    x = rotations.wxyz_from_rotvec(np.linspace(0, 1, 50)[:, None, None] * axis)

    found = pointed_from_rest(tree, positions_of(tree, x))

    assert np.degrees(rotations.angle_between(found[1:], found[:-1])).max() < 15


@pytest.mark.parametrize("end", [[1.0, 0, 0], [0, 2, 0], [-3, 0, 0], [0, 0, 0]])
def test_shortest_arc_turns_one_direction_into_the_other_by_the_angle_between_them(end):
    start, end = np.array([[2.0, 0, 0]]), np.array([end])

    turn = shortest_arc(start, end)[0]

    assert np.linalg.det(turn) == pytest.approx(1)
    if end.any():
        np.testing.assert_allclose(turn @ start[0] / 2, end[0] / np.linalg.norm(end), atol=1e-12)
        cosine = start[0] @ end[0] / (2 * np.linalg.norm(end))
        assert np.trace(turn) == pytest.approx(1 + 2 * cosine)
    else:
        np.testing.assert_allclose(turn, np.eye(3), atol=1e-6)
