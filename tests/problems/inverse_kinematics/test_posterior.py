# SPDX-License-Identifier: Apache-2.0
"""Weighing targets against a known answer and against time."""

import numpy as np
import pytest

from solver_core import rotations
from solver_core.problems.inverse_kinematics.problem import KinematicProblem
from solver_core.problems.inverse_kinematics.skeleton.body import Body
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton
from solver_core.problems.inverse_kinematics.solver import posterior as posterior_module
from solver_core.problems.inverse_kinematics.solver.posterior import Motion, Posterior

NOISE = 0.02


def swinging(skeleton: Skeleton, rng: np.random.Generator, count: int) -> Motion:
    """Every joint swings at its own pace, the root goes in a curve."""
    seconds = np.arange(count)[:, None, None] / 60
    pace, phase = rng.uniform(0.3, 1, size=(2, skeleton.num_joints, 1))
    x = rotations.wxyz_from_rotvec(np.sin(2 * np.pi * (pace * seconds + phase)) * rng.normal(size=(skeleton.num_joints, 3)))
    return Motion(x, np.concatenate([seconds, np.sin(3 * seconds), 0 * seconds], axis=-1)[:, 0])


def posterior_of(skeleton, motion, rng, noise=NOISE, prior=None, spread=0.3):
    count = len(motion.x)
    problem = KinematicProblem(Body.at_rest(skeleton), np.broadcast_to(skeleton.offsets, (count, *skeleton.offsets.shape)))
    nodes = problem.forward(motion.x, np.arange(count)).positions + motion.root[:, None]
    targets = nodes + noise * rng.normal(size=nodes.shape)
    axes = spread * np.tile(np.eye(3), (skeleton.num_joints, 1, 1))
    variance = np.full(nodes.shape[:2], noise**2)
    return Posterior(problem, targets, variance, motion.x if prior is None else prior, axes), nodes


def distances(posterior, motion, nodes):
    found = posterior.problem.forward(motion.x, np.arange(len(motion.x))).positions + motion.root[:, None]
    return np.linalg.norm(found - nodes, axis=-1)


def test_step_solves_the_normal_equations_whose_gradient_is_that_of_the_objective(tree, rng, monkeypatch):
    monkeypatch.setattr(posterior_module, "CONJUGATE_STEPS", 3000)
    monkeypatch.setattr(posterior_module, "TOLERANCE", 1e-9)
    motion = Motion(rotations.random_wxyz(rng, 6, tree.num_joints), rng.normal(size=(6, 3)))
    posterior, _ = posterior_of(tree, motion, rng, 0.1)
    motion = posterior.start(motion)
    posture = posterior.problem.forward(motion.x, np.arange(6))
    system = posterior._system(posture.positions, posture.orientations, motion.x, motion.root)

    def objective(turns, shift):
        x = rotations.multiply(motion.x, rotations.wxyz_from_rotvec(turns))
        root = motion.root + shift
        off = posterior.positions - posterior.problem.forward(x, np.arange(6)).positions - root[:, None]
        rough = (system.stiffness * (np.diff(x, n=3, axis=0) ** 2).sum(axis=-1)).sum()
        rough += system.root_stiffness * (np.diff(root, n=3, axis=0) ** 2).sum()
        return ((system.weights * (off**2).sum(axis=-1)).sum() + rough) / 2

    downhill = system._downhill()
    turns, shift = rng.normal(size=downhill[0].shape), rng.normal(size=downhill[1].shape)
    slope = (objective(1e-6 * turns, 1e-6 * shift) - objective(-1e-6 * turns, -1e-6 * shift)) / 2e-6
    step = system.solve()

    assert slope == pytest.approx(-(downhill[0] * turns).sum() - (downhill[1] * shift).sum(), rel=1e-5)
    for left, right in zip(system._times(step), downhill, strict=True):
        np.testing.assert_allclose(left, right, atol=1e-5 * np.abs(downhill[0]).max())


def test_smoothness_over_time_takes_most_of_the_noise(tree, rng):
    true = swinging(tree, rng, 120)
    posterior, nodes = posterior_of(tree, true, rng, prior=None, spread=10.0)  # a prior that says nothing
    start = rotations.multiply(true.x, rotations.wxyz_from_rotvec(0.02 * rng.normal(size=(*true.x.shape[:2], 3))))

    motion = posterior.start(Motion(start, true.root))
    for _ in range(4):
        motion = posterior.improved(motion)

    noise = np.linalg.norm(posterior.positions - nodes, axis=-1).mean()
    assert distances(posterior, motion, nodes).mean() < noise / 2


def test_a_target_far_off_counts_for_little(tree, rng):
    true = swinging(tree, rng, 40)
    posterior, nodes = posterior_of(tree, true, rng)
    posterior.positions[20, 4] += [0, 0.8, 0]

    motion = posterior.start(true)
    for _ in range(3):
        motion = posterior.improved(motion)

    assert distances(posterior, motion, nodes)[20].max() < 0.06


def test_a_gap_is_bridged_by_time_and_prior(tree, rng):
    true = swinging(tree, rng, 60)
    posterior, nodes = posterior_of(tree, true, rng)
    posterior.variance[25:33] = np.inf

    motion = posterior.start(true)
    for _ in range(3):
        motion = posterior.improved(motion)

    assert distances(posterior, motion, nodes)[25:33].mean() < 0.06


@pytest.mark.parametrize("count", [1, 2, 4])
def test_few_frames_are_weighed_against_the_prior(count, tree, rng):
    true = swinging(tree, rng, count)
    prior = rotations.multiply(true.x, rotations.wxyz_from_rotvec(0.05 * rng.normal(size=(*true.x.shape[:2], 3))))
    posterior, _ = posterior_of(tree, true, rng, prior=prior)

    motion = posterior.improved(posterior.start(Motion(prior, true.root)))

    before = distances(posterior, Motion(prior, true.root), posterior.positions).mean()
    assert distances(posterior, motion, posterior.positions).mean() < before
    assert np.isfinite(motion.x).all()
