# SPDX-License-Identifier: Apache-2.0
"""What the table of suns by kinds of scenes counts."""

import numpy as np
import pytest

from training.paper.tables.light_scenes import summary

ANGLE, STRENGTH, COLOUR, IMAGE = [1.0, 2.0, 6.0, 20.0], [0.1, 0.1, 0.3, 0.3], [0.0, 0.0, 0.1, 0.1], [0.05] * 4
UNCERTAINTY, GOOD, SECONDS = [2.0, 1.0, 10.0, 10.0], [1.0, 0.0, 1.0, 0.0], [0.1, 0.2, 0.3, 0.4]
TRUE_SIZE, SIZE, LOW, HIGH = [0.5, 4.0, 8.0, 16.0], [2.0, 4.4, 16.0, 8.0], [1.0, 3.0, 9.0, 4.0], [3.0, 6.0, 30.0, 20.0]
NONE = [np.nan] * 4


def test_summary_counts_what_was_found_and_said():
    row = summary(np.array([ANGLE, STRENGTH, COLOUR, IMAGE, UNCERTAINTY, GOOD, TRUE_SIZE, SIZE, LOW, HIGH, SECONDS]).T)

    assert row["wrong_percent"] == pytest.approx(50)
    assert row["strength_off_median_percent"] == pytest.approx(20)
    assert row["color_off_median_percent"] == pytest.approx(5)
    assert row["within_uncertainty_percent"] == pytest.approx(50)
    assert row["wrong_of_good_percent"] == pytest.approx(50)


def test_sizes_count_by_their_ratio_where_the_sun_is_wide_enough_to_be_told():
    row = summary(np.array([ANGLE, STRENGTH, COLOUR, IMAGE, UNCERTAINTY, GOOD, TRUE_SIZE, SIZE, LOW, HIGH, SECONDS]).T)

    assert row["size_found_percent"] == pytest.approx(100 / 3)  # of three: the first sun is too small
    assert row["size_off_median_percent"] == pytest.approx(100)
    assert row["size_within_interval_percent"] == pytest.approx(200 / 3)


def test_a_method_that_says_nothing_of_its_uncertainty_and_size_has_no_such_numbers():
    row = summary(np.array([ANGLE, STRENGTH, COLOUR, IMAGE, NONE, GOOD, TRUE_SIZE, NONE, NONE, NONE, SECONDS]).T)

    assert row["angle_median_deg"] == pytest.approx(4)
    assert not {"good_percent", "size_found_percent"} & set(row)
