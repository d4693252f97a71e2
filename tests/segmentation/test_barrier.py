# SPDX-License-Identifier: Apache-2.0
"""How far colours change on the way to a pixel."""

import heapq

import numpy as np

from solver_core.segmentation.barrier import barrier_distance


def shortest_by_search(values: np.ndarray, source: tuple[int, int]) -> np.ndarray:
    """(H, W) the least range of values (H, W) on a way from a pixel: for each least value, the way with the lowest highest."""
    height, width = values.shape
    best = np.full(values.shape, np.inf)
    for lowest in np.unique(values[values <= values[source]]):
        highest = np.full(values.shape, np.inf)
        highest[source] = values[source]
        queue = [(values[source], source)]
        while queue:
            high, (row, column) = heapq.heappop(queue)
            for near in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
                if 0 <= near[0] < height and 0 <= near[1] < width and values[near] >= lowest:
                    found = max(high, values[near])
                    if found < highest[near]:
                        highest[near] = found
                        heapq.heappush(queue, (found, near))
        best = np.minimum(best, highest - lowest)
    return best


def at(row: int, column: int, size: tuple[int, int]) -> np.ndarray:
    pixels = np.zeros(size, bool)
    pixels[row, column] = True
    return pixels


def test_distance_is_the_least_range_of_values_on_a_way(rng):
    values = rng.uniform(size=(9, 11)).round(1)

    found = barrier_distance(values[..., None], at(4, 5, values.shape))
    truth = shortest_by_search(values, (4, 5))

    assert (found > truth - 1e-6).all()
    assert np.mean(found - truth) < 0.08  # sweeps remember one way to a pixel, which is not always the best beyond it


def test_noise_does_not_add_up_but_an_edge_counts(rng):
    values = rng.uniform(-0.01, 0.01, (60, 80, 3))
    values[20:40, 30:50] += 0.5

    found = barrier_distance(values, at(0, 0, (60, 80)))
    inside = found[20:40, 30:50]

    assert inside.min() > 3 * 0.48
    assert np.delete(found, np.s_[20:40], axis=0).max() < 3 * 0.021


def test_ways_run_around_what_is_in_between():
    values = np.zeros((20, 20, 1))
    values[5, 2:] = values[10, :-2] = 1  # walls of a winding passage

    found = barrier_distance(values, at(0, 19, (20, 20)))

    assert (found[values[..., 0] == 0] == 0).all()
    assert (found[values[..., 0] == 1] == 1).all()


def test_without_sources_nothing_is_near():
    assert np.isinf(barrier_distance(np.zeros((4, 5, 3)), np.zeros((4, 5), bool))).all()
