# SPDX-License-Identifier: Apache-2.0
"""Keyframes of many frames at once are what Blender's own insertion of each would give, and leave the others alone."""

import time

import bpy
import numpy as np
import pytest

from addon.bridge.keyframes import set_keys
from solver_core.errors import SetupError

FRAMES = range(1, 11)


@pytest.fixture
def thing(scene):
    thing = bpy.data.objects.new("Thing", None)
    scene.collection.objects.link(thing)
    return thing


def curves_of(thing):
    data = thing.animation_data
    if not hasattr(data, "action_slot"):
        return data.action.fcurves
    return data.action.layers[0].strips[0].channelbag(data.action_slot).fcurves


def keys(thing, channel="location", index=0):
    return list(curves_of(thing).find(channel, index=index).keyframe_points)


def test_keys_hold_the_values_with_the_user_s_interpolation(thing, rng):
    values = rng.normal(size=(10, 3))

    set_keys(thing, "location", FRAMES, values)

    for index in range(3):
        points = keys(thing, index=index)
        np.testing.assert_allclose([point.co for point in points], np.stack([FRAMES, values[:, index]], axis=1), atol=1e-6)
        assert {point.interpolation for point in points} == {"BEZIER"}
        assert {point.handle_left_type for point in points} == {"AUTO_CLAMPED"}


def test_the_motion_is_that_of_keys_inserted_one_by_one(scene, thing, rng):
    values, other = rng.normal(size=(10, 3)), bpy.data.objects.new("Other", None)
    scene.collection.objects.link(other)
    for frame, value in zip(FRAMES, values, strict=True):
        other.location = value
        other.keyframe_insert("location", frame=frame)

    set_keys(thing, "location", FRAMES, values)

    for frame in np.arange(1, 10, 0.3):
        ours, theirs = ([curve.evaluate(frame) for curve in curves_of(one)] for one in (thing, other))
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_keys_outside_the_range_stay_and_those_within_are_replaced(thing):
    for frame in (-3, 2.5, 7.25, 11, 40):
        thing.location.x = frame
        thing.keyframe_insert("location", frame=frame)
    early = keys(thing)[0]
    early.interpolation, early.handle_left_type, early.type = "ELASTIC", "FREE", "EXTREME"
    early.handle_left, early.amplitude, early.select_control_point = (-8, 3), 0.25, False

    set_keys(thing, "location", FRAMES, np.zeros((10, 3)))

    points = keys(thing)
    assert [point.co.x for point in points] == [-3, *FRAMES, 11, 40]
    assert [point.co.y for point in points] == [-3, *[0] * 10, 11, 40]
    early = points[0]
    assert (early.interpolation, early.handle_left_type, early.type) == ("ELASTIC", "FREE", "EXTREME")
    assert (tuple(early.handle_left), early.amplitude, early.select_control_point) == ((-8, 3), 0.25, False)


def test_bones_are_keyed_in_the_action_of_their_armature(scene):
    armature = bpy.data.objects.new("Rig", bpy.data.armatures.new("Rig"))
    scene.collection.objects.link(armature)
    bpy.context.view_layer.objects.active = armature
    bpy.ops.object.mode_set(mode="EDIT")
    armature.data.edit_bones.new('Odd "name"').tail = (0, 0, 1)
    bpy.ops.object.mode_set(mode="OBJECT")

    set_keys(armature.pose.bones[0], "rotation_quaternion", FRAMES, np.tile([0, 1, 0, 0], (10, 1)))
    scene.frame_set(5)

    assert tuple(armature.pose.bones[0].rotation_quaternion) == (0, 1, 0, 0)


def test_a_second_object_of_the_same_action_keeps_its_keys(scene, thing):
    other = bpy.data.objects.new("Other", None)
    scene.collection.objects.link(other)
    set_keys(thing, "location", FRAMES, np.ones((10, 3)))
    other.animation_data_create().action = thing.animation_data.action
    if hasattr(other.animation_data, "action_slot"):
        other.animation_data.action_slot = thing.animation_data.action.slots.new("OBJECT", "Other")

    set_keys(other, "location", FRAMES, np.zeros((10, 3)))
    scene.frame_set(3)

    assert tuple(thing.location) == ((1, 1, 1) if hasattr(other.animation_data, "action_slot") else (0, 0, 0))


def test_a_locked_curve_is_refused_in_a_sentence(thing):
    set_keys(thing, "location", FRAMES, np.zeros((10, 3)))
    curves_of(thing)[0].lock = True

    with pytest.raises(SetupError, match="'Thing' is locked"):
        set_keys(thing, "location", FRAMES, np.zeros((10, 3)))


def test_time_grows_with_the_number_of_frames_and_not_with_its_square(thing, rng):
    def seconds(count: int) -> float:
        started = time.process_time()
        set_keys(thing, "location", range(1, count + 1), rng.normal(size=(count, 3)))
        return time.process_time() - started

    seconds(100)

    assert seconds(20_000) < 40 * seconds(2_000) + 0.1
