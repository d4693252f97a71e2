# SPDX-License-Identifier: Apache-2.0
"""The mean of poses that fit equally well."""

import numpy as np

from solver_core import render
from solver_core.loop import solve
from solver_core.manifolds import SE3
from solver_core.problems.pose.observation import PoseObservation
from solver_core.problems.pose.polish import POLISH_LOOP, polish_update
from solver_core.problems.pose.problem import PoseProblem

NUM_STARTS = 12


def test_polish_brings_poses_nearer_to_the_truth(chair_case, rng):
    camera, mask = chair_case.camera, chair_case.mask[None]
    intrinsics = np.tile(camera.intrinsics, (NUM_STARTS, 1))
    problem = PoseProblem([chair_case.mesh] * NUM_STARTS, intrinsics, camera.height, camera.width)
    observation = PoseObservation(
        *(np.repeat(a, NUM_STARTS, axis=0) for a in (mask.astype(np.float32), np.ones_like(mask), render.signed_distance(mask)))
    )
    truth = np.tile(chair_case.truth, (NUM_STARTS, 1))
    start = SE3().retract(truth, rng.normal(size=(NUM_STARTS, 6)) * [0.004, 0.004, 0.004, 2e-4, 2e-4, 5e-4])

    polished = solve(problem, polish_update(problem, rng), observation, start, POLISH_LOOP)

    before, after = SE3().distance(start, truth), SE3().distance(polished.x, truth)
    assert np.mean(after) < 0.7 * np.mean(before)
    assert np.mean(polished.energy) < np.mean(polished.history[0].energy)


def test_polish_stays_where_everything_around_is_worse(chair_case, rng):
    camera, mask = chair_case.camera, chair_case.mask[None]
    problem = PoseProblem([chair_case.mesh], camera.intrinsics[None], camera.height, camera.width)
    observation = PoseObservation(mask.astype(np.float32), np.ones_like(mask), render.signed_distance(mask))

    polished = solve(problem, polish_update(problem, rng), observation, chair_case.truth[None], POLISH_LOOP)

    assert SE3().distance(polished.x, chair_case.truth[None])[0] < np.radians(0.3)
    assert polished.energy[0] < 0.002
