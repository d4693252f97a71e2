# SPDX-License-Identifier: Apache-2.0
"""Esc and errors put back everything to the bit, also between frames and what was changed without a keyframe."""

import bpy
import numpy as np
import pytest

from addon.bridge.moment import Moment
from addon.solves.armature import ArmatureSolve
from addon.solves.armature_task import ArmatureTask, BoneTarget
from addon.solves.image_source import ImageSource
from addon.solves.lighting import LightingSolve, LightingTask
from addon.solves.pose import PoseSolve, PoseTask, PoseTaskOptions

from .solve_scenes import add_camera, add_monkey

SIMPLE = {"BOOLEAN", "INT", "FLOAT", "STRING", "ENUM"}


def values_of(thing, path="") -> dict:
    """All simple properties of a struct that can be set."""
    found = {}
    for prop in thing.bl_rna.properties:
        if prop.type in SIMPLE and not prop.is_readonly:
            value = getattr(thing, prop.identifier)
            found[f"{path}.{prop.identifier}"] = (
                tuple(map(repr, np.ravel(value))) if getattr(prop, "is_array", False) else value
            )
    return found


def everything() -> dict:
    """What a solve may have changed in the file, by its path."""
    scene = bpy.context.scene
    bpy.context.view_layer.update()
    found = {"frame": (scene.frame_current, scene.frame_subframe)}
    for thing in bpy.data.objects:
        found |= values_of(thing, thing.name)
        found[f"{thing.name}.matrix_world"] = tuple(map(repr, np.ravel(thing.matrix_world)))
        found |= {f"{thing.name}[{key}]": repr(value) for key, value in thing.items() if isinstance(value, float)}
        for bone in thing.pose.bones if thing.pose else ():
            found |= values_of(bone, f"{thing.name}.{bone.name}")
            for constraint in bone.constraints:
                found |= values_of(constraint, f"{thing.name}.{bone.name}.{constraint.name}")
    for block in (*bpy.data.lights, *bpy.data.cameras):
        found |= values_of(block, block.name_full)
    for keys in bpy.data.shape_keys:
        for key in keys.key_blocks:
            found[f"{keys.name}.{key.name}"] = key.value
    for kind in ("objects", "lights", "actions", "meshes", "armatures", "images"):
        found[kind] = sorted(block.name for block in getattr(bpy.data, kind))
    return found


def key(thing, path, values, frames=(1, 6), index=-1) -> None:
    """Keyframes of a property, then an edit of it without one."""
    for frame, value in zip(frames, values[:2], strict=True):
        setattr(thing, path, value)
        thing.keyframe_insert(path, frame=frame, index=index)


@pytest.fixture
def busy(scene):
    """Animated things that the solves have no part in, of every kind of property, and then edits without keyframes."""
    bystander = bpy.data.objects.new("Bystander", bpy.data.meshes.new("Bystander"))
    scene.collection.objects.link(bystander)
    bystander.rotation_mode = "QUATERNION"
    bystander["own"] = 0.1
    key(bystander, "location", [(0, 0, 0), (1, 2, 3)])
    key(bystander, "rotation_quaternion", [(1, 0, 0, 0), (0.5, 0.5, 0.5, 0.5)])
    key(bystander, "hide_render", [False, True])
    for frame, value in ((1, 0.2), (6, 0.9)):
        bystander["own"] = value
        bystander.keyframe_insert('["own"]', frame=frame)
    bystander.shape_key_add(name="Basis")
    shape = bystander.shape_key_add(name="Smile")
    key(shape, "value", [0.0, 1.0])
    light = bpy.data.objects.new("Other", bpy.data.lights.new("Other", "POINT"))
    scene.collection.objects.link(light)
    key(light.data, "energy", [10.0, 20.0])
    key(light.data, "color", [(1, 0, 0), (0, 1, 0)])
    return scene


def edit_without_keyframes() -> None:
    bystander, other = bpy.data.objects["Bystander"], bpy.data.objects["Other"]
    bystander.location = (7.25, 8.5, 1 / 3)
    bystander.rotation_quaternion = (0.1, 0.7, 0.2, 0.3)  # not normalised, which must stay, too
    bystander.hide_render = True
    bystander["own"] = 0.123
    bystander.data.shape_keys.key_blocks["Smile"].value = 0.77
    other.data.energy, other.data.color[1] = 33.3, 0.42


def pose_solve(scene, tmp_path, is_range):
    add_camera(scene)
    monkey = add_monkey(scene)
    key(monkey, "location", [(0, 0, 0), (0.5, 0, 0)])
    scene.frame_set(3, subframe=0.375)
    monkey.location, monkey.rotation_euler = (0.1, 0.2, 0.1), (0.1, 0.1, 0.3)
    mask = np.zeros((96, 128, 4), np.float32)
    mask[30:70, 40:90] = 1
    image = bpy.data.images.new("mask", 128, 96, alpha=True)
    image.pixels.foreach_set(mask.ravel())
    image.filepath_raw, image.file_format = str(tmp_path / "mask.png"), "PNG"
    image.save()
    frames = {"frame_start": 1, "frame_end": 2} if is_range else {}
    source = ImageSource(image="mask")
    return lambda: PoseSolve.gather(scene, PoseTask("Suzanne", "Camera", source, options=PoseTaskOptions(restarts=0), **frames))


def armature_solve(scene, tmp_path, is_range):
    bpy.ops.object.armature_add()
    armature = bpy.context.object
    bpy.ops.object.mode_set(mode="EDIT")
    for number in (1, 2):
        bone = armature.data.edit_bones.new(f"bone{number}")
        bone.head, bone.tail = (0, 0, number), (0, 0, number + 1)
        bone.parent, bone.use_connect = armature.data.edit_bones[number - 1], True
    bpy.ops.object.mode_set(mode="OBJECT")
    goal = bpy.data.objects.new("goal", None)
    targets = bpy.data.collections.new("Targets")
    scene.collection.children.link(targets)
    targets.objects.link(goal)
    key(goal, "location", [(1, 1, 1), (1, 0, 1)])
    bone = armature.pose.bones["bone1"]
    key(bone, "rotation_quaternion", [(1, 0, 0, 0), (0.8, 0.6, 0, 0)])
    held = armature.pose.bones["bone2"].constraints.new("LIMIT_ROTATION")
    held.influence = 0.5
    scene.frame_set(3, subframe=0.375)
    goal.location = (0.5, 0.5, 1.5)
    bone.rotation_quaternion = (0.3, 0.1, 0.2, 0.9)
    frames = {"frame_start": 1, "frame_end": 4} if is_range else {}
    task = ArmatureTask(armature.name, "COLLECTION", collection="Targets", bones=(BoneTarget("goal", "bone2_end"),), **frames)
    return lambda: ArmatureSolve.gather(scene, task)


def lighting_solve(scene, tmp_path, is_range):
    add_camera(scene)
    add_monkey(scene)
    light = bpy.data.objects.new("Sun", bpy.data.lights.new("Sun", "SUN"))
    scene.collection.objects.link(light)
    key(light, "rotation_euler", [(0.7, 0.3, 0.5), (0, 0, 0)])
    key(light.data, "energy", [3.0, 1.0])
    scene.frame_set(3, subframe=0.375)
    light.rotation_euler, light.data.energy = (0.2, 0.1, 0.2), 1.75
    pixels = np.ones((96, 128, 4), np.float32)
    pixels[..., :3] = np.linspace(0.1, 0.6, 128)[:, None]
    image = bpy.data.images.new("photo", 128, 96, alpha=True, float_buffer=True)
    image.pixels.foreach_set(pixels.ravel())
    return lambda: LightingSolve.gather(scene, LightingTask(ImageSource(image="photo"), "Camera", light="Sun"))


@pytest.mark.parametrize("last", ["gather", "read", "one step", "all steps"])
@pytest.mark.parametrize(
    ("make", "is_range"),
    [(pose_solve, False), (pose_solve, True), (armature_solve, False), (armature_solve, True), (lighting_solve, False)],
    ids=["pose", "pose range", "armature", "armature range", "light"],
)
def test_restore_puts_back_everything_wherever_a_solve_is_ended(make, is_range, last, busy, tmp_path):
    gather = make(busy, tmp_path, is_range)
    edit_without_keyframes()
    before = everything()

    solve = gather()
    if last != "gather":
        assert list(solve.read(solve.parts[0])) == []  # nothing that needs Cycles
    if last.endswith(("step", "steps")):
        for number, step in enumerate(solve.steps()):
            solve.apply(step)
            if last == "one step" and number == 1:
                break
    solve.restore()

    after = everything()
    assert {path: (before.get(path), after.get(path)) for path in before | after if before.get(path) != after.get(path)} == {}


def test_a_moment_skips_what_is_gone(busy):
    edit_without_keyframes()
    moment = Moment.of(busy)
    bpy.data.objects.remove(bpy.data.objects["Bystander"])
    busy.frame_set(5)

    moment.restore()

    assert busy.frame_current == 1
    assert bpy.data.lights["Other"].energy == pytest.approx(33.3)
