# SPDX-License-Identifier: Apache-2.0
"""Masks of objects that the image's border cuts off."""

import numpy as np
import pytest

import solver_core as sc
from solver_core import rotations
from solver_core.frames import Camera, matrix_from_pose, pose_from_matrix
from solver_core.problems.pose import solve
from solver_core.problems.pose.confidence import confidence
from solver_core.problems.pose.cut_off import is_cut_off, turned_poses

from .conftest import make_case

CAMERA = Camera(160, 120, 230.0, 230.0, 80.0, 60.0)
UPRIGHT = rotations.wxyz_from_rotvec(np.array([-1.1, 0.0, 0.0]))


def placed(x: float) -> np.ndarray:
    """(7,) a pose whose object is so far to the right."""
    return np.concatenate([UPRIGHT, [x, 0.0, -2.7]])


def solved(mesh, x):
    case = make_case(mesh, CAMERA, placed(x), np.array([0.05, 0.3, 0.05, 0, 0, 0.02]))
    return sc.solve_pose(case.mask, mesh.vertices, mesh.faces, CAMERA, start=matrix_from_pose(case.start))


def test_turn_that_only_the_handle_out_of_the_image_would_tell_is_not_known(cup):
    found = solved(cup, 0.8)

    turn = rotations.angle_between(pose_from_matrix(found.camera_from_object)[None, :4], UPRIGHT[None])[0]
    assert np.degrees(turn) < found.interval.rotation_deg
    assert found.interval.rotation_deg > 5
    assert found.confidence <= 0.5
    assert found.verdict is not sc.Verdict.GOOD
    assert any("cuts the object off" in note for note in found.notes)
    assert np.degrees(np.sqrt(np.trace(found.covariance[:3, :3]))) > 2


def test_mask_wholly_in_view_is_answered_without_turns(cup, monkeypatch):
    monkeypatch.setattr(solve, "turned_poses", lambda *_: pytest.fail("it was turned"))

    found = solved(cup, 0.0)

    assert found.verdict is sc.Verdict.GOOD
    diagonal = np.linalg.norm(np.ptp(cup.vertices, axis=0))
    assert found.interval == pytest.approx(confidence(found.evidence).interval.in_unit(diagonal))
    assert not any("cuts the object off" in note for note in found.notes)


@pytest.mark.parametrize(("x", "is_cut"), [(0.0, False), (0.8, True), (-0.8, True)])
def test_object_is_cut_off_where_some_of_it_is_beyond_the_border(cup, x, is_cut):
    assert is_cut_off(placed(x), cup, CAMERA) == is_cut


def test_object_that_surrounds_the_camera_is_turned_but_never_behind_it(chair):
    around = np.concatenate([UPRIGHT, [0.0, 0.0, -0.02]])

    turned = turned_poses(around, chair, CAMERA)

    assert is_cut_off(around, chair, CAMERA)
    assert np.isfinite(turned).all()
    assert (turned[:, 6] < 0).all()
