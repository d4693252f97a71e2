# SPDX-License-Identifier: Apache-2.0
"""An arm of three bones and a collection of empties at its joints, as they are when the arm is bent."""

import bpy
from mathutils import Euler

BONES = ("Upper", "Lower", "Hand")
BENT = {"Upper": (0.5, 0.2, 0.0), "Lower": (0.7, 0.0, 0.3), "Hand": (0.2, 0.0, -0.4)}


def make_armature_scene(scene):
    """Returns the arm, straight, with its targets chosen."""
    armature = bpy.data.objects.new("Arm", bpy.data.armatures.new("Arm"))
    scene.collection.objects.link(armature)
    bpy.context.view_layer.objects.active = armature
    bpy.ops.object.mode_set(mode="EDIT")
    for number, name in enumerate(BONES):
        bone = armature.data.edit_bones.new(name)
        bone.head, bone.tail = (0, 0, number), (0, 0, number + 1)
        if number:
            bone.parent, bone.use_connect = armature.data.edit_bones[BONES[number - 1]], True
    bpy.ops.object.mode_set(mode="OBJECT")
    targets = bpy.data.collections.new("Targets")
    scene.collection.children.link(targets)
    bend(armature, BENT)
    for name, place in joints(armature).items():
        empty = bpy.data.objects.new(name, None)
        empty.location = place
        targets.objects.link(empty)
    bend(armature, dict.fromkeys(BONES, (0, 0, 0)))
    scene.deep_feedback.armature.collection = targets
    return armature


def bend(armature, angles):
    for name, euler in angles.items():
        bone = armature.pose.bones[name]
        bone.rotation_mode = "QUATERNION"
        bone.rotation_quaternion = Euler(euler).to_quaternion()
    bpy.context.view_layer.update()


def joints(armature):
    """Where heads are, and the last tail."""
    bpy.context.view_layer.update()
    bones = armature.pose.bones
    places = {name: armature.matrix_world @ bones[name].head for name in BONES}
    return places | {"Hand_end": armature.matrix_world @ bones["Hand"].tail}
