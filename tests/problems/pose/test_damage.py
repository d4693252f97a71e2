# SPDX-License-Identifier: Apache-2.0
"""Masks damaged as real ones are."""

import numpy as np
import pytest

from solver_core.problems.pose.damage import (
    BOX,
    ELLIPSE,
    MAX_HIDDEN,
    STRIP,
    MaskDamage,
    damage_masks,
    longer_sides,
    moved_edges,
    shapes,
    smooth_noise,
)


@pytest.fixture
def masks():
    """Sixty boxes of 40 x 24 pixels."""
    masks = np.zeros((60, 64, 72), dtype=bool)
    masks[:, 12:52, 20:44] = True
    return masks


def test_no_damage_changes_nothing(masks, rng):
    damaged, known = damage_masks(masks, MaskDamage(), rng)

    np.testing.assert_array_equal(damaged, masks)
    assert known is None


def test_hidden_parts_are_missing_and_a_share_of_them_is_marked(masks, rng):
    damaged, known = damage_masks(masks, MaskDamage(hidden=1.0, marked=0.5), rng)

    assert not (damaged & ~masks).any()
    missing = masks.sum(axis=(1, 2)) - damaged.sum(axis=(1, 2))
    assert missing.max() <= MAX_HIDDEN * 40 * 24
    assert np.mean(missing > 0) > 0.6
    is_marked = ~known.all(axis=(1, 2))
    assert 0.2 < is_marked.mean() < 0.7
    assert not (masks & ~damaged & known)[is_marked].any()  # what is missing there is what is marked


@pytest.mark.parametrize(("damage", "sign"), [(MaskDamage(hole=1.0), -1), (MaskDamage(blob=1.0), 1)])
def test_holes_take_away_and_blobs_add(masks, rng, damage, sign):
    damaged, _ = damage_masks(masks, damage, rng)

    change = sign * (damaged.sum(axis=(1, 2)) - masks.sum(axis=(1, 2)))
    assert change.min() >= 0
    assert 0 < np.median(change) < 0.2 * 40 * 24


def test_grown_edges_move_by_the_offset(masks, rng):
    grown = moved_edges(masks, np.full(60, 2.0), np.zeros(60), 5.0, rng)

    np.testing.assert_array_equal(longer_sides(grown), longer_sides(masks) + 4)


def test_trembling_edges_move_by_their_strength(masks, rng):
    moved = moved_edges(masks, np.zeros(60), np.full(60, 1.5), 4.0, rng)

    top = np.argmax(moved[:, :, 24:40], axis=1) - 12.0  # by column, the box's corners left out
    assert 0.8 < top.std() < 2.5
    assert abs(top.mean()) < 0.8


def test_noise_has_deviation_one_and_is_smooth(rng):
    noise = smooth_noise(rng, 20, 64, 64, 8.0)

    assert noise.std() == pytest.approx(1, abs=0.1)
    assert np.abs(np.diff(noise, axis=2)).mean() < 0.2


def test_shapes_have_the_area_of_their_kind():
    centre, radii = np.full((3, 2), 50.0), np.tile([20.0, 10.0], (3, 1))

    box, ellipse, strip = shapes(np.array([BOX, ELLIPSE, STRIP]), centre, radii, np.array([0.5, 0.5, 0.0]), 100, 100).sum(
        axis=(1, 2)
    )

    assert box == pytest.approx(800, rel=0.03)
    assert ellipse == pytest.approx(np.pi * 200, rel=0.03)
    assert strip == 2000
