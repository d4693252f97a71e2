# SPDX-License-Identifier: Apache-2.0
"""Deep6D: its rotations, its loss, and a small training run."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from solver_core import rotations  # noqa: E402
from solver_core.errors import WeightsError  # noqa: E402
from solver_core.problems.inverse_kinematics.files.bodies import human  # noqa: E402
from solver_core.problems.inverse_kinematics.sampler import KinematicSampler, KinematicSampling  # noqa: E402
from training.paper.baselines import deep6d as module  # noqa: E402
from training.paper.baselines.deep6d import Deep6DSettings, deep6d, load, loss, orthonormal, train  # noqa: E402

pytestmark = pytest.mark.torch


@pytest.fixture
def matrices(rng) -> torch.Tensor:
    return torch.from_numpy(rotations.matrix_from_wxyz(rotations.random_wxyz(rng, 5, human().skeleton.num_joints)))


def test_six_numbers_of_a_rotation_give_it_back(matrices):
    columns = matrices[..., :2].transpose(-1, -2)
    skewed = torch.stack([2 * columns[..., 0, :], columns[..., 1, :] + 0.3 * columns[..., 0, :]], dim=-2)

    torch.testing.assert_close(orthonormal(skewed), matrices)


def test_loss_is_zero_at_the_truth_and_its_gradient_matches_finite_differences(matrices, rng):
    skeleton = human().skeleton
    offsets = torch.from_numpy(np.tile(skeleton.offsets, (5, 1, 1)))
    columns = torch.from_numpy(rng.normal(size=(5, skeleton.num_joints, 2, 3))).requires_grad_()
    direction = torch.from_numpy(rng.normal(size=columns.shape))
    value = lambda c: loss(skeleton, orthonormal(c), matrices, offsets, position_weight=10.0)

    (gradient,) = torch.autograd.grad(value(columns), columns)
    with torch.no_grad():
        difference = (value(columns + 1e-6 * direction) - value(columns - 1e-6 * direction)) / 2e-6

    assert float(loss(skeleton, matrices, matrices, offsets, 10.0)) == pytest.approx(0, abs=1e-9)
    torch.testing.assert_close((gradient * direction).sum(), difference, rtol=1e-5, atol=0)


def test_training_learns_a_few_poses(rng, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "WIDTH", 128)  # the layers of the human's network take most of the time
    body = human()
    poses = rotations.multiply(body.mean_pose, rotations.wxyz_from_rotvec(0.2 * rng.normal(size=(4, len(body.axes), 3))))
    sampler = KinematicSampler(body, poses.astype(np.float32), poses[:0], KinematicSampling())
    samples = sampler.draw(rng, 16)

    network = train(sampler, Deep6DSettings(iterations=250, batch_size=16, learning_rate=5e-3), tmp_path / "deep6d.safetensors")
    again = load(tmp_path / "deep6d.safetensors")

    before = samples.problem.manifold.distance(samples.x0, samples.x_true).mean()
    solutions = [deep6d(n, samples.problem, samples.observation, samples.x0) for n in (network, again)]
    assert samples.problem.manifold.distance(solutions[0].x, samples.x_true).mean() < 0.5 * before
    np.testing.assert_allclose(solutions[0].x, solutions[1].x, atol=1e-6)
    assert [iteration.index for iteration in solutions[0].history] == [0, 1]


def test_file_that_is_no_network_is_refused(tmp_path):
    with pytest.raises(WeightsError, match=r"missing\.safetensors"):
        load(tmp_path / "missing.safetensors")
