# SPDX-License-Identifier: Apache-2.0
"""The average fit of the outline, and how far the mask's edge lies off."""

import numpy as np
import pytest

from solver_core import render
from solver_core.frames import Camera, matrix_from_pose
from solver_core.kernel.contour import contour_points
from solver_core.loop import solve
from solver_core.manifolds import SE3
from solver_core.mesh import Mesh
from solver_core.problems.pose.damage import moved_edges
from solver_core.problems.pose.refine import refine_levels
from solver_core.problems.pose.settle import (
    ROW,
    SETTLE_LOOP,
    Smoothing,
    fit_of,
    settling_update,
    smoothing,
    smoothing_update,
)
from solver_core.problems.pose.solve import solve_pose
from tests.problems.pose.conftest import BOX_CORNERS, BOX_FACES, make_case

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
    assert fit.needs_offset(fit_of(level, without[0], has_offset=False))
    assert abs(with_offset[0, 6] - chair_case.truth[6]) < abs(without[0, 6] - chair_case.truth[6])


LARGE = Camera.from_fov(480, 480, np.radians(30))


@pytest.fixture
def large_case(chair, chair_case):
    """The chair about 240 pixels high."""
    return make_case(chair, LARGE, chair_case.truth, TURNED[0])


@pytest.fixture
def box_case(chair_case):
    """A box of about the same size: nothing in its mask is thin."""
    box = Mesh.checked(BOX_CORNERS * [0.5, 0.35, 0.25], BOX_FACES).unit().mesh
    return make_case(box, LARGE, chair_case.truth, TURNED[0])


@pytest.mark.parametrize("grown_px", [2.0, -2.0])
def test_edge_that_lies_off_does_not_move_a_compact_object_in_depth(box_case, grown_px):
    mask = render.signed_distance(box_case.mask[None])[0] < grown_px
    box, start = box_case.mesh, matrix_from_pose(box_case.start)

    result = solve_pose(mask, box.vertices, box.faces, box_case.camera, start)

    # With an edge that is taken at its word the box is 0.04 diagonals too near or too far, and fits nearly as well.
    assert -result.camera_from_object[2, 3] == pytest.approx(-box_case.truth[6], abs=0.01)
    assert any(f"edge lies {abs(grown_px)} pixels" in note for note in result.notes)


def ragged(case, seed):
    """Its mask with an edge that is off by 4 pixels at random, the next value 6 pixels on."""
    rng = np.random.default_rng(seed)
    return moved_edges(case.mask[None], np.zeros(1), np.full(1, 4.0), 6.0, rng)[0]


def fine_level(case, mask):
    return refine_levels(case.mesh, mask.astype(np.float32), case.camera)[-1]


def test_smoothing_leaves_the_outline_of_a_right_pose_where_it_is(large_case):
    problem, observation = fine_level(large_case, large_case.mask)
    truth = large_case.truth[None]
    depth = problem.forward(truth, ROW)

    distance = Smoothing(observation, 6.0).before(depth).distance

    points = contour_points(truth[:, 4:], depth, distance, observation.evidence, problem.intrinsics)
    assert np.abs(points.residual).max() < 1.0  # corners and bars of 9 pixels are smoothed away by several pixels
    assert abs(np.average(points.residual, weights=points.weight)) < 0.05


def test_clean_masks_are_not_smoothed(large_case):
    assert smoothing(fine_level(large_case, large_case.mask), large_case.truth) is None


def test_ragged_edges_are_smoothed_to_a_better_pose(box_case):
    errors = []
    for seed in range(4):
        level = fine_level(box_case, ragged(box_case, seed))
        x0 = SE3().retract(box_case.truth[None], TURNED)
        plain = solve(level.problem, settling_update(level, has_offset=False), level.observation, x0, SETTLE_LOOP).x
        smoothed = smoothing(level, plain[0])
        assert smoothed is not None
        x = solve(level.problem, smoothing_update(level, smoothed), level.observation, plain, SETTLE_LOOP).x
        errors.append([turn_deg(plain, box_case), turn_deg(x, box_case)])

    without, with_smoothing = np.mean(errors, axis=0)
    assert with_smoothing < 0.8 * without
