# SPDX-License-Identifier: Apache-2.0
"""Poses that meet their targets in two ways do not turn over from one frame to the next."""

import numpy as np
import pytest

from solver_core import rotations
from solver_core.problems.inverse_kinematics.observation import Targets
from solver_core.problems.inverse_kinematics.problem import KinematicProblem
from solver_core.problems.inverse_kinematics.skeleton.body import Body
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton
from solver_core.problems.inverse_kinematics.solver.follow import Follower, turned_over

COUNT = 30


@pytest.fixture
def waving() -> tuple[Follower, np.ndarray]:
    """A chain of three bones along z that bends slowly, and its poses (F, J, 4)."""
    skeleton = Skeleton(["root", "upper", "lower", "end"], [-1, 0, 1, 2], np.array([[0, 0, 0], *3 * [[0, 0, 0.3]]]))
    times = np.linspace(0, 1, COUNT)[:, None]
    bends = [np.array([[0.3, 0.2, 0.1]]) * times, np.array([[0.5, 0, 0]]) * (1 + times), np.array([[0, 0.4, 0.3]]) * times]
    x = np.stack([rotations.wxyz_from_rotvec(bend) for bend in bends], axis=1)
    problem = KinematicProblem(Body.at_rest(skeleton), np.tile(skeleton.offsets, (COUNT, 1, 1)))
    positions = problem.forward(x, np.arange(COUNT)).positions
    return Follower(problem, Targets.exact(positions, np.ones(positions.shape[:2]))), x


def turned(x: np.ndarray, frames: slice) -> np.ndarray:
    """The same positions, the second joint turned over about its bone in some frames."""
    half = rotations.wxyz_from_rotvec(np.array([0, 0, np.pi]))
    other = x.copy()
    other[frames, 1] = rotations.multiply(x[frames, 1], half)
    other[frames, 2] = rotations.multiply(rotations.inverse(half), x[frames, 2])
    return other


@pytest.mark.parametrize("frames", [slice(20, None), slice(None, 8), slice(10, 13)])
def test_the_shorter_stretch_follows_the_longer_one(waving, frames):
    follower, x = waving
    other = turned(x, frames)
    assert len(turned_over(other)) > 0

    answer = follower.followed(other)

    assert len(turned_over(answer)) == 0
    positions = follower.problem.forward(answer, np.arange(COUNT)).positions
    np.testing.assert_allclose(positions, follower.targets.positions, atol=1e-4)
    assert np.degrees(rotations.angle_between(answer[:, :2], x[:, :2])).max() < 15


def test_a_motion_without_jumps_is_left_alone(waving):
    follower, x = waving

    assert follower.followed(x) is x


def test_a_turn_that_the_targets_ask_for_stays(waving):
    follower, x = waving
    x = x.copy()
    x[15:, 0] = rotations.multiply(rotations.wxyz_from_rotvec(np.array([2.0, 0, 0])), x[15:, 0])
    x = turned(x, slice(15, None))  # another take, which meets its targets in its own way
    positions = follower.problem.forward(x, np.arange(COUNT)).positions
    follower = Follower(follower.problem, Targets.exact(positions, np.ones(positions.shape[:2])))

    assert follower.followed(x) is x
