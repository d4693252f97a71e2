# SPDX-License-Identifier: Apache-2.0
"""What the table of photographs counts."""

import numpy as np
import pytest

from training.paper.tables.photo import mask_summary, pose_summary


def test_poses_are_right_within_degrees_and_diagonals_and_good_ones_are_held_against_that():
    degrees, translation = [1.0, 6.0, 2.0, 0.5], [0.01, 0.01, 0.06, 0.02]
    good, seconds = [1.0, 1.0, 0.0, 0.0], [1.0, 2.0, 3.0, 4.0]

    row = pose_summary(np.array([degrees, translation, good, seconds]).T)

    assert row["right_percent"] == pytest.approx(50)
    assert row["good_percent"] == pytest.approx(50)
    assert row["good_but_wrong_percent"] == pytest.approx(25)
    assert row["median_s"] == pytest.approx(2.5)


def test_masks_are_good_from_an_overlap_of_97_percent_on():
    row = mask_summary(np.array([[0.96, 0.97, 0.99, 0.5], [1.0, 1.0, 1.0, 1.0]]).T)

    assert row["iou_97_percent"] == pytest.approx(50)
    assert row["iou_mean"] == pytest.approx(0.855)
