# SPDX-License-Identifier: Apache-2.0
"""Which name stands for which joint, whoever wrote it."""

import json
from pathlib import Path

import numpy as np
import pytest

from solver_core import rotations
from solver_core.errors import SetupError
from solver_core.problems.inverse_kinematics.names.mapping import body_map, match_by_map, match_targets
from solver_core.problems.inverse_kinematics.names.recognise import recognise
from solver_core.problems.inverse_kinematics.names.shape import parts_by_shape
from solver_core.problems.inverse_kinematics.names.words import read_names
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton

from .test_transfer import both, marionette

NAME_SETS = json.loads((Path(__file__).parents[2] / "data" / "ik" / "joint_names.json").read_text(encoding="utf-8"))
LIMBS = ("Shldr", "ForeArm", "Hand", "Thigh", "Shin", "Foot")
# Words that stand for a part of the body in every set, to check what was found without repeating how.
WORDS = {
    "ForeArm": ("forearm", "lowerarm", "lowarm", "elbow", "elb", "farm", "larm", "ulna", "ひじ"),
    "Hand": ("hand", "wrist", "wra", "手首"),
    "Shin": ("leg", "shin", "calf", "knee", "kne", "shank", "tibia", "ひざ"),
    "Foot": ("foot", "ankle", "ank", "talus", "足首"),
}
OTHER_SETS = {
    "MakeHuman": "root spine05 spine04 spine03 spine02 spine01 neck01 neck02 neck03 head "
    + both("clavicle.{S} shoulder01.{S} upperarm01.{S} upperarm02.{S} lowerarm01.{S} lowerarm02.{S} wrist.{S} pelvis.{S}")
    + " "
    + both("upperleg01.{S} upperleg02.{S} lowerleg01.{S} lowerleg02.{S} foot.{S} toe1-1.{S}"),
    "MHX": "root hips spine spine-1 chest chest-1 neck neck-1 head "
    + both("clavicle.{S} deltoid.{S} upper_arm.{S} fore_arm.{S} hand.{S} thigh.{S} shin.{S} foot.{S} toe.{S}"),
    "ARKit": "root hips_joint spine_1_joint spine_7_joint neck_1_joint neck_4_joint head_joint "
    + both("{side}_shoulder_1_joint {side}_arm_joint {side}_forearm_joint {side}_hand_joint {side}_upLeg_joint")
    + " "
    + both("{side}_leg_joint {side}_foot_joint {side}_toes_joint"),
    "OpenSim": "pelvis torso "
    + both("femur_{s} tibia_{s} talus_{s} calcn_{s} toes_{s} humerus_{s} ulna_{s} radius_{s} hand_{s}"),
    "Theia": "pelvis torso head " + both("{s}_uarm {s}_larm {s}_hand {s}_thigh {s}_shank {s}_foot {s}_toes"),
    "Roblox": "LowerTorso UpperTorso Head "
    + both("{Side}UpperArm {Side}LowerArm {Side}Hand {Side}UpperLeg {Side}LowerLeg {Side}Foot"),
    "Kinect 1": "HIP_CENTER SPINE SHOULDER_CENTER HEAD "
    + both("SHOULDER_{side} ELBOW_{side} WRIST_{side} HAND_{side} HIP_{side} KNEE_{side} ANKLE_{side} FOOT_{side}").upper(),
    "MPII": "pelvis thorax upper_neck head_top " + both("{s}_ankle {s}_knee {s}_hip {s}_wrist {s}_elbow {s}_shoulder"),
    "Advanced Skeleton": "Root_M Spine1_M Chest_M Neck_M Head_M "
    + both("Scapula_{S} Shoulder_{S} Elbow_{S} Wrist_{S} Hip_{S} Knee_{S} Ankle_{S} Toes_{S}"),
    "Source": " ".join(
        f"ValveBiped.Bip01_{name}"
        for name in (
            "Pelvis Spine Spine1 Spine2 Spine4 Neck1 Head1 "
            + both("{S}_Clavicle {S}_UpperArm {S}_Forearm {S}_Hand {S}_Thigh {S}_Calf {S}_Foot {S}_Toe0")
        ).split()
    ),
    "no colon": " ".join(
        f"mixamorig{name}"
        for name in (
            "Hips Spine Spine1 Spine2 Neck Head "
            + both("{Side}Shoulder {Side}Arm {Side}ForeArm {Side}Hand {Side}UpLeg {Side}Leg {Side}Foot {Side}ToeBase")
        ).split()
    ),
    "copies": "Hips.001 Spine.001 Neck.001 Head.001 "
    + both("{Side}Arm.001 {Side}ForeArm.001 {Side}Hand.001 {Side}UpLeg.001 {Side}Leg.001 {Side}Foot.001"),
    "suffix": "Hips_JNT Spine_JNT Neck_JNT Head_JNT "
    + both("{S}_Clavicle_JNT {S}_Arm_JNT {S}_Elbow_JNT {S}_Wrist_JNT {S}_Hip_JNT {S}_Knee_JNT {S}_Ankle_JNT"),
    "glued": "hips spine neck head " + both("{s}shoulder {s}elbow {s}wrist {s}hip {s}knee {s}ankle"),
    "Helen Hayes": "Top.Head V.Sacral "
    + both("{S}.ASIS {S}.Shoulder {S}.Elbow {S}.Wrist {S}.Thigh {S}.Knee {S}.Shank {S}.Ankle {S}.Heel {S}.Toe"),
    "DeepLabCut": "ankle1 knee1 hip1 hip2 knee2 ankle2 wrist1 elbow1 shoulder1 shoulder2 elbow2 wrist2 chin forehead",
    "Unreal 5": "root pelvis spine_01 spine_02 spine_03 spine_04 spine_05 neck_01 neck_02 head "
    + both("clavicle_{s} upperarm_{s} upperarm_twist_01_{s} lowerarm_{s} hand_{s} index_metacarpal_{s} index_01_{s}")
    + " "
    + both("index_02_{s} index_03_{s} thumb_01_{s} thumb_02_{s} thumb_03_{s} thigh_{s} calf_{s} foot_{s} ball_{s} ik_foot_{s}"),
}


def marionette_named(names: list[str]) -> Skeleton:
    """The figure of test_transfer with other names, in its order."""
    figure = marionette(np.array([1.0, 0, 0, 0]))
    return Skeleton(names, figure.parents, figure.offsets)


@pytest.mark.parametrize(
    "names", [*NAME_SETS.values(), *(names.split() for names in OTHER_SETS.values())], ids=[*NAME_SETS, *OTHER_SETS]
)
def test_a_set_of_names_is_recognised(names):
    parts = recognise(names)

    assert parts.has_limbs
    for part, words in WORDS.items():
        for side, other in ("lr", "rl"):
            (name, *_), (mirrored, *_) = parts.names_of[side + part], parts.names_of[other + part]
            assert any(word in "".join(character for character in name.lower() if character.isalpha()) for word in words)
            assert name != mirrored
    used = [name for several in parts.names_of.values() if len(several) == 1 for name in several]
    assert len(used) == len(set(used))


@pytest.mark.parametrize("names", NAME_SETS.values(), ids=NAME_SETS)
def test_left_is_left_in_every_set(names):
    parts = recognise(names)

    for node in LIMBS:
        for name in parts.names_of.get("l" + node, ()):
            assert not any(mark in name for mark in ("ight", "IGHT", "右", "_R_", " R ", ".r", "_r")), name


def test_the_lowest_and_the_highest_bone_of_a_spine_are_abdomen_and_chest():
    assert recognise(NAME_SETS["Xsens FBX segments"]).names_of["chest"] == ("T8",)
    assert recognise(OTHER_SETS["MakeHuman"].split()).names_of["abdomen"] == ("spine05",)
    rigify = recognise(NAME_SETS["Rigify DEF (generated)"]).names_of
    assert (rigify["hip"], rigify["neck"], rigify["head"]) == (("DEF-spine",), ("DEF-spine.004",), ("DEF-spine.006",))


def test_fingers_are_counted_from_the_hand_and_metacarpals_left_out():
    found = recognise(OTHER_SETS["Unreal 5"].split()).names_of

    assert found["lIndex1"] == ("index_01_l",)
    assert found["rThumb1"] == ("thumb_02_r",)


def test_points_between_joints_are_no_joints():
    assert recognise(NAME_SETS["OpenPose BODY_25"]).beside == {"hip", "neck", "head"}
    assert recognise(NAME_SETS["Mixamo"]).beside == frozenset()


def test_a_finger_does_not_pass_for_a_prefix():
    names = ["Hips", *(f"LeftHandIndex{n}" for n in range(9)), "LeftHand", "LeftArm"]

    assert read_names(names)["LeftHand"].core == "hand"


def test_a_skeleton_whose_names_say_nothing_is_recognised_by_its_shape():
    skeleton = marionette_named([f"b{number}" for number in range(22)])

    found = body_map(skeleton)

    assert found.is_guessed
    named = body_map(marionette(np.array([1.0, 0, 0, 0]))).node_of
    expected = {part: f"b{marionette(np.array([1.0, 0, 0, 0])).index(name)}" for part, name in named.items()}
    assert {part: found.node_of[part] for part in expected} == expected


@pytest.mark.parametrize("angle", [0.5, 2.0, 3.1])
def test_the_shape_shows_left_and_right_whichever_way_the_body_faces(angle):
    turn = rotations.wxyz_from_rotvec(np.array([0, angle, 0]))

    parts = parts_by_shape(marionette(turn))

    assert parts["lHand"] == "LeftHand"
    assert parts["rFoot"] == "RightFoot"


def test_animals_and_machines_have_not_the_shape_of_a_human(arm):
    figure = marionette(np.array([1.0, 0, 0, 0]))
    lying = figure.offsets.copy()
    lying[[figure.index(name) for name in ("Spine", "Spine1", "Spine2", "Neck", "Head")]] = [0, 0, 0.1]  # a spine along z
    animal = Skeleton([f"b{number}" for number in range(22)], figure.parents, lying)

    assert parts_by_shape(animal) == {}
    assert parts_by_shape(arm[0]) == {}


def test_hips_are_what_legs_and_spine_hang_from():
    figure = marionette(np.array([1.0, 0, 0, 0]))
    names = [{"Hips": "center", "Spine": "lower_body"}.get(name, name) for name in figure.names]

    found = body_map(Skeleton(names, figure.parents, figure.offsets))

    assert found.node_of["hip"] == "center"


def test_targets_with_equal_names_of_another_meaning_are_no_match():
    """The neck of HALPE is the middle of the shoulders, its head the top of the head."""
    matching = match_targets(NAME_SETS["Pose2Sim HALPE_26 TRC"], marionette(np.array([1.0, 0, 0, 0])))

    assert {"Hips", "Neck", "Head"} & matching.targets.keys() == set()
    assert matching.targets["LeftForeArm"] == ("LElbow",)
    assert matching.targets["LeftArm"] == ("LShoulder",)
    assert set(matching.left_out) == {"Hip", "Neck", "Head", "Nose", "LHeel", "RHeel"}


def test_a_name_that_differs_is_found_by_its_part_of_the_body():
    figure = marionette(np.array([1.0, 0, 0, 0]))
    names = ["LFoot" if name == "LeftFoot" else name for name in figure.names]

    assert match_targets(names, figure).targets["LeftFoot"] == ("LFoot",)


def test_what_is_matched_guessed_and_left_out_is_said():
    figure = marionette(np.array([1.0, 0, 0, 0]))
    names = [{"LeftFoot": "Left_Foott", "Neck": "gizmo"}.get(name, name) for name in figure.names]

    matching = match_targets(names, figure)

    assert matching.guessed == ("LeftFoot",)
    assert matching.left_out == ("gizmo",)
    assert matching.without_target == ("Neck",)
    assert [notice.split()[0] for notice in matching.notices] == ["guessed", "left", "no"]
    assert all(word in " ".join(matching.notices) for word in ("LeftFoot", "gizmo", "Neck"))


@pytest.mark.parametrize("end", ["{}_Nub", "{}End", "{} End Site", "{}_tip"])
def test_ends_count_by_their_place_not_by_their_name(end):
    figure = marionette(np.array([1.0, 0, 0, 0]))
    parents = [*figure.parents, figure.index("Head")]
    offsets = np.concatenate([figure.offsets, [[0, 0.15, 0]]])
    skeleton = Skeleton([*figure.names, "Head_end"], parents, offsets)
    names = [*figure.names, end.format("Head")]

    assert match_targets(names, skeleton).targets["Head_end"] == (names[-1],)
    assert match_targets([*figure.names, "anything"], skeleton, parents).targets["Head_end"] == ("anything",)


def test_parts_of_the_body_that_no_target_names_are_listed():
    figure = marionette(np.array([1.0, 0, 0, 0]))

    matching = match_targets(["Head", "LeftHand", "RightHand", "LeftFoot", "elsewhere"], figure)

    assert matching.missing_parts == ("hips", "right leg")


def test_a_map_is_taken_as_it_is(body):
    matching = match_by_map({"lHand": "a", "hip": ["a", "b"]}, ["a", "b", "c"], body.skeleton)

    assert matching.targets == {"lHand": ("a",), "hip": ("a", "b")}
    with pytest.raises(SetupError, match="did you mean 'a'"):
        match_by_map({"lHand": "aa"}, ["a"], body.skeleton)
