# SPDX-License-Identifier: Apache-2.0
"""What users have: noise, faults, gaps, other sizes, unknown names, odd rigs."""

from pathlib import Path

import numpy as np
import pytest

from solver_core import rotations
from solver_core.problems.inverse_kinematics.files.bvh import read_bvh
from solver_core.problems.inverse_kinematics.files.targets import read_targets
from solver_core.problems.inverse_kinematics.skeleton.motion import Motion
from solver_core.problems.inverse_kinematics.solve import KinematicResult, solve_inverse_kinematics

from .conftest import positions_of

CASES = Path(__file__).resolve().parents[2] / "data" / "ik"


@pytest.fixture(scope="module")
def truth() -> Motion:
    return read_bvh(CASES.parents[2] / "assets" / "demo" / "ik_truth.bvh")


def solved(name: str, truth: Motion) -> KinematicResult:
    return solve_inverse_kinematics(read_targets(CASES / name), truth.skeleton)


def off_cm(result: KinematicResult, truth: Motion) -> np.ndarray:
    """(F, N) distances of the nodes from where they are in truth."""
    joints = truth.skeleton.joints
    found, true = (
        positions_of(truth.skeleton, wxyz[:, joints]) + root[:, None]
        for wxyz, root in ((result.rotations, result.root), (truth.rotations, truth.root))
    )
    return 100 * np.linalg.norm(found - true, axis=-1)


def steps_deg(rotation: np.ndarray) -> np.ndarray:
    """(F - 1, N) turns from frame to frame."""
    return np.degrees(rotations.angle_between(rotation[1:], rotation[:-1]))


def test_a_lost_arm_goes_on_over_time_and_the_gap_is_reported(truth):
    result = solved("arm_lost_8_frames.csv", truth)

    assert off_cm(result, truth).max() < 5
    assert result.is_bridged.sum() == 24
    assert any("LeftForeArm, LeftHand, LeftHandTip, frames 30 to 37" in notice for notice in result.notices)


def test_an_outlier_is_named_left_out_and_bends_nothing(truth):
    result = solved("one_outlier.csv", truth)

    assert off_cm(result, truth).max() < 1
    assert steps_deg(result.rotations).max() < 30
    assert np.isnan(result.position_error[40, truth.skeleton.index("LeftHand")])
    assert any("LeftHand, frame 40) and was left out" in notice for notice in result.notices)


def test_noise_is_found_and_taken_out(truth):
    result = solved("noise_1cm.csv", truth)

    assert result.noise == pytest.approx(0.01, rel=0.2)
    assert off_cm(result, truth).mean() < 1.3  # 1.6 cm before
    assert steps_deg(result.rotations).mean() < 2 * steps_deg(truth.rotations).mean()


def test_a_larger_person_stands_on_the_floor_and_the_size_is_said(truth):
    result = solved("bigger_person.csv", truth)

    assert result.scale == pytest.approx(1.15, abs=0.001)
    assert off_cm(result, truth).max() < 0.05
    assert any("1.15 times" in notice for notice in result.notices)


def test_unknown_names_and_noise_turn_no_joint_over(truth):
    skeleton = read_bvh(CASES / "unknown_names_rest.bvh").skeleton
    known = solved("noise_1cm.csv", truth)

    result = solve_inverse_kinematics(read_targets(CASES / "unknown_names_noise.csv"), skeleton)

    assert steps_deg(result.rotations).max() < 60
    assert rotations.angle_between(result.rotations, known.rotations).max() < 1e-4  # as with the names


@pytest.mark.parametrize("name", ["fingers", "zero_width_shoulders"])
def test_an_odd_rig_is_not_turned_inside_out(name):
    motion = read_bvh(CASES / f"{name}.bvh")
    joints = motion.skeleton.joints

    result = solve_inverse_kinematics(positions_of(motion.skeleton, motion.rotations[:, joints]), motion.skeleton)

    angles = np.degrees(rotations.angle_between(result.rotations, motion.rotations))
    trunk = [motion.skeleton.index(part) for part in ("Hips", "Spine", "Spine1", "LeftShoulder", "RightShoulder", "LeftLeg")]
    assert angles[:, trunk].max() < 15
    assert steps_deg(result.rotations).max() < 60
    assert np.nanmax(result.position_error) < 0.001


def test_a_rest_pose_that_is_no_figure_is_said_and_turns_nothing_over():
    motion = read_bvh(CASES / "bone_local_rest.bvh")

    result = solve_inverse_kinematics(motion.positions(), motion.skeleton)

    assert any("no standing figure" in notice for notice in result.notices)
    assert steps_deg(result.rotations).max() < 60
    assert np.nanmax(result.position_error) < 0.001


@pytest.mark.parametrize(
    ("left", "right", "notices"),
    [
        ("LFoot", "RFoot", []),  # as others call them
        ("LeftFot", "RightFooot", ["guessed which target is that of LeftFoot, RightFoot"]),
        ("Quux", "Gizmo", ["left out the targets Quux, Gizmo", "no target for the joints LeftFoot, RightFoot"]),
    ],
)
def test_names_that_are_no_joint_s_are_understood_or_told(left, right, notices, truth, tmp_path):
    path = tmp_path / "typo.bvh"
    path.write_text((CASES / "typo.bvh").read_text().replace("LFoot", left).replace("RFoot", right))

    result = solve_inverse_kinematics(read_targets(path), truth.skeleton)

    assert len(result.notices) == len(notices)
    assert all(said.startswith(wanted) for said, wanted in zip(result.notices, notices, strict=True))
    assert np.nanmean(result.position_error) < 1e-3  # metres; exact targets


def test_smoothing_evens_out_rotations_and_root(truth):
    skeleton, joints = truth.skeleton, truth.skeleton.joints
    targets = positions_of(skeleton, truth.rotations[:, joints]) + truth.root[:, None]
    targets = targets + 0.01 * np.random.default_rng(0).normal(size=targets.shape)

    rough, even = (solve_inverse_kinematics(targets, skeleton, noise=0.0, smooth=smooth) for smooth in (0.0, 2.0))

    assert steps_deg(even.rotations).mean() < steps_deg(rough.rotations).mean() / 3
    jitter = [np.linalg.norm(np.diff(result.root, n=2, axis=0), axis=1).mean() for result in (rough, even)]
    assert jitter[1] < jitter[0] / 3
