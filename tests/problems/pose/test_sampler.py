# SPDX-License-Identifier: Apache-2.0
"""The distribution that pose networks learn from."""

import numpy as np
import pytest

from solver_core import rotations
from solver_core.errors import ConfigError
from solver_core.mesh_library import MeshEntry
from solver_core.problems.pose.metrics import is_outlier, loss_inputs, measure
from solver_core.problems.pose.observation import overlap
from solver_core.problems.pose.sampler import (
    PoseSampler,
    PoseSampling,
    draw_poses,
    make_sampler,
    outline_mesh,
)
from solver_core.views import CAMERA_DISTANCE

VARIED = PoseSampling(
    canonical=0.3, tumbled=0.2, other_categories=0.5, max_stretch=1.3, varied_perspective=0.5, cut=0.3, resolutions=(64, 96)
)


@pytest.fixture
def sampler(chair):
    return PoseSampler([MeshEntry("a", "s", "chair", chair), MeshEntry("b", "s", "other", chair)], VARIED)


def test_same_generator_state_gives_the_same_samples(sampler):
    first, second = (sampler.draw(np.random.default_rng(4), 6) for _ in range(2))

    np.testing.assert_allclose(first.x0, second.x0, atol=1e-6)
    np.testing.assert_allclose(first.observation.coverage, second.observation.coverage, atol=1e-6)


def test_truth_explains_the_observation(sampler, rng):
    samples = sampler.draw(rng, 12)
    rows = np.arange(12)

    energy = samples.problem.energy(samples.problem.forward(samples.x_true, rows), samples.observation, rows)

    wrong = samples.problem.energy(samples.problem.forward(samples.x0, rows), samples.observation, rows)
    assert np.median(energy) < 0.3  # half a pixel of the cut of 1.4: a 64-pixel mask seen in a 64-pixel crop
    assert np.median(wrong) > 2 * np.median(energy)


def test_truth_lies_within_the_protocols_bounds(rng):
    start, truth = draw_poses(PoseSampling(), rng, 2000)

    angle_deg = np.degrees(rotations.angle_between(start[:, :4], truth[:, :4]))
    assert 39 < angle_deg.max() <= 40.001
    assert np.mean(angle_deg) == pytest.approx(20, abs=1)
    assert np.abs(truth[:, 4:] - [0, 0, -CAMERA_DISTANCE]).max() <= 0.2


def test_canonical_start_is_seen_from_azimuth_and_elevation_30(rng):
    start, _ = draw_poses(PoseSampling(canonical=1.0), rng, 3)

    camera_direction_object = rotations.rotate(rotations.inverse(start[:, :4]), np.array([0.0, 0.0, 1.0]))

    expected = [np.cos(np.pi / 6) * np.sin(np.pi / 6), -(np.cos(np.pi / 6) ** 2), np.sin(np.pi / 6)]
    np.testing.assert_allclose(camera_direction_object, np.tile(expected, (3, 1)), atol=1e-9)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"colour": 1}, "'colour'"),
        ({"damage": {"colour": 1}}, "'colour'"),
        ({"damage": {"hole": True}}, "hole in .sampling.damage. must be a number"),
        ({"resolutions": [64, "big"]}, "resolutions in .sampling. must be a list, each a whole number"),
        ({"max_shift": float("inf")}, "max_shift in .sampling. must be a number"),
    ],
    ids=str,
)
def test_wrong_setting_is_refused_by_name(tmp_path, settings, words):
    with pytest.raises(ConfigError, match=words):
        make_sampler(tmp_path, "train", settings)


def test_samples_of_one_view_share_the_mesh_and_differ_in_start_and_damage(chair, rng):
    sampling = PoseSampling(per_view=4, damage={"hidden": 1.0, "marked": 0.0})
    sampler = PoseSampler([MeshEntry("a", "s", "chair", chair)], sampling)

    samples = sampler.draw(rng, 4)

    angle_deg = np.degrees(rotations.angle_between(samples.x0[:, None, :4], samples.x0[None, :, :4]))
    assert angle_deg[np.triu_indices(4, 1)].min() > 0.1
    assert len(np.unique(samples.observation.coverage.reshape(4, -1), axis=0)) > 1
    assert len({id(mesh) for mesh in samples.problem.meshes}) == 1


def test_wrong_focal_length_leaves_the_truth_where_the_object_is_seen_as_large(chair):
    sampling = PoseSampling(wrong_focal=1.0, focal_error=1.3, resolutions=(192,), max_shift=0.0)
    sampler = PoseSampler([MeshEntry("a", "s", "chair", chair)], sampling)

    samples = sampler.draw(np.random.default_rng(3), 20)

    rows = np.arange(20)
    mask = np.isfinite(samples.problem.forward(samples.x_true, rows))
    assert (1 - overlap(mask, samples.observation)).max() < 0.25  # perspective differs, thin legs move by a pixel
    distances = np.linalg.norm(samples.x_true[:, 4:], axis=1)
    assert distances.min() < 0.9 * CAMERA_DISTANCE < 1.1 * CAMERA_DISTANCE < distances.max()


def test_box_of_an_outline_mesh_is_that_of_the_mesh(chair, rng):
    outline = outline_mesh(chair)

    directions = rng.normal(size=(3, 50))
    np.testing.assert_allclose(
        (outline.vertices @ directions).max(axis=0), (chair.vertices @ directions).max(axis=0), atol=0.02
    )


def test_errors_of_the_truth_are_zero_and_its_target_too(sampler, rng):
    samples = sampler.draw(rng, 3)
    rows = np.arange(3)

    errors = measure(samples.problem, samples.x_true, samples.x_true, rows)
    target = loss_inputs(samples.problem, samples.x_true, samples.x_true, rows)["target"]

    assert errors["rotation_deg"].max() < 1e-5
    assert errors["translation"].max() == 0
    np.testing.assert_allclose(target, 0, atol=1e-6)


@pytest.mark.parametrize(("rotation_deg", "translation", "expected"), [(29, 0.19, False), (31, 0, True), (0, 0.21, True)])
def test_outlier_is_a_large_rotation_or_translation(rotation_deg, translation, expected):
    assert is_outlier(np.array(rotation_deg), np.array(translation)) == expected
