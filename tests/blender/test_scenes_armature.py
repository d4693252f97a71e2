# SPDX-License-Identifier: Apache-2.0
"""Rigs that artists have: the distance that is reported is that of the scene as it plays, or the solve is refused."""

import bpy
import numpy as np
import pytest
from mathutils import Euler, Vector

from addon.solves.armature import ArmatureSolve
from addon.solves.armature_task import ArmatureTask
from solver_core.errors import SolverError

from .solve_scenes import drain

FRAMES = range(1, 7)
TOLERANCE_CM = 0.1
BODY = [("Hips", None, (0, 0, 1)), ("Spine", "Hips", (0, 0, 1.1)), ("Spine1", "Spine", (0, 0, 1.25))]
BODY += [("Spine2", "Spine1", (0, 0, 1.4)), ("Neck", "Spine2", (0, 0, 1.5)), ("Head", "Neck", (0, 0, 1.6))]
LIMBS = {
    "Shoulder": ("Spine2", (0.05, 0, 1.45)),
    "Arm": ("Shoulder", (0.18, 0, 1.45)),
    "ForeArm": ("Arm", (0.46, 0.01, 1.45)),
    "Hand": ("ForeArm", (0.72, 0, 1.45)),
    "UpLeg": ("Hips", (0.1, 0, 0.95)),
    "Leg": ("UpLeg", (0.1, -0.01, 0.5)),
    "Foot": ("Leg", (0.1, 0.02, 0.08)),
    "ToeBase": ("Foot", (0.1, -0.12, 0.02)),
}
UNREAL = {"Hips": "pelvis", "Spine": "spine_01", "Spine1": "spine_02", "Spine2": "spine_03", "Neck": "neck_01", "Head": "head"}
UNREAL_LIMBS = ("clavicle", "upperarm", "lowerarm", "hand", "thigh", "calf", "foot", "ball")
RIGIFY = {"Hips": "spine", "Spine": "spine.001", "Spine1": "spine.002", "Spine2": "spine.003"}
RIGIFY |= {"Neck": "spine.004", "Head": "spine.006"}
RIGIFY_LIMBS = ("shoulder", "upper_arm", "forearm", "hand", "thigh", "shin", "foot", "toe")
VRM = {"Hips": "Hips", "Spine": "Spine", "Spine1": "Chest", "Spine2": "UpperChest", "Neck": "Neck", "Head": "Head"}
VRM_LIMBS = ("Shoulder", "UpperArm", "LowerArm", "Hand", "UpperLeg", "LowerLeg", "Foot", "ToeBase")
for side, letter in (("Left", "l"), ("Right", "r")):
    BODY += [
        (side + name, parent if parent in ("Spine2", "Hips") else side + parent, (x if side == "Left" else -x, y, z))
        for name, (parent, (x, y, z)) in LIMBS.items()
    ]
    for name, unreal, rigify, vrm in zip(LIMBS, UNREAL_LIMBS, RIGIFY_LIMBS, VRM_LIMBS, strict=True):
        UNREAL[side + name] = f"{unreal}_{letter}"
        RIGIFY[side + name] = f"{rigify}.{letter.upper()}"
        VRM[side + name] = f"{letter.upper()}_{vrm}"
NAMINGS = {
    "mixamo": lambda name: f"mixamorig:{name}",
    "unreal": UNREAL.get,
    "rigify": RIGIFY.get,
    "rigify_deform": lambda name: f"DEF-{RIGIFY[name]}",
    "vrm": lambda name: f"J_Bip_{'' if VRM[name][1] == '_' else 'C_'}{VRM[name]}",
    "numbered": lambda name: f"{name}.001",
}


def rig(name, rename=lambda name: name, unit=1.0, scale=1.0, roll=0.0):
    """A human of 20 bones in a T-pose, 1.8 m tall."""
    armature = bpy.data.objects.new(name, bpy.data.armatures.new(name))
    bpy.context.scene.collection.objects.link(armature)
    bpy.context.view_layer.objects.active = armature
    bpy.ops.object.mode_set(mode="EDIT")
    heads = {bone: unit * Vector(head) for bone, _, head in BODY}
    below = {parent: bone for bone, parent, _ in reversed(BODY)}
    for number, (bone, parent, _) in enumerate(BODY):
        made = armature.data.edit_bones.new(rename(bone))
        made.head = heads[bone]
        made.tail = heads[below[bone]] if bone in below else heads[bone] + unit * Vector((0, 0, 0.1))
        made.roll = roll * number
        if parent:
            made.parent = armature.data.edit_bones[rename(parent)]
    bpy.ops.object.mode_set(mode="OBJECT")
    armature.scale = (scale, scale, scale)
    bpy.context.view_layer.update()
    return armature


def animate(armature, extent=1.0, seed=3):
    rng = np.random.default_rng(seed)
    for bone in armature.pose.bones:
        bone.rotation_mode = "QUATERNION"
        start = rng.uniform(0, 6, 3)
        for frame in FRAMES:
            angles = extent * np.array([0.3, 0.15, 0.2]) * np.sin(0.15 * frame + start)
            bone.rotation_quaternion = Euler(angles).to_quaternion()
            bone.keyframe_insert("rotation_quaternion", frame=frame)


def solved(armature, target, frames=FRAMES):
    ends = {"frame_start": frames[0], "frame_end": frames[-1]} if frames else {}
    solve = ArmatureSolve.gather(
        bpy.context.scene, ArmatureTask(armature.name, "ARMATURE", target_armature=target.name, **ends)
    )
    drain(solve)
    return solve.report(), solve.task.bones


def distances_cm(armature, target, rows, frames=FRAMES):
    """Between heads and targets as the scene plays them; solved tails are left out."""
    found = []
    for frame in frames:
        bpy.context.scene.frame_set(frame)
        depsgraph = bpy.context.evaluated_depsgraph_get()
        posed, followed = armature.evaluated_get(depsgraph), target.evaluated_get(depsgraph)
        for row in (row for row in rows if not row.bone.endswith("_end") and not row.target.endswith("_end")):
            head = posed.matrix_world @ posed.pose.bones[row.bone].head
            found.append((head - followed.matrix_world @ followed.pose.bones[row.target].head).length)
    return 100 * np.array(found)


@pytest.fixture
def target(scene):
    made = rig("Target")
    animate(made)
    return made


@pytest.mark.parametrize("naming", NAMINGS)
def test_rigs_of_other_names_are_where_is_said(naming, scene, target):
    armature = rig("Rig", NAMINGS[naming])

    report, rows = solved(armature, target)

    real = distances_cm(armature, target, rows)
    assert report["worst_cm"] >= real.max() - TOLERANCE_CM
    assert real.max() < TOLERANCE_CM
    assert len(rows) >= 20


def as_it_is(armature):
    pass


def other_modes(armature):
    for number, bone in enumerate(armature.pose.bones):
        bone.rotation_mode = ("XYZ", "ZYX", "AXIS_ANGLE", "QUATERNION", "YXZ")[number % 5]


def keys_that_are_there(armature):
    animate(armature, 2.0, seed=5)


def inverse_kinematics(armature):
    bpy.ops.object.mode_set(mode="EDIT")
    bones = armature.data.edit_bones
    ends = {"LeftHand": "LeftForeArm", "RightFoot": "RightLeg"}
    for end in ends:
        control = bones.new(f"IK {end}")
        control.head, control.tail = bones[end].head, bones[end].head + Vector((0, -0.15, 0))
    bpy.ops.object.mode_set(mode="OBJECT")
    for end, last in ends.items():
        held = armature.pose.bones[last].constraints.new("IK")
        held.target, held.subtarget, held.chain_count = armature, f"IK {end}", 2


def moved_and_turned(armature):
    armature.location, armature.rotation_euler = (0.4, 0.2, 0.1), (0.1, 0.2, 0.5)


def limited(armature):
    bone = armature.pose.bones["LeftForeArm"]
    bone.lock_ik_x = bone.lock_ik_y = bone.use_ik_limit_z = True
    bone.ik_min_z, bone.ik_max_z = -0.05, 0.05


@pytest.mark.parametrize(
    ("change", "making", "is_met"),
    [
        (as_it_is, {"unit": 100, "scale": 0.01}, True),
        (as_it_is, {"roll": 1.3}, True),
        (other_modes, {}, True),
        (keys_that_are_there, {}, True),
        (inverse_kinematics, {}, True),
        (moved_and_turned, {}, True),
        (limited, {}, False),
    ],
    ids=["centimetres", "rolls", "modes", "keys", "ik", "moved", "limited"],
)
def test_the_reported_distance_is_that_of_the_scene(change, making, is_met, scene, target):
    armature = rig("Rig", **making)
    change(armature)

    report, rows = solved(armature, target)

    real = distances_cm(armature, target, rows)
    assert report["worst_cm"] == pytest.approx(real.max(), abs=TOLERANCE_CM)
    if is_met:
        assert real.max() < 2 * TOLERANCE_CM


def test_a_child_follows_an_adult_at_its_own_size(scene, target):
    armature = rig("Rig", unit=0.7)

    report, rows = solved(armature, target)

    reach = distances_cm(armature, target, rows)
    assert report["worst_cm"] >= reach.max() > 30  # the adult's own places are out of reach, those of tails most
    assert report["verdict"] == "doubtful"
    assert "set their Scale under Placement to 0.70" in report["explanation"]
    for frame in FRAMES:
        scene.frame_set(frame)
        child, adult = (
            np.array([thing.matrix_world @ thing.pose.bones[name].head for name, *_ in BODY]) for thing in (armature, target)
        )
        np.testing.assert_allclose(child - child[0], 0.7 * (adult - adult[0]), atol=2e-3)


def test_an_adult_that_is_scaled_to_a_child_is_met(scene, target):
    armature = rig("Rig", unit=0.7)
    task = ArmatureTask("Rig", "ARMATURE", target_armature="Target", frame_start=1, frame_end=6, target_scale=0.7)

    solve = ArmatureSolve.gather(scene, task)
    drain(solve)

    assert solve.report()["worst_cm"] < 2 * TOLERANCE_CM
    for frame in FRAMES:
        scene.frame_set(frame)
        for name, *_ in BODY:
            np.testing.assert_allclose(armature.pose.bones[name].head, 0.7 * target.pose.bones[name].head, atol=1e-3)


def test_a_strip_that_plays_as_well_is_seen(scene, target):
    armature = rig("Rig")
    animate(armature, 2.0, seed=5)
    data = armature.animation_data
    action, slot = data.action, getattr(data, "action_slot", None)
    strip = data.nla_tracks.new().strips.new("Dance", 1, action)
    if slot is not None:
        strip.action_slot = slot
    data.action = None

    report, rows = solved(armature, target)

    real = distances_cm(armature, target, rows)
    assert report["worst_cm"] >= real.max() - TOLERANCE_CM  # the tails are farther out


def test_a_driver_that_holds_a_bone_is_refused(scene, target):
    armature = rig("Rig")
    bone = armature.pose.bones["LeftArm"]
    bone.rotation_mode = "XYZ"
    bone.driver_add("rotation_euler", 0).driver.expression = "0.8"

    with pytest.raises(SolverError, match="The bone 'LeftArm' has a driver on its rotation"):
        solved(armature, target)


def test_a_deform_rig_follows_the_controls_that_are_posed(scene, target):
    controls, deform = rig("Controls"), rig("Deform")
    for bone in deform.pose.bones:
        copied = bone.constraints.new("COPY_TRANSFORMS")
        copied.target, copied.subtarget = controls, bone.name

    report, rows = solved(deform, target)

    real = distances_cm(deform, target, rows)
    assert report["worst_cm"] >= real.max() - TOLERANCE_CM
    assert real.max() < TOLERANCE_CM
