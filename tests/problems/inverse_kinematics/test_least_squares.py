# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from solver_core import rotations
from solver_core.kernel.tree import CHUNK, damped_step
from solver_core.manifolds import SO3Power
from solver_core.problems.inverse_kinematics.skeleton.kinematics import forward_kinematics
from solver_core.problems.inverse_kinematics.solver.least_squares import damped_step_of_floating, node_velocities

DELTA = 1e-6

pytestmark = pytest.mark.usefixtures("implementation")


def numerical_jacobian(skeleton, x, axes):
    """(B, 3 N, 3 J) change of the positions (B, N, 3) per turn about local axes (B, J, 3, 3), by central differences."""
    offsets = np.broadcast_to(skeleton.offsets, (len(x), *skeleton.offsets.shape))
    manifold = SO3Power(skeleton.num_joints)
    columns = []
    for joint in range(skeleton.num_joints):
        for axis in range(3):
            step = np.zeros((len(x), skeleton.num_joints, 3))
            step[:, joint] = DELTA * axes[:, joint, axis]
            ahead, behind = (
                forward_kinematics(skeleton, offsets, manifold.retract(x, sign * step.reshape(len(x), -1))).positions
                for sign in (1, -1)
            )
            columns.append((ahead - behind).reshape(len(x), -1) / (2 * DELTA))
    return np.stack(columns, axis=-1)


@pytest.mark.parametrize("batch", [1, CHUNK + 3])
def test_damped_step_solves_the_normal_equations_of_the_numerical_jacobian(tree, rng, batch):
    x = rotations.random_wxyz(rng, batch, tree.num_joints)
    axes = rng.normal(size=(batch, tree.num_joints, 3, 3))
    axes[:, 2, 1] = 0  # a locked axis
    residuals = rng.normal(size=(batch, tree.num_nodes, 3))
    weights = rng.uniform(0, 2, size=(batch, tree.num_nodes))
    damping = rng.uniform(0.1, 1, size=batch)
    posture = forward_kinematics(tree, np.broadcast_to(tree.offsets, residuals.shape), x)

    step = damped_step(tree, posture.positions, axes @ posture.orientations.swapaxes(2, 3), residuals, weights, damping)

    jacobian = numerical_jacobian(tree, x, axes)
    weighted = jacobian * weights.repeat(3, axis=1)[..., None]
    normal = weighted.swapaxes(1, 2) @ jacobian + damping[:, None, None] * np.eye(jacobian.shape[2])
    expected = np.linalg.solve(normal, weighted.swapaxes(1, 2) @ residuals.reshape(batch, -1, 1))
    np.testing.assert_allclose(step.reshape(batch, -1, 1), expected, atol=1e-6)  # of the central differences
    assert (step[:, 2, 1] == 0).all()


def test_damped_step_ignores_what_has_no_weight(tree, rng):
    x = rotations.random_wxyz(rng, 1, tree.num_joints)
    posture = forward_kinematics(tree, tree.offsets[None], x)
    axes = posture.orientations.swapaxes(2, 3)
    weights = (np.arange(tree.num_nodes) != 10).astype(float)[None]
    residuals = rng.normal(size=(1, tree.num_nodes, 3))
    other = residuals.copy()
    other[:, 10] = 100

    steps = [damped_step(tree, posture.positions, axes, r, weights, np.array([0.1])) for r in (residuals, other)]

    np.testing.assert_allclose(steps[0], steps[1], atol=1e-12)


def test_damped_step_agrees_in_float32_and_float64(body, rng):
    skeleton = body.skeleton
    x = np.tile(body.mean_pose, (8, 1, 1))
    posture = forward_kinematics(skeleton, np.broadcast_to(skeleton.offsets, (8, skeleton.num_nodes, 3)), x)
    axes = body.axes @ posture.orientations.swapaxes(2, 3)
    residuals = 0.05 * rng.normal(size=(8, skeleton.num_nodes, 3))
    weights = np.ones((8, skeleton.num_nodes))
    damping = np.full(8, 1e-4)

    exact = damped_step(skeleton, posture.positions, axes, residuals, weights, damping)
    arrays = (posture.positions, axes, residuals, weights, damping)
    rounded = damped_step(skeleton, *(array.astype(np.float32) for array in arrays))

    assert rounded.dtype == np.float32
    np.testing.assert_allclose(rounded, exact, atol=2e-3 * np.abs(exact).max())  # float32, condition number 1e5


def test_kernel_gives_the_steps_of_numpy(use, body, rng):
    skeleton = body.skeleton
    x = rotations.random_wxyz(rng, 5, skeleton.num_joints)
    posture = forward_kinematics(skeleton, np.broadcast_to(skeleton.offsets, (5, skeleton.num_nodes, 3)), x)
    axes = body.axes @ posture.orientations.swapaxes(2, 3)
    residuals = rng.normal(size=(5, skeleton.num_nodes, 3))
    weights = rng.uniform(0, 2, size=(5, skeleton.num_nodes))
    damping = rng.uniform(1e-5, 1, size=5)

    steps = []
    for name in ("kernel", "numpy"):
        with use(name):
            steps.append(damped_step(skeleton, posture.positions, axes, residuals, weights, damping))

    np.testing.assert_allclose(steps[0], steps[1], atol=1e-9 * np.abs(steps[1]).max())  # float64, condition number 1e5


def test_node_velocities_are_the_numerical_jacobian_times_the_turns(tree, rng):
    x = rotations.random_wxyz(rng, 2, tree.num_joints)
    axes = rng.normal(size=(2, tree.num_joints, 3, 3))
    turns = rng.normal(size=(2, tree.num_joints, 3))
    posture = forward_kinematics(tree, np.broadcast_to(tree.offsets, (2, tree.num_nodes, 3)), x)

    velocities = node_velocities(tree, posture.positions, axes @ posture.orientations.swapaxes(2, 3), turns)

    expected = numerical_jacobian(tree, x, axes) @ turns.reshape(2, -1, 1)
    np.testing.assert_allclose(velocities.reshape(2, -1, 1), expected, atol=1e-6)  # of the central differences


def test_damped_step_of_floating_bodies_solves_for_turns_and_shift_together(tree, rng):
    x = rotations.random_wxyz(rng, 2, tree.num_joints)
    axes = np.broadcast_to(np.eye(3), (2, tree.num_joints, 3, 3))
    residuals = rng.normal(size=(2, tree.num_nodes, 3))
    weights = rng.uniform(0, 2, size=(2, tree.num_nodes))
    damping = np.array([0.1, 0.5])
    posture = forward_kinematics(tree, np.broadcast_to(tree.offsets, residuals.shape), x)

    step = damped_step_of_floating(tree, posture.positions, posture.orientations.swapaxes(2, 3), residuals, weights, damping)

    jacobian = numerical_jacobian(tree, x, axes)
    shifts = np.tile(np.eye(3), (2, tree.num_nodes, 1))
    jacobian = np.concatenate([jacobian, shifts], axis=2)
    weighted = jacobian * weights.repeat(3, axis=1)[..., None]
    penalty = np.diag(np.repeat([1.0, 0.0], [3 * tree.num_joints, 3]))
    normal = weighted.swapaxes(1, 2) @ jacobian + damping[:, None, None] * penalty
    expected = np.linalg.solve(normal, weighted.swapaxes(1, 2) @ residuals.reshape(2, -1, 1))
    np.testing.assert_allclose(step.reshape(2, -1), expected[:, :-3, 0], atol=1e-5)  # of the central differences
