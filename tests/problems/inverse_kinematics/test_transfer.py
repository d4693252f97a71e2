# SPDX-License-Identifier: Apache-2.0
"""Other bodies, other skeletons, other names."""

import numpy as np
import pytest

from solver_core import rotations
from solver_core.errors import SetupError
from solver_core.problems.inverse_kinematics.names.mapping import body_map, match_targets
from solver_core.problems.inverse_kinematics.names.recognise import recognise
from solver_core.problems.inverse_kinematics.problem import Targets
from solver_core.problems.inverse_kinematics.skeleton.kinematics import forward_kinematics
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton, check_names
from solver_core.problems.inverse_kinematics.solver.transfer import Transfer

from .conftest import natural_poses, positions_of

MIXAMO = (
    "Hips Spine Spine1 Spine2 Neck Head LeftShoulder LeftArm LeftForeArm LeftHand RightShoulder RightArm RightForeArm "
    "RightHand LeftUpLeg LeftLeg LeftFoot LeftToeBase RightUpLeg RightLeg RightFoot RightToeBase"
)


def both(pattern: str) -> str:
    return " ".join(
        pattern.format(s=s, S=s.upper(), side=side, Side=side.title()) for s, side in (("l", "left"), ("r", "right"))
    )


NAMINGS = {
    "Mixamo": " ".join(f"mixamorig:{name}" for name in MIXAMO.split()),
    "CMU MotionBuilder": MIXAMO.replace("Spine Spine1 Spine2 Neck", "LowerBack Spine Spine1 Neck Neck1")
    + " LHipJoint RHipJoint",
    "Rigify": "spine spine.001 spine.002 spine.003 spine.004 spine.005 spine.006 "
    + both("shoulder.{S} upper_arm.{S} forearm.{S} hand.{S} thigh.{S} shin.{S} foot.{S} toe.{S}"),
    "Unreal": "root pelvis spine_01 spine_02 spine_03 neck_01 head "
    + both("clavicle_{s} upperarm_{s} lowerarm_{s} hand_{s} thigh_{s} calf_{s} foot_{s} ball_{s}"),
    "SMPL": "Pelvis Spine1 Spine2 Spine3 Neck Head "
    + both("{S}_Collar {S}_Shoulder {S}_Elbow {S}_Wrist {S}_Hand {S}_Hip {S}_Knee {S}_Ankle {S}_Foot"),
    "smplx": "pelvis spine1 spine2 spine3 neck head "
    + both("{side}_collar {side}_shoulder {side}_elbow {side}_wrist {side}_hip {side}_knee {side}_ankle {side}_foot"),
    "Kinect": "SpineBase SpineMid SpineShoulder Neck Head "
    + both("Shoulder{Side} Elbow{Side} Wrist{Side} Hand{Side} Hip{Side} Knee{Side} Ankle{Side} Foot{Side}"),
    "MediaPipe": "nose "
    + both("{side}_ear {side}_shoulder {side}_elbow {side}_wrist {side}_hip {side}_knee {side}_ankle {side}_foot_index"),
    "COCO": "nose "
    + both("{side}_eye {side}_ear {side}_shoulder {side}_elbow {side}_wrist {side}_hip {side}_knee {side}_ankle"),
}


def marionette(turn: np.ndarray) -> Skeleton:
    """A Mixamo-named figure, smaller than the human, arms lowered at rest, facing another way: turn (4,) wxyz."""
    tree = {
        "Hips": (None, (0, 0, 0)),
        "Spine": ("Hips", (0, 0.08, 0)),
        "Spine1": ("Spine", (0, 0.08, 0)),
        "Spine2": ("Spine1", (0, 0.08, 0)),
        "Neck": ("Spine2", (0, 0.15, 0)),
        "Head": ("Neck", (0, 0.08, 0)),
    }
    for side, sign in (("Left", 1), ("Right", -1)):
        tree |= {
            f"{side}Shoulder": ("Spine2", (sign * 0.04, 0.12, 0)),
            f"{side}Arm": (f"{side}Shoulder", (sign * 0.1, 0, 0)),
            f"{side}ForeArm": (f"{side}Arm", (sign * 0.15, -0.15, 0)),
            f"{side}Hand": (f"{side}ForeArm", (sign * 0.13, -0.13, 0)),
            f"{side}UpLeg": ("Hips", (sign * 0.07, -0.04, 0)),
            f"{side}Leg": (f"{side}UpLeg", (0, -0.35, 0)),
            f"{side}Foot": (f"{side}Leg", (0, -0.35, 0)),
            f"{side}ToeBase": (f"{side}Foot", (0, -0.05, 0.1)),
        }
    names = list(tree)
    parents = [-1 if parent is None else names.index(parent) for parent, _ in tree.values()]
    return Skeleton(names, parents, rotations.rotate(turn, np.array([offset for _, offset in tree.values()], dtype=float)))


@pytest.mark.parametrize("naming", NAMINGS)
def test_recognise_knows_the_limbs_of_common_namings(naming):
    names = NAMINGS[naming].split()

    parts = recognise(names)

    assert parts.has_limbs
    for node, part in (("lForeArm", ("forearm", "lowerarm", "elbow")), ("rShin", ("leg", "shin", "calf", "knee"))):
        assert any(word in parts.names_of[node][0].lower() for word in part)
    assert {name for some in parts.names_of.values() for name in some} <= set(names)


def test_recognise_takes_the_middle_of_the_hips_of_markers():
    assert recognise(NAMINGS["COCO"].split()).names_of["hip"] == ("left_hip", "right_hip")


def test_recognise_finds_no_limbs_in_a_non_human():
    assert not recognise(["body", "leg1", "leg2", "tail"]).has_limbs


def test_the_human_maps_to_itself(body):
    assert body_map(body.skeleton).node_of == {name: name for name in body.skeleton.names}


def test_match_targets_goes_through_both_conventions():
    matched = match_targets(NAMINGS["COCO"].split(), marionette(np.array([1.0, 0, 0, 0]))).targets

    assert matched["LeftLeg"] == ("left_knee",)
    assert "Hips" not in matched  # whose head is not the middle of the hips


def test_match_targets_raises_a_sentence_when_nothing_fits(body):
    with pytest.raises(SetupError, match="none of the targets"):
        match_targets(["a", "b"], body.skeleton)


def test_unknown_names_in_a_map_are_answered_with_the_nearest(body):
    with pytest.raises(SetupError, match="names 'lFore', which the skeleton does not have; did you mean 'lForeArm'"):
        check_names(["lFore"], body.skeleton.names, "the skeleton")


def test_transfer_to_the_same_skeleton_changes_nothing(body, rng):
    x = natural_poses(body, rng, 5)
    transfer = Transfer(body.skeleton, body, body_map(body.skeleton).node_of)

    again = transfer.to_skeleton(x)

    assert rotations.angle_between(again, x).max() < 1e-5  # the alignment is float32
    np.testing.assert_allclose(transfer.natural_body.axes, body.axes, atol=1e-6)


@pytest.mark.parametrize("turned", [False, True])
def test_transfer_points_the_bones_of_another_skeleton_as_the_body_does(turned, body, rng):
    turn = rotations.random_wxyz(rng) if turned else np.array([1.0, 0, 0, 0])
    skeleton = marionette(turn)
    mapping = body_map(skeleton).node_of
    transfer = Transfer(skeleton, body, mapping)
    x = natural_poses(body, rng, 5)

    found = positions_of(skeleton, transfer.to_skeleton(x))
    wanted = forward_kinematics(body.skeleton, transfer.problem(5).offsets, x).positions

    for ancestor, node in (("lShldr", "lForeArm"), ("lForeArm", "lHand"), ("rThigh", "rShin"), ("rShin", "rFoot")):
        bones = []
        for tree, positions, names in ((skeleton, found, mapping), (body.skeleton, wanted, None)):
            first, last = (tree.index(name if names is None else names[name]) for name in (ancestor, node))
            bone = positions[:, last] - positions[:, first]
            bones.append(bone / np.linalg.norm(bone, axis=-1, keepdims=True))
        np.testing.assert_allclose(bones[0], bones[1], atol=1e-5)  # the alignment is float32


def test_transferred_targets_and_proportions_agree_with_each_other(body):
    """A skeleton at rest, seen as the body: its limbs are as long in the targets as in the offsets."""
    skeleton = marionette(np.array([1.0, 0, 0, 0]))
    transfer = Transfer(skeleton, body, body_map(skeleton).node_of)
    rest = skeleton.rest_positions()[None].astype(np.float32)

    targets = transfer.targets(Targets.exact(rest, np.ones(rest.shape[:2], np.float32)))

    lengths = np.linalg.norm(transfer.problem(1).offsets[0], axis=-1)
    for child, parent in (("lForeArm", "lShldr"), ("rFoot", "rShin")):
        child_node, parent_node = body.skeleton.index(child), body.skeleton.index(parent)
        distance = np.linalg.norm(targets.positions[0, child_node] - targets.positions[0, parent_node])
        assert distance == pytest.approx(lengths[child_node], rel=1e-5)
