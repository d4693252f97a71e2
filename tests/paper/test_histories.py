# SPDX-License-Identifier: Apache-2.0
"""Errors along a solve."""

import numpy as np
import pytest

from training.paper.histories import (
    TIMES_MS,
    at_steps,
    at_times,
    best_median_worst,
    success_by_start,
    time_to_ms,
    times_sooner,
    where_it_changes,
)

SECONDS = np.array([0.0, 0.010, 0.100])
ERRORS = np.array([[8.0, 6.0], [4.0, 2.0], [1.0, 0.0]])  # (T, B)


def test_error_at_a_time_is_that_of_the_last_finished_iteration():
    by_time = at_times(SECONDS, ERRORS)

    assert by_time.shape == (2, len(TIMES_MS))
    np.testing.assert_array_equal(by_time[:, TIMES_MS < 9], np.tile([[8.0], [6.0]], int((TIMES_MS < 9).sum())))
    np.testing.assert_array_equal(by_time[:, [np.searchsorted(TIMES_MS, 50)]], [[4.0], [2.0]])
    np.testing.assert_array_equal(by_time[:, -1], [1.0, 0.0])


def test_last_error_is_held_when_there_are_fewer_steps():
    np.testing.assert_array_equal(at_steps(ERRORS, 5), [[8, 4, 1, 1, 1], [6, 2, 0, 0, 0]])


def test_time_to_an_error_is_when_it_stays_below():
    curve = at_times(SECONDS, ERRORS).mean(axis=0)

    assert 10 <= time_to_ms(curve, 3.0) < 10.7  # the times are 6 percent apart
    assert time_to_ms(curve, 0.1) == np.inf
    assert time_to_ms(curve, 9.0) == TIMES_MS[0]


def test_earlier_is_counted_until_as_good_as_the_other_ends():
    slow, quick = (at_times(seconds, ERRORS).mean(axis=0) for seconds in (SECONDS, SECONDS / 10))
    better = quick - 0.1

    assert times_sooner(quick, slow, 1.01) == pytest.approx(10, rel=0.06)
    assert times_sooner(slow, better, 1.01) == 0  # never as good
    assert times_sooner(slow, slow, 1.01) == 1


def test_curve_for_a_plot_starts_and_ends_with_its_changes():
    times, mean = where_it_changes(at_times(SECONDS, ERRORS).mean(axis=0))

    assert (mean[0], mean[1], mean[-2], mean[-1]) == (7.0, 3.0, 3.0, 0.5)
    assert times[0] < 10 <= times[1]
    assert times[-2] < 100 <= times[-1]


def test_success_is_counted_in_equally_full_bins():
    start = np.array([4.0, 1.0, 3.0, 2.0])

    middles, percent = success_by_start(start, np.array([False, True, True, True]), num_bins=2)

    assert middles == [1.5, 3.5]
    assert percent == [100.0, 50.0]


def test_best_median_and_worst_are_found():
    assert best_median_worst(np.array([3.0, 1.0, 9.0, 2.0, 8.0])) == {"best": 1, "median": 0, "worst": 2}
