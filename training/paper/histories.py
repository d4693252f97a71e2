# SPDX-License-Identifier: Apache-2.0
"""Errors along a solve, against time and the number of steps, and over samples, by start and by rank."""

from __future__ import annotations

import numpy as np

TIMES_MS = np.geomspace(1e-2, 1e6, 321)  # milliseconds a sample, 6 percent apart


def at_times(seconds: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """(B, 321) error at each of TIMES_MS: of the last iteration that was finished by then, or else of the start.

    seconds: (T,) a sample needs up to each iteration, the start first.  errors: (T, B).
    """
    finished = np.searchsorted(1000 * seconds, TIMES_MS, side="right") - 1
    return errors[np.maximum(finished, 0)].T


def where_it_changes(curve: np.ndarray) -> tuple[list[float], list[float]]:
    """Milliseconds and values of a curve (321,) over TIMES_MS, from the first change to the last, for a plot."""
    changes = np.flatnonzero(np.diff(curve))
    first, last = (changes[0], changes[-1] + 1) if len(changes) else (0, 0)
    return TIMES_MS[first : last + 1].tolist(), curve[first : last + 1].tolist()


def at_steps(errors: np.ndarray, count: int) -> np.ndarray:
    """(B, count) error after 0, 1, ... steps of errors (T, B), the last one held."""
    return errors[np.minimum(np.arange(count), len(errors) - 1)].T


def time_to_ms(curve: np.ndarray, error: float) -> float:
    """Milliseconds from which on a curve (321,) over TIMES_MS is at most this error; infinite if it never is."""
    above = np.flatnonzero(curve > error)
    first = 0 if len(above) == 0 else above[-1] + 1
    return float(TIMES_MS[first]) if first < len(curve) else float("inf")


def times_sooner(ours: np.ndarray, other: np.ndarray, tolerance: float) -> float:
    """How many times earlier one curve (321,) over TIMES_MS is as good as another one ends, times the tolerance."""
    error = tolerance * other[-1]
    return time_to_ms(other, error) / time_to_ms(ours, error)


def success_by_start(start_errors: np.ndarray, is_solved: np.ndarray, num_bins: int = 8) -> tuple[list[float], list[float]]:
    """Middle of each of some equally full bins of start errors (B,), and the percentage of samples solved in it."""
    bins = np.array_split(np.argsort(start_errors), min(num_bins, len(start_errors)))
    return (
        [float(np.median(start_errors[rows])) for rows in bins],
        [float(100 * np.mean(is_solved[rows])) for rows in bins],
    )


def best_median_worst(errors: np.ndarray) -> dict[str, int]:
    """The samples of least, middle and largest error (B,), for a gallery."""
    ranked = np.argsort(errors, kind="stable")
    return {"best": int(ranked[0]), "median": int(ranked[len(ranked) // 2]), "worst": int(ranked[-1])}
