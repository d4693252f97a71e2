# SPDX-License-Identifier: Apache-2.0
"""How masks are damaged for the table, and how the confidence of poses is fitted."""

import numpy as np
import pytest

pytest.importorskip("trimesh")
pytest.importorskip("pyrender", exc_type=ImportError)
pytest.importorskip("scipy")

from solver_core.problems.pose.confidence import FEATURES
from solver_core.problems.pose.damage import BOX, ELLIPSE
from training.paper.calibrate_pose import QUANTILE, RIDGE, fitted_quantile, fitted_weights
from training.paper.tables.damaged import SHARE_TOLERANCE, blob, hidden_by, hole, moved_edge


@pytest.fixture
def mask():
    mask = np.zeros((96, 96), dtype=bool)
    mask[20:76, 30:70] = True
    mask[40:60, 70:85] = True
    return mask


@pytest.mark.parametrize("shape", [BOX, ELLIPSE])
@pytest.mark.parametrize("share", [0.1, 0.4])
def test_shape_hides_the_share_of_the_mask_that_is_asked_for(mask, rng, shape, share):
    hidden = hidden_by(shape, share)(mask, rng)

    assert (hidden & mask).sum() / mask.sum() == pytest.approx(share, abs=SHARE_TOLERANCE)


def test_hole_takes_from_the_mask_and_blob_adds_to_it(mask, rng):
    with_hole, with_blob = hole(0.03)(mask, rng), blob(0.03)(mask, rng)

    assert not (with_hole & ~mask).any()
    assert (mask & ~with_hole).sum() / mask.sum() == pytest.approx(0.03, abs=SHARE_TOLERANCE)
    assert not (mask & ~with_blob).any()
    assert (with_blob & ~mask).sum() / mask.sum() == pytest.approx(0.03, abs=0.01)


@pytest.mark.parametrize("offset_px", [2.0, -2.0])
def test_edge_moves_by_whole_pixels_all_round(mask, rng, offset_px):
    moved = moved_edge(offset_px, 0.0)(mask, rng)

    rows = np.flatnonzero(moved[:, 40])
    assert (rows[0], rows[-1]) == (20 - offset_px, 75 + offset_px)


def test_weights_of_what_speaks_against_a_pose_are_not_positive(rng):
    inputs = np.column_stack([rng.normal(size=(400, len(FEATURES))), np.ones(400)])
    inputs[:, 0] *= 3
    is_right = rng.uniform(size=400) < 1 / (1 + np.exp(inputs[:, 0] - inputs[:, 1]))  # the second seems to speak for it

    weights = fitted_weights(inputs, is_right, FEATURES, RIDGE)

    assert weights[0] == pytest.approx(-1, abs=0.35)  # 400 samples
    assert weights[1] == 0


def test_quantile_lies_above_nine_of_ten(rng):
    inputs = np.column_stack([rng.normal(size=500), rng.normal(size=500), np.ones(500)])
    log_error = inputs[:, 0] + rng.normal(size=500)

    factors = fitted_quantile(inputs, log_error)

    assert np.mean(log_error <= inputs @ factors) == pytest.approx(QUANTILE, abs=0.02)
    assert factors[0] == pytest.approx(1, abs=0.3)
