# SPDX-License-Identifier: Apache-2.0
"""Skeletons and poses that the tests of inverse kinematics share."""

import numpy as np
import pytest

from solver_core import rotations
from solver_core.problems.inverse_kinematics.files.bodies import human
from solver_core.problems.inverse_kinematics.skeleton.body import Body
from solver_core.problems.inverse_kinematics.skeleton.kinematics import forward_kinematics
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton


@pytest.fixture(scope="session")
def body() -> Body:
    return human()


@pytest.fixture
def tree(rng: np.random.Generator) -> Skeleton:
    """Twelve nodes with random bones; the root is not the first and parents do not all come before their children."""
    parents = np.array([3, 0, 0, -1, 3, 2, 8, 5, 4, 8, 1, 3])
    return Skeleton([f"node{n}" for n in range(12)], parents, rng.normal(size=(12, 3)))


@pytest.fixture
def arm() -> tuple[Skeleton, np.ndarray]:
    """A robot arm of six hinges, straight up at rest, and its limits (7, 3, 2)."""
    lengths = [0, 0.3, 0.4, 0.35, 0.2, 0.1, 0.1]
    skeleton = Skeleton([f"hinge{n}" for n in range(7)], range(-1, 6), [[0, 0, length] for length in lengths])
    limits = np.zeros((7, 3, 2))
    for joint, axis in enumerate((2, 1, 1, 2, 1, 2)):
        limits[joint, axis] = [-2.8, 2.8]
    return skeleton, limits


def natural_poses(body: Body, rng: np.random.Generator, count: int) -> np.ndarray:
    """(F, J, 4) poses of a body that deviate from its mean pose as its motions do, the root turned anyhow."""
    turns = np.clip(rng.normal(size=(count, len(body.axes), 1, 3)), -1.5, 1.5)
    x = rotations.multiply(body.mean_pose, rotations.wxyz_from_rotvec((turns @ body.axes)[:, :, 0]))
    x[:, body.skeleton.joint_of_node[body.skeleton.root]] = rotations.random_wxyz(rng, count)
    return x


def positions_of(skeleton: Skeleton, x: np.ndarray) -> np.ndarray:
    """(F, N, 3) for joint rotations (F, J, 4)."""
    return forward_kinematics(skeleton, np.broadcast_to(skeleton.offsets, (len(x), *skeleton.offsets.shape)), x).positions
