# SPDX-License-Identifier: Apache-2.0
"""Scenes that the network of masks learns from: what they show is what they say."""

import numpy as np
import pytest

pytest.importorskip("scipy")
from solver_core.mesh import Mesh
from solver_core.mesh_library import MeshEntry, MeshPool
from training.masks import pictures, scenes

CORNERS = np.array([[x, y, z] for x in (-0.3, 0.3) for y in (-0.2, 0.2) for z in (-0.25, 0.25)], np.float32)
SIDES = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
BOX = Mesh(CORNERS, np.array([t for a, b, c, d in SIDES for t in ([a, b, c], [a, c, d])], np.int32))


POOL = MeshPool([MeshEntry("box", "made", "table", BOX)])


@pytest.fixture(scope="module")
def drawn():
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(scenes, "NUM_PICTURES", 2)
        scenes._pictures.cache_clear()
        yield [scene for seed in range(3) for scene in scenes.draw_scenes(np.random.default_rng(seed), POOL)]
        scenes._pictures.cache_clear()


def test_objects_fill_their_part_of_the_image(drawn):
    for scene in drawn:
        seen = np.argwhere(scene.coverage > 127)
        longest = np.ptp(seen, axis=0).max() + 1

        assert longest == pytest.approx(scenes.OBJECT_PX, abs=2)
        assert np.abs(seen.min(axis=0) + seen.max(axis=0) - scenes.SIZE + 1).max() <= 4  # in the middle


def test_starts_of_models_are_off_but_overlap(drawn):
    overlaps = []
    for scene in drawn:
        truth = scene.coverage > 127
        overlaps += [np.sum(truth & (one > 127)) / np.sum(truth | (one > 127)) for one in scene.silhouettes]

    assert min(overlaps) > 0.4
    assert max(overlaps) < 1


def test_the_same_things_look_different_in_another_light(drawn):
    first, second = drawn[:2]

    np.testing.assert_array_equal(first.coverage, second.coverage)
    assert np.abs(first.image.astype(int) - second.image).mean() > 10


def test_scenes_repeat_for_the_same_seed(drawn):
    again = scenes.draw_scenes(np.random.default_rng(0), POOL)

    np.testing.assert_array_equal(again[0].image, drawn[0].image)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_patterns_are_colours_of_every_point(dimensions, rng):
    points = rng.uniform(-1, 1, (200, dimensions))

    for _ in range(40):  # every kind comes, most of them several times
        colours = pictures.draw_pattern(rng, points, np.array([0.5, 0.4, 0.3]), 1.0)

        assert colours.shape == (200, 3)
        assert np.isfinite(colours).all()
        assert colours.min() >= 0
