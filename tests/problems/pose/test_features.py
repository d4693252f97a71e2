# SPDX-License-Identifier: Apache-2.0
"""What the network sees."""

from dataclasses import replace

import numpy as np
import pytest

from solver_core.errors import ConfigError
from solver_core.manifolds import SE3
from solver_core.problems.pose.crop import crop_poses, turn_pose
from solver_core.problems.pose.features import INPUTS, MAX_OUTPUT, NUM_CHANNELS, NUM_NUMBERS, ROBUST_PX, network_spec

ROW = np.array([0])


@pytest.fixture
def cropped(chair_case):
    return crop_poses([chair_case.mesh], [chair_case.mask.astype(np.float32)], [chair_case.camera])


def features_at(cropped, pose):
    x = turn_pose(cropped.virtual_from_camera, pose[None])
    problem = cropped.problem
    return problem.features(x, problem.forward(x, ROW), cropped.observation, ROW)


def test_features_are_finite_and_of_order_one(cropped, chair_case):
    features = features_at(cropped, chair_case.start)

    assert features.image.shape == (1, 64, 64, NUM_CHANNELS)
    assert features.vector.shape == (1, NUM_NUMBERS)
    assert np.abs(features.image).max() <= 2
    assert np.abs(features.vector).max() <= MAX_OUTPUT


def test_numbers_hold_the_step_to_the_truth_when_it_is_near(cropped, chair_case):
    step = np.array([0.0, 0.0, 0.06, 0.004, -0.004, 0.02])
    x_true = turn_pose(cropped.virtual_from_camera, chair_case.truth[None])
    x = SE3().retract(x_true, -step[None])
    problem = cropped.problem

    features = problem.features(x, problem.forward(x, ROW), cropped.observation, ROW)

    target = problem.output_from_step(SE3().difference(x, x_true), x, ROW)
    np.testing.assert_allclose(features.vector[:, :6], target, atol=0.15)  # a third of a crop pixel


def test_features_of_an_estimate_out_of_view_are_finite(cropped, chair_case):
    away = SE3().retract(chair_case.truth[None], np.array([[0, 0, 0, 5.0, 0, 0]]))[0]

    features = features_at(cropped, away)

    assert np.isfinite(features.image).all()
    assert np.isfinite(features.vector).all()
    np.testing.assert_array_equal(features.vector[0, : 6 * len(ROBUST_PX)], 0)


def test_output_and_step_are_inverse(cropped, chair_case, rng):
    output = rng.normal(size=(1, 6))
    x = chair_case.truth[None]

    step = cropped.problem.step_from_output(output, x, ROW)

    np.testing.assert_allclose(cropped.problem.output_from_step(step, x, ROW), output, rtol=1e-5)


def test_energy_is_zero_only_at_the_mask(cropped, chair_case):
    problem, observation = replace(cropped.problem, cut_px=None), cropped.observation
    nothing = np.full((1, problem.height, problem.width), np.inf, dtype=np.float32)
    exact = np.where(observation.coverage > 0.5, 1.0, np.inf)
    sharp = observation._replace(coverage=(observation.coverage > 0.5).astype(np.float32))

    assert problem.energy(nothing, sharp, ROW)[0] == pytest.approx(1)
    assert problem.energy(exact, sharp, ROW)[0] == 0


def test_observation_holds_nothing_of_the_render(cropped, chair_case):
    problem, x = cropped.problem, turn_pose(cropped.virtual_from_camera, chair_case.start[None])
    spec = network_spec({"convolutions": [[4, 2]], "hidden": [], "inputs": "observation"})
    elsewhere = problem.forward(turn_pose(cropped.virtual_from_camera, chair_case.truth[None]), ROW)

    seen, same = (
        spec.select(problem.features(x, prediction, cropped.observation, ROW))
        for prediction in (problem.forward(x, ROW), elsewhere)
    )

    np.testing.assert_allclose(seen.image, same.image, atol=1e-6)
    np.testing.assert_allclose(seen.vector, same.vector, atol=1e-6)
    assert seen.vector.shape == (1, 7)


@pytest.mark.parametrize("inputs", INPUTS)
def test_network_fits_what_it_looks_at(cropped, chair_case, inputs):
    spec = network_spec({"convolutions": [[4, 2]], "hidden": [], "inputs": inputs})

    seen = spec.select(features_at(cropped, chair_case.start))

    assert seen.image.shape[3] == spec.image_channels
    assert seen.vector.shape[1] == spec.vector_size


def test_unknown_inputs_are_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match="no depth"):
        network_spec({"convolutions": [[4, 2]], "hidden": [], "inputs": "colours"})
