# SPDX-License-Identifier: Apache-2.0
"""Targets that are turned: twist and the orientation of hands, feet and head come from them."""

from dataclasses import replace

import numpy as np
import pytest

import solver_core as sc
from solver_core import rotations
from solver_core.command.cli import main
from solver_core.errors import ObservationError
from solver_core.problems.inverse_kinematics.files.bvh import read_bvh, write_bvh
from solver_core.problems.inverse_kinematics.skeleton.kinematics import forward_kinematics
from solver_core.problems.inverse_kinematics.skeleton.motion import Motion
from solver_core.problems.inverse_kinematics.skeleton.rest_pose import RestPose
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton

from .conftest import natural_poses

TWISTED = ("lForeArm", "rForeArm", "lHand", "rHand", "lFoot", "rFoot", "head")


@pytest.fixture
def twisted(body, rng) -> Motion:
    """Six frames of the human whose forearms, hands, feet and head are turned about where they point."""
    skeleton = body.skeleton
    poses = natural_poses(body, rng, 6)
    for name in TWISTED:
        joint = skeleton.joint_names.index(name)
        bone = skeleton.offsets[np.flatnonzero(skeleton.parents == skeleton.index(name))[0]]
        turn = rotations.wxyz_from_rotvec(0.8 * bone / np.linalg.norm(bone))
        poses[:, joint] = rotations.multiply(poses[:, joint], turn)
    every = np.tile([1.0, 0, 0, 0], (len(poses), skeleton.num_nodes, 1))
    every[:, skeleton.joints] = poses
    return Motion(skeleton, every, np.tile([0.0, 1, 0], (6, 1)), 1 / 30, ("ZXY",) * skeleton.num_nodes, 0.01)


def named(motion: Motion) -> sc.NamedTargets:
    skeleton = motion.skeleton
    parents = tuple(skeleton.parents.tolist())
    return sc.NamedTargets(skeleton.names, motion.positions(), parents=parents, skeleton=skeleton, rotations=motion.rotations)


def orientations(skeleton: Skeleton, rotation: np.ndarray) -> np.ndarray:
    """(F, J, 4) in the world, of rotations (F, N, 4)."""
    offsets = np.broadcast_to(skeleton.offsets, (*rotation.shape[:2], 3))
    return rotations.wxyz_from_matrix(forward_kinematics(skeleton, offsets, rotation[:, skeleton.joints]).orientations)


def degrees(found: np.ndarray, true: np.ndarray) -> float:
    return float(np.degrees(rotations.angle_between(found, true)).max())


def test_twist_comes_from_the_targets_unless_positions_only_are_asked_for(twisted):
    result = sc.solve_inverse_kinematics(named(twisted), twisted.skeleton)
    without = sc.solve_inverse_kinematics(named(twisted), twisted.skeleton, positions_only=True)

    assert degrees(result.rotations, twisted.rotations) < 0.1
    assert degrees(without.rotations, twisted.rotations) > 20
    assert np.nanmax(result.position_error) < 1e-4


def test_orientations_of_some_joints_turn_these(twisted):
    skeleton = twisted.skeleton
    given = orientations(skeleton, twisted.rotations)
    is_given = np.isin(skeleton.joint_names, ["lForeArm", "lHand"])
    given[:, ~is_given] = np.nan

    result = sc.solve_inverse_kinematics(twisted.positions(), skeleton, orientations=given)

    found, true = (orientations(skeleton, rotation)[:, is_given] for rotation in (result.rotations, twisted.rotations))
    assert degrees(found, true) < 0.1
    assert np.nanmax(result.position_error) < 1e-4


def test_orientations_of_noisy_targets_are_kept_roughly(twisted, rng):
    positions = twisted.positions() + 0.01 * rng.normal(size=(6, twisted.skeleton.num_nodes, 3))
    given = np.full((6, twisted.skeleton.num_nodes, 4), np.nan)
    given[:, twisted.skeleton.joints] = orientations(twisted.skeleton, twisted.rotations)

    result = sc.solve_inverse_kinematics(positions, twisted.skeleton, orientations=given, noise=0.01)

    assert np.degrees(rotations.angle_between(result.rotations, twisted.rotations)).mean() < 1.5


def test_a_figure_with_lowered_arms_follows_one_with_stretched_arms(twisted):
    skeleton = twisted.skeleton
    lowered = np.tile([1.0, 0, 0, 0], (skeleton.num_nodes, 1))
    for name, angle in (("lShldr", -0.7), ("rShldr", 0.7)):
        lowered[skeleton.index(name)] = rotations.wxyz_from_rotvec(np.array([0, 0, angle]))
    figure = RestPose.checked(skeleton, lowered).skeleton

    result = sc.solve_inverse_kinematics(named(twisted), figure)

    expected = twisted.rotations.copy()
    pose = RestPose.checked(skeleton, lowered)
    expected[:, skeleton.joints] = pose.from_own(twisted.rotations[:, skeleton.joints])
    fingers = [n for n, name in enumerate(skeleton.names) if any(f in name for f in ("Thumb", "Index", "Mid", "Ring", "Pinky"))]
    body = np.setdiff1d(skeleton.joints, fingers)
    assert degrees(result.rotations[:, body], expected[:, body]) < 12  # the shortest turn is not quite about the axis


def test_what_lies_otherwise_at_rest_is_turned_as_the_positions_are_on_average(twisted, rng):
    skeleton = twisted.skeleton
    axes = rotations.random_wxyz(rng, skeleton.num_nodes)
    offsets = skeleton.offsets.copy()
    for level in skeleton.levels:
        offsets[level.nodes] = rotations.rotate(rotations.inverse(axes[level.parents]), skeleton.offsets[level.nodes])
    heap = Skeleton(skeleton.names, skeleton.parents, offsets)
    above = np.where(skeleton.parents[:, None] < 0, np.array([1.0, 0, 0, 0]), axes[skeleton.parents])
    turned = rotations.multiply(rotations.multiply(rotations.inverse(above), twisted.rotations), axes)
    turned[:, np.setdiff1d(np.arange(skeleton.num_nodes), skeleton.joints)] = [1, 0, 0, 0]
    source = replace(twisted, skeleton=heap, rotations=turned)
    np.testing.assert_allclose(source.positions(), twisted.positions(), atol=1e-9)

    result = sc.solve_inverse_kinematics(named(source), skeleton)
    without = sc.solve_inverse_kinematics(named(source), skeleton, positions_only=True)

    def unsteadiness(rotation: np.ndarray) -> float:
        """Degrees by which the hands' error changes between frames."""
        hands = [skeleton.index(name) for name in ("lHand", "rHand")]
        off = rotations.multiply(rotations.inverse(rotation[:, hands]), twisted.rotations[:, hands])
        return float(np.degrees(rotations.angle_between(off[1:], off[:-1])).mean())

    assert unsteadiness(result.rotations) < 0.7 * unsteadiness(without.rotations)
    assert np.nanmax(result.position_error) < 1e-4


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (np.ones((6, 3, 4)), "one for every node"),
        (np.full((6, 43, 4), 2.0), "unit quaternions"),
        ("turned", "orientations"),
    ],
)
def test_what_are_no_orientations_is_refused(twisted, given, sentence):
    with pytest.raises(ObservationError, match=sentence):
        sc.solve_inverse_kinematics(twisted.positions(), twisted.skeleton, orientations=given)


def test_rotations_without_their_skeleton_are_refused(twisted):
    with pytest.raises(ObservationError, match="need the skeleton"):
        sc.NamedTargets(twisted.skeleton.names, twisted.positions(), rotations=twisted.rotations)
    with pytest.raises(ObservationError, match="rotations of targets must be"):
        replace(named(twisted), rotations=twisted.rotations[:, :3])


def test_the_command_carries_rotations_of_a_bvh_file(twisted, tmp_path, capsys):
    write_bvh(tmp_path / "twisted.bvh", twisted)
    files = ["--skeleton", "twisted.bvh", "--targets", "twisted.bvh", "--out"]
    files = [str(tmp_path / part) if part.endswith("bvh") else part for part in files]

    assert main(["solve", "ik", *files, str(tmp_path / "with.bvh")]) == 0
    assert main(["solve", "ik", *files, str(tmp_path / "without.bvh"), "--positions-only"]) == 0

    capsys.readouterr()
    found, without = (read_bvh(tmp_path / name).rotations for name in ("with.bvh", "without.bvh"))
    assert degrees(found, twisted.rotations) < 0.1
    assert degrees(without, twisted.rotations) > 20


def test_hands_of_a_body_model_are_turned(body, tmp_path):
    poses = np.zeros((4, 156))
    poses[1:, 3 * 20 : 3 * 21] = [[0.3, 0, 0], [0.6, 0, 0], [0.9, 0, 0]]  # the left wrist, about the arm
    np.savez(tmp_path / "a.npz", poses=poses, trans=np.zeros((4, 3)), mocap_framerate=30.0)
    hand = body.skeleton.index("lHand")

    result = sc.solve_inverse_kinematics(sc.read_targets(tmp_path / "a.npz"), body.skeleton)

    turned = np.degrees(rotations.angle_between(result.rotations[:, hand], result.rotations[[0], hand]))
    np.testing.assert_allclose(turned, np.degrees([0, 0.3, 0.6, 0.9]), atol=1)
