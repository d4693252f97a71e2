# SPDX-License-Identifier: Apache-2.0
"""How sure a pose is, and how far off it may be."""

import numpy as np
import pytest

import solver_core as sc
from solver_core.frames import matrix_from_pose, pose_from_matrix
from solver_core.manifolds import SE3
from solver_core.problems.pose.confidence import NORMAL_90, calibrated, confidence
from solver_core.problems.pose.evidence import Evidence
from solver_core.problems.pose.verdict import judge

CLEAN = Evidence(
    iou=0.99, outline=0.03, unexplained=0.005, hidden=0.005, inliers=1.0, edge_px=0.0, energy=0.035, gap=0.3, size_px=80.0,
    rotation_deg=0.2, across=0.0005, along=0.002,
)  # fmt: skip


def solve(case, **inputs):
    return sc.solve_pose(
        case.mask, case.mesh.vertices, case.mesh.faces, case.camera, start=matrix_from_pose(case.start), **inputs
    )


@pytest.mark.parametrize(
    "worse",
    [
        {"outline": 0.5},
        {"unexplained": 0.2},
        {"inliers": 0.5},
        {"gap": 0.0},
        {"outline": 0.5, "unexplained": 0.2, "inliers": 0.5, "gap": 0.0},
    ],
)
def test_evidence_against_a_pose_never_makes_it_surer(worse):
    before, after = confidence(CLEAN), confidence(CLEAN._replace(**worse))

    assert after.probability <= before.probability
    assert after.interval.rotation_deg >= before.interval.rotation_deg


def test_nothing_that_fits_is_improbable_and_a_clean_fit_is_not():
    nothing = {"outline": 1.0, "unexplained": 0.9, "hidden": 0.9, "inliers": 0.0, "gap": 0.0}

    assert confidence(CLEAN._replace(**nothing)).probability < 0.3
    assert confidence(CLEAN).probability > 0.95


def test_covariance_is_made_as_wide_as_the_interval():
    allowed = np.diag([1.0, 1, 1, 4, 4, 9]) * 1e-6
    evidence = CLEAN._replace(rotation_deg=float(np.degrees(np.sqrt(3e-6))), across=np.sqrt(8e-6), along=np.sqrt(9e-6))
    interval = confidence(evidence).interval

    covariance = calibrated(allowed, evidence, interval)

    deviations = [np.degrees(np.sqrt(np.trace(covariance[:3, :3]))), np.sqrt(np.trace(covariance[3:5, 3:5]))]
    np.testing.assert_allclose(np.array(deviations) * NORMAL_90, interval[:2], rtol=1e-6)


def test_interval_of_a_clean_mask_holds_the_truth_and_scales_with_the_mesh(chair_case):
    result = solve(chair_case)
    mesh = chair_case.mesh
    start = matrix_from_pose(chair_case.start)
    start[:3, 3] *= 1000
    scaled = sc.solve_pose(chair_case.mask, mesh.vertices * 1000.0, mesh.faces, chair_case.camera, start=start)

    step = SE3().difference(pose_from_matrix(result.camera_from_object), chair_case.truth)
    assert np.degrees(np.linalg.norm(step[:3])) < 1.5 * result.interval.rotation_deg  # nine of ten are within 1
    assert result.confidence > 0.9
    assert scaled.interval.along == pytest.approx(1000 * result.interval.along, rel=0.2)  # float32 vertices, other pixels


def test_pose_of_another_object_is_not_sure(chair_case, rng):
    blobs = np.zeros_like(chair_case.mask)
    for row, column in rng.integers(20, 100, size=(12, 2)):
        blobs[row : row + 18, column : column + 14] = True

    result = solve(chair_case._replace(mask=blobs))

    assert result.confidence < 0.5
    assert result.verdict is not sc.Verdict.GOOD


@pytest.mark.parametrize(("factor", "said"), [(0.9, "a focal length of 90% of the given one"), (1.002, "another focal length")])
def test_focal_length_that_fits_better_is_said_in_words_that_make_sense(factor, said):
    judgement = judge(np.ones((40, 40)), CLEAN, 0.99, 0, focal_factor=factor)

    assert judgement.verdict is sc.Verdict.DOUBTFUL
    assert f"but {said} explains the mask better" in judgement.explanation
