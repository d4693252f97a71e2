# SPDX-License-Identifier: Apache-2.0
"""The average fit of the outline, and how far the mask's edge lies off."""

import numpy as np
import pytest

from solver_core import render
from solver_core.loop import solve
from solver_core.manifolds import SE3
from solver_core.problems.pose.refine import refine_levels
from solver_core.problems.pose.settle import MUCH_BETTER, SETTLE_LOOP, fit_of, settling_update

TURNED = np.array([[0.02, -0.015, 0.02, 0.003, -0.002, 0.01]])


def settled(case, mask, has_offset):
    level = refine_levels(case.mesh, mask.astype(np.float32), case.camera)[0]
    x0 = SE3().retract(case.truth[None], TURNED)
    return level, solve(level.problem, settling_update(level, has_offset), level.observation, x0, SETTLE_LOOP).x


def turn_deg(x, case) -> float:
    return float(np.degrees(np.linalg.norm(SE3().difference(x, case.truth[None])[0, :3])))


def test_pose_near_the_truth_settles_on_it(chair_case):
    _, x = settled(chair_case, chair_case.mask, has_offset=False)

    assert turn_deg(x, chair_case) < 0.3  # of 1.8 degrees; the chair is 70 pixels high


@pytest.mark.parametrize("grown_px", [1.5, -0.8])
def test_offset_of_the_edge_is_found_with_the_pose(chair_case, grown_px):
    mask = render.signed_distance(chair_case.mask[None])[0] < grown_px

    level, with_offset = settled(chair_case, mask, has_offset=True)
    _, without = settled(chair_case, mask, has_offset=False)

    fit = fit_of(level, with_offset[0], has_offset=True)
    assert fit.offset_px == pytest.approx(grown_px, abs=0.5)
    assert fit.outline < MUCH_BETTER * fit_of(level, without[0], has_offset=False).outline
    assert abs(with_offset[0, 6] - chair_case.truth[6]) < abs(without[0, 6] - chair_case.truth[6])
