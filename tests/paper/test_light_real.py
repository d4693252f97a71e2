# SPDX-License-Identifier: Apache-2.0
"""What the table of suns in photographs counts."""

import numpy as np
import pytest

from training.paper.tables.light_real import summary

ANGLE, STRENGTH, SKY, IMAGE = [1.0, 2.0, 6.0, 20.0], [0.1, 0.1, 0.3, 0.3], [0.0, 0.0, 0.1, 0.1], [0.05] * 4
UNCERTAINTY, GOOD, SECONDS = [2.0, 1.0, 10.0, 10.0], [1.0, 0.0, 1.0, 0.0], [0.1, 0.2, 0.3, 0.4]


def test_summary_counts_what_was_found_and_said():
    row = summary(np.array([ANGLE, STRENGTH, SKY, IMAGE, UNCERTAINTY, GOOD, SECONDS]).T)

    assert row["wrong_percent"] == pytest.approx(50)
    assert row["strength_off_median_percent"] == pytest.approx(20)
    assert row["sky_off_mean_percent_of_sun"] == pytest.approx(5)
    assert row["within_uncertainty_percent"] == pytest.approx(50)
    assert row["wrong_of_good_percent"] == pytest.approx(50)


def test_a_method_that_says_nothing_of_its_uncertainty_has_no_such_numbers():
    row = summary(np.array([ANGLE, STRENGTH, SKY, IMAGE, [np.nan] * 4, GOOD, SECONDS]).T)

    assert row["angle_median_deg"] == pytest.approx(4)
    assert "good_percent" not in row
