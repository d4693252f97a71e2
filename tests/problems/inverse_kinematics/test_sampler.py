# SPDX-License-Identifier: Apache-2.0
"""What training feeds on, and what it minimises."""

import json

import numpy as np
import pytest

from solver_core import rotations
from solver_core.errors import ConfigError
from solver_core.problems.inverse_kinematics import metrics
from solver_core.problems.inverse_kinematics.features import network_spec
from solver_core.problems.inverse_kinematics.files.bodies import write_body
from solver_core.problems.inverse_kinematics.files.bvh import write_bvh
from solver_core.problems.inverse_kinematics.sampler import (
    KinematicSampler,
    KinematicSampling,
    effectors,
    limbs,
    make_sampler,
    mirror_joints,
    mirrored_pose,
    subtrees,
)
from solver_core.problems.inverse_kinematics.skeleton.body import Body
from solver_core.problems.inverse_kinematics.skeleton.motion import Motion

from .conftest import natural_poses, positions_of

SAMPLING = KinematicSampling(mirrored=0.5, scaled=0.5, effectors=0.2, coarse=0.2, gaps=0.2)


@pytest.fixture
def sampler(body, rng):
    frames = natural_poses(body, rng, 40).astype(np.float32)
    return KinematicSampler(body, frames, frames[:0], SAMPLING)


def test_the_truth_of_a_sample_has_energy_zero(sampler, rng):
    samples = sampler.draw(rng, 30)
    rows = np.arange(30)

    energy = samples.problem.energy(samples.problem.forward(samples.x_true, rows), samples.observation, rows)

    assert energy.max() < 1e-6


def test_the_same_generator_state_gives_the_same_samples(sampler):
    one, other = (sampler.draw(np.random.default_rng(5), 8) for _ in range(2))

    assert (one.x_true == other.x_true).all()
    np.testing.assert_allclose(one.observation.positions, other.observation.positions, atol=1e-6)
    assert (one.x0 == other.x0).all()


def test_features_do_not_change_when_the_whole_body_is_turned(sampler, body, rng):
    samples = sampler.draw(rng, 10)
    problem, rows = samples.problem, np.arange(10)
    turn = rotations.random_wxyz(rng).astype(np.float32)
    turned = samples.observation._replace(positions=rotations.rotate(turn, samples.observation.positions))
    x = samples.x0.copy()
    x[:, 0] = rotations.multiply(turn, x[:, 0])

    before = problem.features(samples.x0, problem.forward(samples.x0, rows), samples.observation, rows).vector
    after = problem.features(x, problem.forward(x, rows), turned, rows).vector

    assert before.shape[1] == network_spec({"hidden": [8]}).vector_size
    np.testing.assert_allclose(after, before, atol=0.02)  # the least squares step in float32


def test_output_from_step_undoes_step_from_output(sampler, rng):
    samples = sampler.draw(rng, 4)
    rows = np.arange(4)
    output = rng.normal(size=(4, samples.problem.manifold.dim))

    step = samples.problem.step_from_output(output, samples.x0, rows)

    np.testing.assert_allclose(samples.problem.output_from_step(step, samples.x0, rows), output, atol=1e-9)


def test_a_mirrored_pose_puts_the_other_side_of_a_symmetric_body_at_the_mirrored_place(body, rng):
    skeleton = body.skeleton
    x = natural_poses(body, rng, 2)
    left, right = skeleton.index("lHand"), skeleton.index("rHand")

    before = positions_of(skeleton, x)
    after = positions_of(skeleton, mirrored_pose(x, mirror_joints(skeleton)))

    np.testing.assert_allclose(after[:, left], before[:, right] * [-1, 1, 1], atol=1e-6)


def test_limbs_end_where_the_skeleton_branches(body):
    names = np.array(body.skeleton.names)
    numbers = limbs(body.skeleton)

    assert set(names[numbers == numbers[body.skeleton.index("lShldr")]]) == {"lCollar", "lShldr", "lForeArm", "lHand"}


def test_effectors_are_hands_feet_head_and_hip(body, arm):
    assert set(np.array(body.skeleton.names)[effectors(body.skeleton)]) == {
        "hip", "head", "lHand", "rHand", "lFoot", "rFoot",
    }  # fmt: skip
    assert list(np.flatnonzero(effectors(arm[0]))) == [0, 6]


@pytest.fixture
def rig(arm, tmp_path):
    """Settings that name the body file of the robot arm."""
    write_body(tmp_path / "rig.bvh", Body.at_rest(arm[0]))
    return {"rig": str(tmp_path / "rig.bvh")}


def test_make_sampler_trains_a_rig_on_its_own_motion(rig, arm, tmp_path, rng):
    skeleton, _ = arm
    x = rotations.random_wxyz(rng, 5, 7)
    write_bvh(tmp_path / "motion.bvh", Motion(skeleton, x, np.zeros((5, 3)), 0.1, ("ZXY",) * 7, 1.0))

    sampler = make_sampler(tmp_path, "train", rig | {"motions": [str(tmp_path / "motion.bvh")], "wandering": 0.2})
    samples = sampler.draw(rng, 3)

    assert samples.x_true.shape == (3, 6, 4)
    assert network_spec({"hidden": [8]} | rig).outputs == 18


def test_make_sampler_draws_the_poses_of_a_rig_within_its_limits(rig, arm, tmp_path, rng):
    hinge = {"x": [0, 0], "y": [-60, 60], "z": [0, 0]}
    (tmp_path / "limits.json").write_text(json.dumps(dict.fromkeys(arm[0].joint_names, hinge)))

    sampler = make_sampler(tmp_path, "train", rig | {"limits": str(tmp_path / "limits.json")})
    turned = np.degrees(rotations.rotvec_from_wxyz(sampler.draw(rng, 50).x_true))

    assert np.abs(turned[..., [0, 2]]).max() < 1e-3
    assert 55 < np.abs(turned[..., 1]).max() < 60.01


def test_a_rig_needs_motion_or_limits_to_be_trained(rig, tmp_path):
    with pytest.raises(ConfigError, match="trained on its motion or within its limits"):
        make_sampler(tmp_path, "train", rig)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [({"scale": 1}, "unknown key 'scale' in"), ({}, "is no data folder for inverse kinematics")],
)
def test_make_sampler_raises_a_sentence_for_what_it_cannot_use(settings, sentence, tmp_path):
    with pytest.raises(ConfigError, match=sentence):
        make_sampler(tmp_path, "train", settings)


def test_measure_is_zero_at_the_truth(sampler, rng):
    samples = sampler.draw(rng, 4)

    errors = metrics.measure(samples.problem, samples.x_true, samples.x_true, np.arange(4))

    assert errors["position_cm"].max() < 1e-6
    assert errors["rotation_deg"].max() < 0.05  # float32


@pytest.mark.torch
def test_loss_falls_to_its_rounding_at_the_true_step(sampler, rng):
    torch = pytest.importorskip("torch")
    from solver_core.problems.inverse_kinematics.loss import SMOOTH, loss

    samples = sampler.draw(rng, 6)
    problem, rows = samples.problem, np.arange(6)
    inputs = metrics.loss_inputs(problem, samples.x0, samples.x_true, rows)
    step = problem.manifold.difference(samples.x0.astype(float), samples.x_true.astype(float))
    truth = torch.from_numpy(problem.output_from_step(step, samples.x0, rows).astype(np.float32))
    tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}

    losses = [
        float(loss(lambda image, vector, output=output: output, None, torch.zeros(6, 1), tensors))
        for output in (truth, torch.zeros_like(truth))
    ]

    assert losses[0] < 10 * SMOOTH
    assert losses[1] > 0.1


def captured(body, frames, **chances):
    return KinematicSampler(body, frames, frames[:0], KinematicSampling(captured=1.0, **chances))


def test_noise_of_a_sample_is_as_large_as_it_is_told_to_be(body, rng):
    frames = natural_poses(body, rng, 20).astype(np.float32)

    samples = captured(body, frames, noisy=1.0).draw(rng, 400)

    observation = samples.observation
    true = samples.problem.forward(samples.x_true, np.arange(400)).positions
    error = observation.positions - true
    error -= error.mean(axis=1, keepdims=True)  # positions are relative to a root that has noise as well
    ratio = error.std(axis=(1, 2)) / observation.noise[:, 0]
    assert (observation.noise > 0).all()
    np.testing.assert_allclose(np.median(ratio), 1, atol=0.05)


def test_what_is_lost_is_a_limb_and_no_more(body, rng):
    frames = natural_poses(body, rng, 20).astype(np.float32)

    samples = captured(body, frames, lost=1.0).draw(rng, 50)

    is_lost = samples.observation.noise > 0
    below = subtrees(body.skeleton)
    assert all((row == below).all(axis=1).any() for row in is_lost)


def test_other_rigs_keep_lengths_and_directions_within_reason_and_lack_buttocks_most_often(body, rng):
    frames = natural_poses(body, rng, 20).astype(np.float32)

    samples = captured(body, frames, rigs=1.0).draw(rng, 300)

    bones = body.skeleton.parents >= 0
    lengths = np.linalg.norm(samples.problem.offsets[:, bones], axis=-1) / body.skeleton.bone_lengths[bones]
    cosines = (samples.problem.offsets[:, bones] * body.skeleton.offsets[bones]).sum(axis=-1)
    cosines /= lengths * body.skeleton.bone_lengths[bones] ** 2
    given = samples.observation.weights.mean(axis=0)
    assert 0.5 < lengths.min() < 0.8
    assert 1.3 < lengths.max() < 1.8
    assert 0.5 < cosines.min() < 0.95
    assert given[body.skeleton.index("rButtock")] < 0.3 < given[body.skeleton.index("abdomen")] < 1
    assert (samples.observation.weights[:, body.skeleton.root] == 1).all()


def test_targets_of_another_body_than_is_known_say_so(body, rng):
    frames = natural_poses(body, rng, 20).astype(np.float32)

    samples = captured(body, frames, misfit=1.0).draw(rng, 50)

    rows = np.arange(50)
    energy = samples.problem.energy(samples.problem.forward(samples.x_true, rows), samples.observation, rows)
    assert energy.min() > 0.002
    assert (samples.observation.noise > 0).all()
