# SPDX-License-Identifier: Apache-2.0
"""What the table of photographs with a second sun counts."""

from types import SimpleNamespace

import numpy as np
import pytest

from training.paper.tables.light_several import _measured, summary

ALONG = np.eye(3)


def test_suns_are_counted_against_the_nearest_that_were_found():
    scene = SimpleNamespace(direction=ALONG[0], second=ALONG[1])

    angle, second, within, second_within, lamps, *_ = _measured(
        scene, np.array([ALONG[1], ALONG[0]]), np.array([1.0, 2.0]), False, 0.1, 1.0
    )

    assert (angle, second, lamps) == pytest.approx((0, 0, 2), abs=1e-4)
    assert within == second_within == 1


def test_a_second_sun_that_was_not_found_is_none_within():
    scene = SimpleNamespace(direction=ALONG[0], second=ALONG[1])
    one = _measured(scene, ALONG[:1], np.array([1.0]), True, 0.1, 1.0)
    two = _measured(scene, ALONG[:2], np.array([1.0, 1.0]), False, 0.1, 1.0)

    row = summary(np.array([one, two]))

    assert row["second_found_percent"] == row["two_lamps_percent"] == row["noticed_percent"] == pytest.approx(50)
    assert row["within_uncertainty_percent"] == pytest.approx(100)
