# SPDX-License-Identifier: Apache-2.0
"""Rigs whose limbs are held by inverse kinematics: the controls go where they put the bones as solved."""

import bpy
import numpy as np
import pytest
from mathutils import Euler

from addon.solves.armature import ArmatureSolve
from addon.solves.armature_task import ArmatureTask, BoneTarget
from solver_core.errors import SolverError

from .solve_scenes import drain

LEG = {"Hip": (0, 0, 2), "Thigh": (0.2, 0, 1.9), "Shin": (0.2, -0.05, 1), "Foot": (0.2, 0, 0.1), "end": (0.2, -0.3, 0)}
ROWS = tuple(BoneTarget(name, name) for name in (*list(LEG)[:-1], "Foot_end"))


def leg(scene, name):
    """A hip with a leg."""
    rig = bpy.data.objects.new(name, bpy.data.armatures.new(name))
    scene.collection.objects.link(rig)
    bpy.context.view_layer.objects.active = rig
    bpy.ops.object.mode_set(mode="EDIT")
    bones, places = rig.data.edit_bones, list(LEG.items())
    for (bone, head), (_, tail) in zip(places[:-1], places[1:], strict=True):
        made = bones.new(bone)
        made.head, made.tail, made.parent = head, tail, bones[-2] if len(bones) > 1 else None
    bpy.ops.object.mode_set(mode="OBJECT")
    for bone in rig.pose.bones:
        bone.rotation_mode = "XYZ"
    return rig


@pytest.fixture
def target(scene):
    """A leg that kicks for three frames."""
    target = leg(scene, "Target")
    for frame, (thigh, shin) in enumerate([(0.3, 0.2), (0.7, -0.5), (-0.4, 0.6)], start=1):
        for name, angles in (("Thigh", (thigh, 0.1, 0.2)), ("Shin", (shin, 0, 0)), ("Foot", (0.2, 0.1, -0.1 * frame))):
            target.pose.bones[name].rotation_euler = angles
            target.pose.bones[name].keyframe_insert("rotation_euler", frame=frame)
    return target


@pytest.fixture
def rig(scene, target):
    """A leg with a control at its foot and one before its knee, below a root that is posed, in a moved armature."""
    rig = leg(scene, "Rig")
    bpy.ops.object.mode_set(mode="EDIT")
    bones = rig.data.edit_bones
    for name, head, tail in (("Root", (0, 0, 0), (0, 0.5, 0)), ("Pole", (0.2, -1, 1), (0.2, -1.1, 1))):
        bones.new(name).head, bones[name].tail = head, tail
    control = bones.new("Control")
    control.head, control.tail, control.roll = bones["Foot"].head, bones["Foot"].tail, bones["Foot"].roll
    control.parent = bones["Pole"].parent = bones["Root"]
    bpy.ops.object.mode_set(mode="OBJECT")
    root = rig.pose.bones["Root"]
    root.location, root.rotation_mode, root.rotation_euler = (0.1, 0.2, 0.3), "XYZ", Euler((0.1, 0.3, 0.2))
    rig.location, rig.scale = (0.4, 0.3, 0.1), (1.5, 1.5, 1.5)
    target.matrix_basis = rig.matrix_basis
    constraint = rig.pose.bones["Shin"].constraints.new("IK")
    constraint.target, constraint.subtarget, constraint.chain_count = rig, "Control", 2
    return rig


def task(**changes) -> ArmatureTask:
    return ArmatureTask(**{"armature": "Rig", "source": "ARMATURE", "target_armature": "Target", "bones": ROWS} | changes)


def expect_followed(scene, rig, target, frames):
    for frame in frames:
        scene.frame_set(frame)
        for name in target.pose.bones.keys():  # noqa: SIM118 - of a collection of Blender
            np.testing.assert_allclose(
                rig.matrix_world @ rig.pose.bones[name].tail, target.matrix_world @ target.pose.bones[name].tail, atol=1e-3
            )


def bend_towards_pole(rig):
    constraint = rig.pose.bones["Shin"].constraints["IK"]
    constraint.pole_target, constraint.pole_subtarget, constraint.pole_angle = rig, "Pole", 0.7


def turn_with_control(rig):
    constraint = rig.pose.bones["Foot"].constraints.new("COPY_ROTATION")
    constraint.target, constraint.subtarget = rig, "Control"


@pytest.mark.parametrize("changes", [(), (bend_towards_pole,), (turn_with_control,), (bend_towards_pole, turn_with_control)])
def test_controls_are_keyed_so_that_the_bones_are_as_solved(changes, scene, rig, target):
    for change in changes:
        change(rig)

    solve = ArmatureSolve.gather(scene, task(frame_start=1, frame_end=3))
    drain(solve)

    report = solve.report()
    assert report["verdict"] == "good"
    assert "controls that hold solved bones were posed as well: 'Control'" in report["notices"][-1]
    assert not rig.pose.bones["Shin"].constraints["IK"].mute
    expect_followed(scene, rig, target, (1, 2, 3))


def test_a_single_frame_poses_the_controls_and_restore_puts_them_back(scene, rig, target):
    scene.frame_set(2)
    before = tuple(rig.pose.bones["Control"].location)

    solve = ArmatureSolve.gather(scene, task())
    drain(solve)

    bpy.context.view_layer.update()
    expect_followed(scene, rig, target, (2,))
    solve.restore()
    assert tuple(rig.pose.bones["Control"].location) == before


def lock_control(rig):
    rig.pose.bones["Control"].lock_location[1] = True


def hold_control(rig):
    constraint = rig.pose.bones["Control"].constraints.new("COPY_LOCATION")
    constraint.target, constraint.subtarget = rig, "Root"


def drive_thigh(rig):
    rig.pose.bones["Thigh"].driver_add("rotation_euler", 0)


def blend(rig):
    rig.pose.bones["Shin"].constraints["IK"].influence = 0.5


def track(rig):
    constraint = rig.pose.bones["Thigh"].constraints.new("DAMPED_TRACK")
    constraint.target, constraint.subtarget = rig, "Pole"


@pytest.mark.parametrize("change", [lock_control, hold_control, drive_thigh, blend, track])
def test_what_no_control_can_reach_is_refused(change, scene, rig):
    change(rig)

    with pytest.raises(SolverError, match=r"The bone '(Thigh|Shin)' .* The setting Mute Constraints"):
        ArmatureSolve.gather(scene, task())
