# SPDX-License-Identifier: Apache-2.0
"""What the table about lights' uncertainty and verdict counts."""

import numpy as np
import pytest

from training.paper.tables.light_trust import summary


def test_summary_counts_what_was_said_of_right_and_wrong_lights():
    errors = {
        "angle_deg": [1.0, 2.0, 9.0, 20.0],
        "nearest_deg": [1.0, 2.0, 9.0, 3.0],
        "uncertainty_deg": [2.0, 1.0, 10.0, 10.0],
        "is_good": [1.0, 0.0, 1.0, 0.0],
        "seconds": [0.1, 0.2, 0.3, 0.4],
    }

    row = summary({name: np.array(values) for name, values in errors.items()})

    assert row["num_samples"] == 4
    assert row["wrong_percent"] == pytest.approx(50)
    assert row["wrong_but_listed_percent"] == pytest.approx(25)
    assert row["within_uncertainty_percent"] == pytest.approx(50)
    assert row["wrong_of_good_percent"] == pytest.approx(50)
    assert row["right_not_good_percent"] == pytest.approx(50)
