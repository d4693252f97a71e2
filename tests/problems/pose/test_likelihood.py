# SPDX-License-Identifier: Apache-2.0
"""How badly a render explains a mask of which parts may be wrong."""

import numpy as np
import pytest

from solver_core import render
from solver_core.problems.pose.likelihood import HIDDEN_WEIGHT, misfit
from solver_core.problems.pose.observation import PoseObservation

CUT_PX = 2.0


def box(top, bottom, left, right) -> np.ndarray:
    mask = np.zeros((1, 60, 60), dtype=bool)
    mask[:, top:bottom, left:right] = True
    return mask


def observed(mask: np.ndarray, evidence: np.ndarray | None = None) -> PoseObservation:
    evidence = np.ones_like(mask) if evidence is None else evidence
    return PoseObservation(mask.astype(np.float32), evidence, render.signed_distance(mask))


def depth_of(mask: np.ndarray) -> np.ndarray:
    return np.where(mask, 1.0, np.inf).astype(np.float32)


def test_energy_is_zero_at_the_mask_and_largest_without_a_render():
    mask = box(10, 50, 20, 40)

    assert misfit(depth_of(mask), observed(mask), CUT_PX).energy[0] == 0
    assert misfit(depth_of(mask & False), observed(mask), CUT_PX).energy[0] == pytest.approx(2 + HIDDEN_WEIGHT)


def test_distance_counts_up_to_the_cut():
    mask = box(10, 50, 20, 40)

    by_shift = [misfit(depth_of(box(10, 50, 20 + px, 40 + px)), observed(mask), CUT_PX).outline[0] for px in (1, 2, 4, 8)]

    assert by_shift[0] == pytest.approx(80 / 120 / 2, abs=0.05)  # the two long sides are off by one, half of the cut
    assert by_shift[1] == pytest.approx(80 / 120, abs=0.05)
    assert by_shift[3] - by_shift[1] < 0.2


def test_hidden_object_costs_less_than_unexplained_mask():
    whole, part = box(10, 50, 20, 40), box(10, 38, 20, 40)

    hidden, unexplained = misfit(depth_of(whole), observed(part), CUT_PX), misfit(depth_of(part), observed(whole), CUT_PX)

    assert hidden.hidden[0] == pytest.approx(0.3)
    assert hidden.unexplained[0] == 0
    assert unexplained.unexplained[0] == pytest.approx(0.3)
    assert hidden.energy[0] < unexplained.energy[0]


def test_truth_of_a_part_hidden_mask_beats_the_pose_that_overlaps_most():
    whole, part = box(10, 50, 20, 40), box(10, 40, 20, 40)

    shrunk = box(10, 40, 22, 38)  # a smaller object fits the box of what is left

    assert misfit(depth_of(whole), observed(part), CUT_PX).energy < misfit(depth_of(shrunk), observed(part), CUT_PX).energy


def test_pixels_that_are_not_known_give_no_evidence():
    whole, part = box(10, 50, 20, 40), box(10, 38, 20, 40)
    known = np.ones_like(whole)
    known[:, 38:] = False

    parts = misfit(depth_of(whole), observed(part, known), CUT_PX)

    assert parts.energy[0] == 0
