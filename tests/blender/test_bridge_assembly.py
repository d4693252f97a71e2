# SPDX-License-Identifier: Apache-2.0
"""What counts as one object, and how a scene answers when it is moved."""

import bpy
import numpy as np
import pytest

from addon.bridge.assembly import alone, try_move, whole_of
from addon.bridge.scene import Handle, evaluate
from addon.bridge.transform import read_channels, world_matrix
from solver_core.errors import SetupError

from .solve_scenes import add_camera


@pytest.fixture
def camera(scene):
    return add_camera(scene)


@pytest.fixture
def body(scene, camera):
    return cube("Body")


def cube(name, parent=None, location=(0, 0, 0)):
    bpy.ops.mesh.primitive_cube_add(size=1, location=location)
    thing = bpy.context.object
    thing.name, thing.parent = name, parent
    return thing


def empty(name, parent=None, data=None):
    thing = bpy.data.objects.new(name, data)
    bpy.context.scene.collection.objects.link(thing)
    thing.parent = parent
    return thing


def armature(name):
    rig = empty(name, data=bpy.data.armatures.new(name))
    bpy.context.view_layer.objects.active = rig
    bpy.ops.object.mode_set(mode="EDIT")
    for number in range(2):
        bone = rig.data.edit_bones.new(f"Bone{number}")
        bone.head, bone.tail = (0, 0, number), (0, 0, number + 1)
        bone.parent = rig.data.edit_bones[0] if number else None
    bpy.ops.object.mode_set(mode="OBJECT")
    return rig


def deform(thing, rig):
    for bone in rig.data.bones:
        group = thing.vertex_groups.new(name=bone.name)
        group.add([v.index for v in thing.data.vertices if (v.co.z > 0) == (bone.name == "Bone1")], 1, "REPLACE")
    thing.modifiers.new("Armature", "ARMATURE").object = rig


def names(handles):
    return {handle.name for handle in handles}


def tried(scene, thing, still):
    """The trial of a whole object."""
    assembly = whole_of(scene, thing, still)
    return try_move(scene, assembly.movers, assembly.parts, (Handle.of(still),))


def test_children_count_with_their_parent_and_the_hidden_do_not(scene, body, camera):
    cube("Wheel", body)
    cube("Nut", scene.objects["Wheel"])
    cube("Collider", body).hide_render = True
    empty("Locator", body)
    cube("Elsewhere")

    whole = whole_of(scene, body, camera)

    assert names(whole.movers) == {"Body"}
    assert names(whole.parts) == {"Body", "Wheel", "Nut"}
    assert names(alone(body).parts) == {"Body"}


@pytest.mark.parametrize("chosen", ["Root", "Inner", "Body", "Wheel"])
def test_all_parts_of_an_imported_hierarchy_are_moved_by_its_root(chosen, scene, body, camera):
    body.parent = empty("Inner", empty("Root"))
    cube("Wheel", scene.objects["Root"])

    whole = whole_of(scene, scene.objects[chosen], camera)

    assert names(whole.movers) == {"Root"}
    assert names(whole.parts) == {"Body", "Wheel"}


def test_an_object_whose_empty_holds_nothing_else_is_moved_itself(scene, body, camera):
    body.parent = empty("Null")

    assert names(whole_of(scene, body, camera).movers) == {"Body"}


def test_an_empty_that_holds_the_camera_too_is_not_moved(scene, body, camera):
    root = empty("Set")
    body.parent = camera.parent = root
    cube("Other", root)

    assert names(whole_of(scene, body, camera).movers) == {"Body"}


@pytest.mark.parametrize("chosen", ["Body", "Rig"])
@pytest.mark.parametrize("is_child", [True, False])
def test_a_character_is_moved_with_its_armature(chosen, is_child, scene, body, camera):
    rig = armature("Rig")
    deform(body, rig)
    rig.pose.bones["Bone1"].rotation_quaternion = (0.9, 0.3, 0, 0)
    if is_child:
        body.parent = rig

    whole, trial = whole_of(scene, scene.objects[chosen], camera), tried(scene, scene.objects[chosen], camera)

    assert names(whole.movers) == ({"Rig"} if is_child else {"Rig", "Body"})
    assert names(trial.parts) == {"Body"}
    assert trial.changes == ()


def test_a_trial_leaves_everything_where_it_was(scene, body, camera):
    body.rotation_euler, body.scale = (0.1, 0.2, 0.3), (1, -2, 3)
    channels, before = read_channels(body), world_matrix(evaluate(scene), body)

    trial = tried(scene, body, camera)

    assert (names(trial.parts), trial.changes, trial.notices) == ({"Body"}, (), ())
    assert read_channels(body) == channels
    np.testing.assert_array_equal(world_matrix(evaluate(scene), body), before)


def test_a_camera_that_is_a_child_of_the_object_is_refused(scene, body, camera):
    camera.parent = body

    with pytest.raises(SetupError, match="'Camera' moves along with 'Body', of which it is a child: clear the parent"):
        tried(scene, body, camera)


def test_an_object_that_is_a_child_of_the_moved_camera_is_refused(scene, body, camera):
    body.parent = camera

    with pytest.raises(SetupError, match="'Body' moves along with 'Camera', of which it is a child"):
        try_move(scene, (Handle.of(camera),), (), (Handle.of(body),))


def test_a_camera_that_tracks_the_object_is_refused_with_the_constraint(scene, body, camera):
    camera.constraints.new("TRACK_TO").target = body

    with pytest.raises(SetupError, match="'Camera' moves along with 'Body', held by the constraint 'Track To'"):
        tried(scene, body, camera)


def test_an_object_held_by_a_constraint_is_refused_by_its_name(scene, body, camera):
    body.constraints.new("COPY_LOCATION").target = empty("Target")

    with pytest.raises(SetupError, match="'Body' is held by its constraint 'Copy Location'"):
        tried(scene, body, camera)


@pytest.mark.parametrize("kind", ["LIMIT_LOCATION", "LIMIT_ROTATION", "LIMIT_SCALE"])
def test_a_constraint_that_limits_nothing_does_not_matter(kind, scene, body, camera):
    body.constraints.new(kind)

    assert tried(scene, body, camera).changes == ()


def test_a_constraint_that_acts_like_a_parent_does_not_matter(scene, body, camera):
    target = empty("Target")
    target.location, target.rotation_euler = (1, 2, 3), (0.3, 0.2, 0.1)
    body.constraints.new("CHILD_OF").target = target

    assert tried(scene, body, camera).changes == ()


def test_a_constraint_that_limits_the_trial_is_remembered(scene, body, camera):
    limit = body.constraints.new("LIMIT_ROTATION")
    limit.use_limit_z = True

    assert "held by its constraint 'Limit Rotation'" in tried(scene, body, camera).changes[0]


@pytest.mark.parametrize("channel", ["location", "rotation_euler"])
def test_an_object_with_a_driver_that_would_undo_a_move_is_refused(channel, scene, body, camera):
    body.driver_add(channel, 0).driver.expression = "0.5"

    with pytest.raises(SetupError, match=f"driver on its {channel.partition('_')[0]}"):
        tried(scene, body, camera)


def test_an_object_that_is_locked_as_a_whole_is_refused(scene, body, camera):
    body.lock_location = body.lock_rotation = (True, True, True)

    with pytest.raises(SetupError, match=r"location X, location Y, location Z, rotation X.* of 'Body' are locked"):
        tried(scene, body, camera)


def test_a_locked_channel_and_a_stretched_parent_are_remembered(scene, body, camera):
    body.lock_location[2] = True
    assert "The location Z of 'Body' is locked" in tried(scene, body, camera).changes[0]
    body.lock_location[2] = False

    body.parent = empty("Stretched")
    body.parent.scale = (1, 1, 1.5)
    assert "apply the parent's scale" in tried(scene, body, camera).changes[0]


def test_a_modifier_that_depends_on_another_object_is_remembered(scene, body, camera):
    modifier = body.modifiers.new("Mirror", "MIRROR")
    modifier.mirror_object = empty("Centre")
    modifier.mirror_object.location.y = 3

    assert "'Mirror' of 'Body' depends on 'Centre'" in tried(scene, body, camera).changes[0]
    modifier.mirror_object.parent = body
    assert tried(scene, body, camera).changes == ()


def test_a_child_that_stays_behind_does_not_count(scene, body, camera):
    wheel, anchor = cube("Wheel", body), empty("Anchor")
    for kind in ("COPY_LOCATION", "COPY_ROTATION"):
        wheel.constraints.new(kind).target = anchor

    trial = tried(scene, body, camera)

    assert names(trial.parts) == {"Body"}
    assert "'Wheel' does not move along with 'Body'" in trial.notices[0]


def test_a_handle_finds_what_was_renamed_and_refuses_what_was_deleted(scene, body):
    handle = Handle.of(body)
    body.name = "Chassis"
    cube("Body")
    assert handle.require(scene) == body

    bpy.data.objects.remove(body)

    with pytest.raises(SetupError, match="'Body' is no longer in the scene"):
        handle.require(scene)
