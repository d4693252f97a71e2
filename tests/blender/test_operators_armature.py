# SPDX-License-Identifier: Apache-2.0
import bpy
import numpy as np
import pytest

from addon import properties, results
from addon.bridge.keyframes import every_curve
from addon.solves.armature import ArmatureSolve
from addon.solves.armature_task import ArmatureTask
from tests.blender.armature_scene import BONES, bend, joints, make_armature_scene


@pytest.fixture
def arm(registered):
    return make_armature_scene(registered)


def distances(arm):
    """Metres from the joints to the empties of the same names."""
    return [(place - bpy.data.objects[name].location).length for name, place in joints(arm).items()]


def test_button_brings_the_joints_to_their_targets(registered, arm):
    answer = bpy.ops.deep_feedback.solve_armature()

    assert answer == {"FINISHED"}
    assert max(distances(arm)) < 1e-3
    assert results.find("armature", registered).report["worst_cm"] < 0.1


def test_button_gives_the_result_of_the_solve_in_a_script(registered, arm):
    solve = ArmatureSolve.gather(registered, ArmatureTask("Arm", collection="Targets"))
    solve.read(solve.parts[0])
    list(solve.steps())
    solve.keep()
    expected = [tuple(bone.rotation_quaternion) for bone in arm.pose.bones]
    solve.restore()

    bpy.ops.deep_feedback.solve_armature()

    np.testing.assert_allclose([tuple(bone.rotation_quaternion) for bone in arm.pose.bones], expected, atol=1e-6)


def test_button_works_in_pose_mode(registered, arm):
    bpy.ops.object.mode_set(mode="POSE")

    assert bpy.ops.deep_feedback.solve_armature() == {"FINISHED"}
    assert max(distances(arm)) < 1e-3


def test_guess_fills_the_bone_map(registered, arm):
    settings = registered.deep_feedback.armature

    bpy.ops.deep_feedback.guess_bones()

    assert {(line.target, line.bone) for line in settings.bones} == {(name, name) for name in joints(arm)}
    assert bpy.ops.deep_feedback.solve_armature() == {"FINISHED"}


def test_guess_says_why_when_no_name_matches(registered, arm):
    for number, empty in enumerate(registered.deep_feedback.armature.collection.objects):
        empty.name = f"point {'abcdef'[number]}"

    with pytest.raises(RuntimeError, match="Guess: No target has the name of a bone"):
        bpy.ops.deep_feedback.guess_bones()


def test_bone_map_decides_which_bones_follow(registered, arm):
    bpy.ops.deep_feedback.add_bone()
    line = registered.deep_feedback.armature.bones[0]
    line.target, line.bone = "Lower", "Lower"

    bpy.ops.deep_feedback.solve_armature()

    upper, lower, _, _ = distances(arm)
    assert upper < 1e-3
    assert lower < 1e-3
    assert tuple(arm.pose.bones["Hand"].rotation_quaternion) == (1, 0, 0, 0)


@pytest.mark.parametrize(
    ("source", "names"),
    [("COLLECTION", ["Hand", "Hand_end", "Lower", "Upper"]), ("ARMATURE", ["Hand", "Lower", "Upper"]), ("FILE", [])],
)
def test_bone_map_suggests_targets_and_bones(registered, arm, source, names):
    registered.deep_feedback.armature.source = source
    registered.deep_feedback.armature.target_armature = arm

    assert sorted(properties._target_names(None, bpy.context, "")) == names
    assert properties._bone_names(None, bpy.context, "") == ["Upper", "Lower", "Hand", "Hand_end"]


def test_line_is_removed_and_the_next_one_becomes_active(registered, arm):
    settings = registered.deep_feedback.armature
    for name in ("Upper", "Lower"):
        bpy.ops.deep_feedback.add_bone()
        settings.bones[-1].bone = name

    bpy.ops.deep_feedback.remove_bone()

    assert [line.bone for line in settings.bones] == ["Upper"]
    assert settings.active_bone == 0
    bpy.ops.deep_feedback.remove_bone()
    assert not bpy.ops.deep_feedback.remove_bone.poll()


def test_jump_goes_to_the_worst_frame(registered, arm):
    hand = bpy.data.objects["Hand_end"]
    for frame, shift in ((1, 0.0), (2, 3.0), (3, 0.0)):
        hand.location.x += shift
        hand.keyframe_insert("location", frame=frame)
        hand.location.x -= shift
    registered.frame_set(1)
    bpy.ops.deep_feedback.solve_armature(use_range=True, frame_start=1, frame_end=3)

    bpy.ops.deep_feedback.jump_to_worst_frame()

    assert registered.frame_current == 2
    assert arm.animation_data.action is not None
    result = results.find("armature", registered)
    seen = results.shown().seen_in(registered)
    assert results.shown() is result
    goals = [bpy.data.objects[name].matrix_world.translation for name in joints(arm)]
    np.testing.assert_allclose(np.sort(seen.observed_points, axis=0), np.sort(goals, axis=0), atol=1e-4)
    lengths = np.linalg.norm(np.diff(seen.world_lines, axis=1), axis=-1)
    np.testing.assert_allclose(100 * lengths.max(), result.report["worst_cm"], atol=0.01)


@pytest.mark.parametrize("is_range", [False, True])
def test_reset_puts_the_bones_back(registered, arm, is_range):
    before = [tuple(bone.rotation_quaternion) for bone in arm.pose.bones]
    ends = {"use_range": True, "frame_start": 1, "frame_end": 2} if is_range else {}
    bpy.ops.deep_feedback.solve_armature(**ends)

    bpy.ops.deep_feedback.reset_result(problem="armature")

    registered.frame_set(2)
    assert [tuple(bone.rotation_quaternion) for bone in arm.pose.bones] == before
    assert max(distances(arm)) > 0.1


def test_result_is_sent_to_a_keyframe(registered, arm):
    bpy.ops.deep_feedback.solve_armature()
    solved = distances(arm)

    bpy.ops.deep_feedback.key_result(problem="armature")
    bend(arm, dict.fromkeys(BONES, (0, 0, 0)))
    registered.frame_set(registered.frame_current)

    np.testing.assert_allclose(distances(arm), solved, atol=1e-5)
    keyed = {curve.data_path for curve in every_curve(arm)}
    assert keyed == {f'pose.bones["{name}"].rotation_quaternion' for name in BONES} | {'pose.bones["Upper"].location'}


def test_steps_replay_at_every_frame_of_a_range(registered, arm):
    hand = bpy.data.objects["Hand_end"]
    for frame, shift in ((1, 0.0), (3, 0.4)):
        hand.location.y += shift
        hand.keyframe_insert("location", frame=frame)
    registered.frame_set(1)
    bpy.ops.deep_feedback.solve_armature(use_range=True, frame_start=1, frame_end=3)
    registered.frame_set(3)
    solved = distances(arm)

    registered.deep_feedback.armature.step = 1
    assert registered.frame_current == 3
    assert max(distances(arm)) > 0.1
    registered.deep_feedback.armature.step = 1000

    np.testing.assert_allclose(distances(arm), solved, atol=1e-4)


def test_slider_replays_the_pose_of_a_step(registered, arm):
    bpy.ops.deep_feedback.solve_armature()
    after = distances(arm)

    registered.deep_feedback.armature.step = 1
    assert max(distances(arm)) > 0.1
    registered.deep_feedback.armature.step = 1000

    np.testing.assert_allclose(distances(arm), after, atol=1e-5)


NO_FOOT = "The armature 'Arm' has no bone 'Foot': choose another or remove the line."


def why():
    with pytest.raises(RuntimeError, match="poll") as caught:
        bpy.ops.deep_feedback.solve_armature()
    return str(caught.value).partition("poll() ")[2].strip()


def no_armature(scene):
    bpy.context.view_layer.objects.active = None


def no_bones(scene):
    empty = bpy.data.objects.new("Empty Rig", bpy.data.armatures.new("Empty Rig"))
    scene.collection.objects.link(empty)
    scene.deep_feedback.armature.armature = empty


def no_collection(scene):
    scene.deep_feedback.armature.collection = None


def empty_collection(scene):
    scene.deep_feedback.armature.collection = bpy.data.collections.new("Nothing")


def no_target_armature(scene):
    scene.deep_feedback.armature.source = "ARMATURE"


def itself(scene):
    scene.deep_feedback.armature.source = "ARMATURE"
    scene.deep_feedback.armature.target_armature = bpy.data.objects["Arm"]


def no_file(scene):
    scene.deep_feedback.armature.source = "FILE"


def line(scene, target, bone):
    added = scene.deep_feedback.armature.bones.add()
    added.target, added.bone = target, bone


def edit_mode(scene):
    bpy.ops.object.mode_set(mode="EDIT")


@pytest.mark.parametrize(
    ("obstacle", "sentence"),
    [
        (no_armature, "Select an armature, or choose one, that is to be posed."),
        (no_bones, "The armature 'Empty Rig' has no bones."),
        (no_collection, "Choose a collection of objects that the joints follow."),
        (empty_collection, "The collection 'Nothing' is empty: add an object for each joint."),
        (no_target_armature, "Choose the armature whose bones are followed."),
        (itself, "Choose another armature as target: it cannot follow itself."),
        (no_file, "Choose a file with the positions of the joints, such as BVH or CSV."),
        (lambda scene: line(scene, "", "Hand"), "The bone 'Hand' has no target: choose one or remove the line."),
        (lambda scene: line(scene, "Hand", ""), "The target 'Hand' has no bone: choose one or remove the line."),
        (
            lambda scene: line(scene, "Hand", "Foot"),
            "The armature 'Arm' has no bone 'Foot': choose another or remove the line.",
        ),
        (edit_mode, "Switch to Object or Pose Mode first."),
    ],
)
def test_button_is_grey_and_says_why(registered, arm, obstacle, sentence):
    assert bpy.ops.deep_feedback.solve_armature.poll()

    obstacle(registered)

    assert why() == sentence
