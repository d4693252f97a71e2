# SPDX-License-Identifier: Apache-2.0
"""Solve Armature on rigs that were posed, so that the answer is known."""

from dataclasses import replace

import bpy
import numpy as np
import pytest
from mathutils import Euler, Matrix, Quaternion, Vector

from addon.solves.armature import ArmatureSolve
from addon.solves.armature_source import TargetSource, frames_to_solve
from addon.solves.armature_task import ArmatureOptions, ArmatureTask, BoneTarget
from addon.solves.bone_map import match_bones, rows_of
from solver_core.errors import SolverError
from solver_core.problems.inverse_kinematics.files.targets import read_targets

from .solve_scenes import drain

# Blender's importer of BVH leaves the file open.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")

MODES = ["QUATERNION", "XYZ", "ZXY", "AXIS_ANGLE"]


@pytest.fixture
def human(scene, demo_dir):
    """The demo's human at rest, with bones that Blender rolled, in all rotation modes."""
    bpy.ops.import_anim.bvh(filepath=str(demo_dir / "ik_rest.bvh"), global_scale=0.01)
    armature = bpy.context.object
    armature.animation_data_clear()
    for number, bone in enumerate(armature.pose.bones):
        bone.matrix_basis = Matrix()
        bone.rotation_mode = MODES[number % len(MODES)]
    return armature


@pytest.fixture
def arm(scene):
    """Four bones of length 1, rolled, upright from the origin; the first cannot leave it."""
    bpy.ops.object.armature_add()
    armature = bpy.context.object
    armature.name = "Arm"
    bpy.ops.object.mode_set(mode="EDIT")
    bones = armature.data.edit_bones
    bones[0].name = "bone0"
    for number in range(1, 4):
        bone = bones.new(f"bone{number}")
        bone.head, bone.tail = (0, 0, number), (0, 0, number + 1)
        bone.parent, bone.use_connect, bone.roll = bones[number - 1], True, 0.5 * number
    bpy.ops.object.mode_set(mode="OBJECT")
    armature.pose.bones["bone0"].lock_location = (True, True, True)
    return armature


def add_empties(scene, positions) -> str:
    collection = bpy.data.collections.new("Targets")
    scene.collection.children.link(collection)
    for name, position in positions.items():
        empty = bpy.data.objects.new(name, None)
        empty.location = position
        collection.objects.link(empty)
    return collection.name


def head_of(armature, bone, end="head") -> np.ndarray:
    bpy.context.view_layer.update()
    return np.array(armature.matrix_world @ getattr(armature.pose.bones[bone], end))


def test_a_file_of_targets_moves_a_human_with_keyframes(scene, human, demo_dir):
    path = demo_dir / "ik_targets.csv"
    scene.frame_set(3)
    task = ArmatureTask(human.name, "FILE", file=str(path), frame_start=1, frame_end=4)

    solve = ArmatureSolve.gather(scene, task)
    drain(solve)

    report = solve.report()
    assert report["mean_cm"] < 0.1
    assert scene.frame_current == 3
    targets = read_targets(path)
    for frame in (1, 4):
        scene.frame_set(frame)
        for bone in ("LeftHand", "RightFoot", "Head"):
            x, y, z = targets.positions[frame - 1, targets.names.index(bone)]
            np.testing.assert_allclose(head_of(human, bone), (x, -z, y), atol=0.01)
    keyed = {curve.data_path.split('"')[1] for curve in fcurves(human)}
    assert keyed == set(solve.chain.bones)


def write_goal(path, positions):
    """A file in which a point goes through (F, 3) positions, two frames a second."""
    rows = [f"{frame},{frame / 2},{x},{y},{z}" for frame, (x, y, z) in enumerate(positions)]
    path.write_text("\n".join(["frame,time,goal_x,goal_y,goal_z", *rows]), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("up", "seen"),
    [
        ("Z", (1, 2, 3)),
        ("-Z", (1, -2, -3)),
        ("Y", (1, -3, 2)),
        ("-Y", (1, 3, -2)),
        ("X", (-3, 2, 1)),
        ("-X", (3, 2, -1)),
        ("AUTO", (1, -3, 2)),
    ],
)
def test_an_axis_of_the_file_points_up(scene, arm, tmp_path, up, seen):
    task = ArmatureTask("Arm", "FILE", file=write_goal(tmp_path / "goal.csv", [(1, 2, 3)]), up=up, unit="m")

    points = TargetSource.open(scene, task).read(scene, None, 1)

    np.testing.assert_allclose(points["goal"], seen, atol=1e-12)


@pytest.mark.parametrize("unit_length", [1.0, 0.01])
def test_targets_are_scaled_and_moved_into_the_scene(scene, arm, tmp_path, unit_length):
    scene.unit_settings.scale_length = unit_length
    file = write_goal(tmp_path / "goal.csv", [(10, 20, 30)])
    task = ArmatureTask(
        "Arm", "FILE", file=file, up="Z", unit="cm", target_scale=2.0, target_offset=(1.0, 0.0, -1.0), first_frame=7
    )

    points = TargetSource.open(scene, task).read(scene, None, 7)

    np.testing.assert_allclose(points["goal"], 2 * np.array([0.1, 0.2, 0.3]) / unit_length + [1, 0, -1], rtol=1e-6)


def test_a_placed_collection_is_followed(scene, arm):
    goal = np.array([0.15, 0.1, 0.2])
    task = ArmatureTask(
        "Arm",
        collection=add_empties(scene, {"goal": goal}),
        bones=(BoneTarget("goal", "bone3_end"),),
        target_scale=10.0,
        target_offset=(0.0, 0.5, 0.0),
    )

    drain(ArmatureSolve.gather(scene, task))

    np.testing.assert_allclose(head_of(arm, "bone3", "tail"), 10 * goal + [0, 0.5, 0], atol=1e-3)


def test_a_file_keeps_its_speed_in_a_scene_of_another_rate(scene, arm, tmp_path):
    scene.render.fps = 4  # twice as many as the file's
    file = write_goal(tmp_path / "goal.csv", [(0, 0, 0), (1, 0, 0), (1, 2, 0)])
    task = ArmatureTask("Arm", "FILE", file=file, up="Z", unit="m", frame_start=1, frame_end=99, keep_speed=True)

    source = TargetSource.open(scene, task)
    frames, notices = frames_to_solve(scene, task, source)

    assert frames == (1, 2, 3, 4, 5)
    assert notices == ["The file ends at frame 5."]
    seen = [source.read(scene, None, frame)["goal"] for frame in frames]
    np.testing.assert_allclose(seen, [(0, 0, 0), (0.5, 0, 0), (1, 0, 0), (1, 1, 0), (1, 2, 0)], atol=1e-6)


def test_a_file_starts_at_the_frame_that_is_set(scene, arm, tmp_path):
    file = write_goal(tmp_path / "goal.csv", [(0, 0, 0), (1, 0, 0)])
    task = ArmatureTask("Arm", "FILE", file=file, first_frame=101, frame_start=102, frame_end=102)

    source = TargetSource.open(scene, task)

    assert frames_to_solve(scene, task, source)[0] == (102,)
    with pytest.raises(SolverError, match="for frames 101 to 102 and none for frame 1"):
        frames_to_solve(scene, replace(task, frame_start=1), source)


def fcurves(thing):
    action = thing.animation_data.action
    return action.fcurves if hasattr(action, "fcurves") else action.layers[0].strips[0].channelbags[0].fcurves


@pytest.mark.parametrize("scale", [1.0, 0.01])
def test_object_transforms_and_units_do_not_matter(scale, scene, human):
    human.matrix_world = Matrix.LocRotScale((1, 2, 3), Euler((0.1, 0.2, 2)), Vector((2, 2, 2)))
    scene.unit_settings.scale_length = scale
    for bone, angle in (("LeftArm", 0.5), ("RightLeg", 0.4), ("Spine", 0.2)):
        human.pose.bones[bone].matrix_basis = Quaternion((1, 0.5, 0), angle).to_matrix().to_4x4()
    bpy.context.view_layer.update()
    names = [bone.name for bone in human.pose.bones]
    truth = {name: head_of(human, name) for name in names}
    for bone in human.pose.bones:
        bone.matrix_basis = Matrix()

    solve = ArmatureSolve.gather(scene, ArmatureTask(human.name, collection=add_empties(scene, truth)))
    drain(solve)

    for name in names:
        np.testing.assert_allclose(head_of(human, name), truth[name], atol=5e-3)
    assert solve.report()["worst_cm"] < 0.3 * 2 * scale


def test_the_result_is_that_of_the_library(scene, human, demo_dir):
    import solver_core as sc

    solve = ArmatureSolve.gather(scene, ArmatureTask(human.name, "FILE", file=str(demo_dir / "ik_targets.csv")))
    steps = drain(solve)

    inputs, chain = solve.inputs, solve.chain
    expected = sc.solve_inverse_kinematics(
        inputs.targets, chain.skeleton, inputs.weights, limits=inputs.limits, limit_axes=chain.rest
    )
    np.testing.assert_allclose(solve.result.rotations, expected.rotations, atol=1e-6)
    assert len(steps) == len(expected.history) + 1


def test_an_arm_reaches_its_target_from_a_base_that_stays(scene, arm):
    goal = (1.5, 1, 2)
    task = ArmatureTask("Arm", collection=add_empties(scene, {"goal": goal}), bones=(BoneTarget("goal", "bone3_end"),))

    drain(ArmatureSolve.gather(scene, task))

    np.testing.assert_allclose(head_of(arm, "bone3", "tail"), goal, atol=1e-3)
    np.testing.assert_allclose(head_of(arm, "bone0"), 0, atol=1e-6)
    assert arm.animation_data is None


@pytest.mark.parametrize("kind", ["IK", "CONSTRAINT"])
def test_limits_of_rolled_bones_hold(kind, scene, arm):
    allowed = np.radians([-20, 30])
    for bone in arm.pose.bones:
        bone.rotation_mode = "XYZ"
        if kind == "IK":
            bone.use_ik_limit_x, bone.ik_min_x, bone.ik_max_x = True, *allowed
            bone.lock_ik_y = True
            bone.use_ik_limit_z, bone.ik_min_z, bone.ik_max_z = True, 0, 0
        else:
            limit = bone.constraints.new("LIMIT_ROTATION")
            limit.owner_space = "LOCAL"
            limit.use_limit_x, limit.min_x, limit.max_x = True, *allowed
            limit.use_limit_z = True
            bone.lock_rotation[1] = True
    task = ArmatureTask("Arm", collection=add_empties(scene, {"goal": (0, 3, 0)}), bones=(BoneTarget("goal", "bone3_end"),))

    drain(ArmatureSolve.gather(scene, task))

    angles = np.array([bone.rotation_euler for bone in arm.pose.bones])
    np.testing.assert_allclose(angles[:, 1:], 0, atol=1e-5)
    assert (angles[:, 0] > allowed[0] - 1e-5).all()
    assert (angles[:, 0] < allowed[1] + 1e-5).all()
    assert np.abs(angles[:, 0]).max() > 0.2


def test_a_scale_that_a_script_has_just_set_counts(scene, arm):
    collection = add_empties(scene, {"goal": (0.02, 0.01, 0.02)})
    arm.scale = (0.01, 0.01, 0.01)

    solve = ArmatureSolve.gather(scene, ArmatureTask("Arm", collection=collection, bones=(BoneTarget("goal", "bone3_end"),)))
    drain(solve)

    assert solve.report()["worst_cm"] < 0.01
    np.testing.assert_allclose(head_of(arm, "bone3", "tail"), (0.02, 0.01, 0.02), atol=1e-4)


def test_inverse_kinematics_of_a_bone_further_down_is_muted_meanwhile(scene, arm):
    constraint = arm.pose.bones["bone3"].constraints.new("IK")
    task = ArmatureTask("Arm", collection=add_empties(scene, {"goal": (1, 0, 1)}), bones=(BoneTarget("goal", "bone2"),))

    solve = ArmatureSolve.gather(scene, task)
    solve.read(scene.frame_current)

    assert constraint.mute
    solve.restore()
    assert not constraint.mute


def reach(scene, **options) -> ArmatureTask:
    """The end of the arm goes where an empty is."""
    collection = add_empties(scene, {"goal": (1, 1, 2)})
    return ArmatureTask(
        "Arm", collection=collection, bones=(BoneTarget("goal", "bone3_end"),), options=ArmatureOptions(**options)
    )


def hold_by_constraint(scene, arm):
    constraint = arm.pose.bones["bone1"].constraints.new("COPY_ROTATION")
    constraint.target = scene.objects["goal"]
    return constraint


def hold_by_driver(scene, arm):
    arm.pose.bones["bone1"].rotation_mode = "XYZ"
    driver = arm.pose.bones["bone1"].driver_add("rotation_euler", 0)
    driver.driver.expression = "0.8"
    return driver


HOLDS = [(hold_by_constraint, "is held by its constraint 'Copy Rotation'"), (hold_by_driver, "has a driver on its rotation")]


@pytest.mark.parametrize(("hold", "sentence"), HOLDS)
def test_bones_that_are_held_are_refused_with_the_way_out(hold, sentence, scene, arm):
    task = reach(scene)
    hold(scene, arm)

    with pytest.raises(SolverError, match=f"The bone 'bone1' {sentence}.*Mute Constraints"):
        ArmatureSolve.gather(scene, task)


@pytest.mark.parametrize(("hold", "_"), HOLDS)
def test_what_holds_bones_is_muted_for_good_where_that_is_wanted(hold, _, scene, arm):
    task = reach(scene, mute=True)
    held = hold(scene, arm)

    solve = ArmatureSolve.gather(scene, task)
    drain(solve)

    assert held.mute
    report = solve.report()
    assert report["verdict"] == "good"
    assert report["worst_cm"] < 0.1
    assert "What held 'bone1' is muted" in report["notices"][-1]


@pytest.mark.parametrize(("hold", "_"), HOLDS)
def test_restore_lets_what_was_muted_act_again(hold, _, scene, arm):
    task = reach(scene, mute=True)
    held = hold(scene, arm)
    solve = ArmatureSolve.gather(scene, task)
    solve.read(solve.parts[0])
    assert held.mute

    solve.restore()

    assert not held.mute


def test_joints_are_measured_in_the_scene_with_the_cause(scene, arm):
    task = reach(scene)
    limit = arm.pose.bones["bone1"].constraints.new("LIMIT_ROTATION")
    limit.owner_space, limit.use_limit_x, limit.use_limit_y, limit.use_limit_z = "WORLD", True, True, True

    solve = ArmatureSolve.gather(scene, task)
    drain(solve)

    report = solve.report()
    assert report["verdict"] != "good"
    seen = arm.matrix_world @ arm.pose.bones["bone3"].tail
    assert report["worst_cm"] == pytest.approx(100 * np.linalg.norm(np.array(seen) - (1, 1, 2)), abs=0.1)
    assert f"bone3_end is {report['worst_cm']:.1f} cm from its target" in report["explanation"]
    assert "The bone 'bone1' is held by its constraint 'Limit Rotation'" in report["explanation"]
    assert not limit.mute


def test_keyframes_that_take_a_frame_back_are_the_cause(scene, arm):
    task = reach(scene)
    arm.pose.bones["bone1"].keyframe_insert("rotation_quaternion", frame=1)

    solve = ArmatureSolve.gather(scene, task)
    drain(solve)

    assert "'Arm' is animated" in solve.report()["explanation"]
    bpy.context.view_layer.update()
    tail = arm.matrix_world @ arm.pose.bones["bone3"].tail
    np.testing.assert_allclose(tail, (1, 1, 2), atol=1e-3)  # the answer can still be looked at


def test_a_rig_that_copies_another_one_is_solved_there(scene, human):
    controls = human.copy()
    controls.name = "Controls"
    scene.collection.objects.link(controls)
    other = human.copy()
    scene.collection.objects.link(other)
    other.pose.bones["LeftArm"].matrix_basis = Quaternion((1, 0, 0), 0.7).to_matrix().to_4x4()
    for bone in human.pose.bones:
        constraint = bone.constraints.new("COPY_TRANSFORMS")
        constraint.target, constraint.subtarget = controls, bone.name

    solve = ArmatureSolve.gather(scene, ArmatureTask(human.name, "ARMATURE", target_armature=other.name))
    drain(solve)

    assert solve.report()["verdict"] == "good"
    assert "in 'Controls'" in solve.report()["notices"][-1]
    np.testing.assert_allclose(head_of(human, "LeftHand"), head_of(other, "LeftHand"), atol=1e-3)
    assert tuple(human.pose.bones["LeftArm"].location) == (0, 0, 0)


def test_restore_puts_back_the_pose_to_the_bit(scene, arm):
    for bone in arm.pose.bones:
        bone.rotation_quaternion = Quaternion((1, 0.2, 0.1, 0))
    before = [tuple(bone.rotation_quaternion) for bone in arm.pose.bones]
    task = ArmatureTask("Arm", collection=add_empties(scene, {"goal": (1, 1, 2)}), bones=(BoneTarget("goal", "bone3_end"),))
    solve = ArmatureSolve.gather(scene, task)
    solve.read(solve.parts[0])
    for step in list(solve.steps())[-2:]:
        solve.apply(step)

    solve.restore()

    assert [tuple(bone.rotation_quaternion) for bone in arm.pose.bones] == before


def test_another_armature_gives_the_targets_and_the_guess(scene, human):
    other = human.copy()
    scene.collection.objects.link(other)
    other.pose.bones["LeftArm"].matrix_basis = Quaternion((1, 0, 0), 0.7).to_matrix().to_4x4()
    task = ArmatureTask(human.name, "ARMATURE", target_armature=other.name)

    rows = rows_of(match_bones(scene, task))
    drain(ArmatureSolve.gather(scene, task))

    assert BoneTarget("LeftHand", "LeftHand") in rows
    np.testing.assert_allclose(head_of(human, "LeftHand"), head_of(other, "LeftHand"), atol=1e-3)


def test_the_pose_of_a_frame_counts_as_rest(scene, human, demo_dir):
    """The arms are stretched up in the rest pose, and bones are rolled; at frame 0 it stands as the demo's figure does."""
    turns = {"LeftArm": Euler((0.3, 0.5, 1.9)), "RightArm": Euler((0.2, -0.4, -1.8)), "LeftUpLeg": Euler((2.0, 0.6, 0.2))}
    bpy.context.view_layer.objects.active = human
    for name, turn in turns.items():
        human.pose.bones[name].rotation_mode = "QUATERNION"
        human.pose.bones[name].rotation_quaternion = turn.to_quaternion()
    with bpy.context.temp_override(object=human, active_object=human):
        bpy.ops.object.mode_set(mode="POSE")
        bpy.ops.pose.armature_apply(selected=False)
        bpy.ops.object.mode_set(mode="OBJECT")
    for name, turn in turns.items():
        bone = human.pose.bones[name]
        bone.rotation_quaternion = turn.to_quaternion().inverted()
        bone.keyframe_insert("rotation_quaternion", frame=0)
        bone.rotation_quaternion = (1, 0, 0, 0)
        bone.keyframe_insert("rotation_quaternion", frame=1)
    scene.frame_set(1)
    task = ArmatureTask(human.name, "FILE", file=str(demo_dir / "ik_targets.csv"), first_frame=1)

    def wrist(options: ArmatureOptions) -> Quaternion:
        drain(ArmatureSolve.gather(scene, replace(task, options=options)))
        bpy.context.view_layer.update()
        return human.pose.bones["LeftForeArm"].matrix.to_quaternion()

    found, without = wrist(ArmatureOptions(rest_frame=0)), wrist(ArmatureOptions())

    bpy.ops.import_anim.bvh(filepath=str(demo_dir / "ik_rest.bvh"), global_scale=0.01)
    plain = bpy.context.object
    plain.animation_data_clear()
    drain(ArmatureSolve.gather(scene, replace(task, armature=plain.name)))
    bpy.context.view_layer.update()
    expected = plain.pose.bones["LeftForeArm"].matrix.to_quaternion()
    assert np.degrees(found.rotation_difference(expected).angle) < 1
    assert np.degrees(without.rotation_difference(expected).angle) > 5


@pytest.mark.parametrize("source", ["ARMATURE", "FILE"])
def test_bones_are_twisted_as_those_of_the_targets_are(scene, human, demo_dir, tmp_path, source):
    bpy.ops.import_anim.bvh(filepath=str(demo_dir / "ik_rest.bvh"), global_scale=0.01)
    other = bpy.context.object  # bones of both are rolled alike
    other.name = "Other"
    for name in ("LeftForeArm", "LeftHand", "Head"):
        bone = other.pose.bones[name]
        bone.rotation_mode = "QUATERNION"
        bone.rotation_quaternion = Quaternion((0, 1, 0), 0.8)
        bone.keyframe_insert("rotation_quaternion", frame=1)
    task = ArmatureTask(human.name, "ARMATURE", target_armature=other.name)
    if source == "FILE":
        bpy.context.view_layer.objects.active = other
        bpy.ops.export_anim.bvh(filepath=str(tmp_path / "t.bvh"), global_scale=100, frame_start=1, frame_end=1)
        task = ArmatureTask(human.name, "FILE", file=str(tmp_path / "t.bvh"), first_frame=1, up="Z", unit="cm")

    def off(positions_only: bool) -> float:
        """Degrees by which the hand is turned otherwise than the target's."""
        drain(ArmatureSolve.gather(scene, replace(task, options=ArmatureOptions(positions_only=positions_only))))
        bpy.context.view_layer.update()
        hands = [armature.pose.bones["LeftHand"].matrix.to_quaternion() for armature in (human, other)]
        return np.degrees(hands[0].rotation_difference(hands[1]).angle)

    assert off(positions_only=True) > 20
    assert off(positions_only=False) < 0.5
    np.testing.assert_allclose(head_of(human, "LeftHand"), head_of(other, "LeftHand"), atol=2e-3)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"armature": ""}, "Choose an armature: none is given."),
        ({"collection": "Nothing"}, "none with the name 'Nothing'"),
        ({"bones": ()}, "No target has the name of a bone of 'Arm'"),
        ({"bones": (BoneTarget("goal", "elbow"),)}, "has no bone 'elbow' for the target 'goal'"),
        ({"bones": (BoneTarget("gaol", "bone1"),)}, "no target 'gaol' for the bone 'bone1'"),
        ({"bones": (BoneTarget("goal", "bone1", 0.0),)}, "weight of 0"),
        ({"source": "FILE"}, "Choose a file"),
        ({"source": "FILE", "file": "/nowhere.bvh"}, "No such file"),
        ({"source": "ARMATURE", "target_armature": "Arm"}, "another armature"),
    ],
)
def test_what_cannot_be_solved_is_a_sentence(changes, sentence, scene, arm):
    collection = add_empties(scene, {"goal": (1, 1, 2)})
    task = {"armature": "Arm", "collection": collection, "bones": (BoneTarget("goal", "bone3_end"),)} | changes

    with pytest.raises(SolverError, match=sentence):
        ArmatureSolve.gather(scene, ArmatureTask(**task))


def test_a_rest_position_is_a_sentence(scene, arm):
    arm.data.pose_position = "REST"

    with pytest.raises(SolverError, match="switch it to Pose Position"):
        ArmatureSolve.gather(scene, ArmatureTask("Arm"))


def test_a_body_most_of_whose_targets_have_other_names_is_bad_and_they_are_listed(scene, human, demo_dir, tmp_path):
    header, *frames = (demo_dir / "ik_targets.csv").read_text().splitlines()
    kept = ("Spine", "Neck", "Head")
    names = [
        name if name.startswith(kept) else f"thing{number // 3}{name[-2:]}" for number, name in enumerate(header.split(","))
    ]
    (tmp_path / "named.csv").write_text("\n".join([",".join(names), *frames[:2]]))

    solve = ArmatureSolve.gather(scene, ArmatureTask(human.name, "FILE", file=str(tmp_path / "named.csv")))
    drain(solve)
    report = solve.report()

    assert report["verdict"] == "bad"
    assert "none for hips, left arm, right arm" in report["explanation"]
    assert any("Left out the targets thing" in notice for notice in report["notices"])
    assert any("No target for the joints" in notice for notice in report["notices"])
