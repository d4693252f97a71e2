# SPDX-License-Identifier: Apache-2.0
import bpy
import pytest

from addon.bridge.light import is_as_made, is_of_solve, new_light, remove_as_made, staying_as_made


def rename(light):
    light.name = "Key"


def rename_data(light):
    light.data.name = "Key"


def move(light):
    light.location.x = 1


def recolor(light):
    light.data.color = (1, 0, 0)


def dim(light):
    light.data.energy = 0.5


def change_kind(light):
    light.data.type = "POINT"


def track(light):
    light.constraints.new("TRACK_TO")


def hang_on(light):
    child = bpy.data.objects.new("Flare", None)
    bpy.context.scene.collection.objects.link(child)
    child.parent = light


def key(light):
    light.keyframe_insert("location", frame=1)


CHANGES = [rename, rename_data, move, recolor, dim, change_kind, track, hang_on]


@pytest.mark.parametrize("change", [*CHANGES, key])
def test_a_light_of_a_solve_that_was_changed_is_not_removed(change, scene):
    light = new_light(scene, "sun")
    change(light)

    assert not remove_as_made(light)
    assert light in list(scene.objects)
    assert is_of_solve(light)
    assert is_as_made(light) == (change is key)  # a solve at another frame goes on with it


def test_a_light_of_a_solve_that_nobody_changed_is_removed_after_a_reload(scene, tmp_path):
    light = new_light(scene, "sun")
    with staying_as_made(light):
        light.rotation_euler, light.data.energy = (0.1, 0.2, 0.3), 1 / 3
    path = str(tmp_path / "light.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.open_mainfile(filepath=path)

    assert remove_as_made(bpy.context.scene.objects["Solved Sun"])
    assert not bpy.data.lights


def test_a_light_that_was_changed_is_not_as_made_after_what_a_solve_does_to_it(scene):
    light = new_light(scene, "sun")
    rename(light)

    with staying_as_made(light):
        light.data.energy = 3

    assert not is_as_made(light)


def test_a_copy_or_a_light_of_the_user_is_not_as_made(scene):
    copied, own = new_light(scene, "sun").copy(), bpy.data.objects.new("Own", bpy.data.lights.new("Own", "SUN"))

    assert not is_as_made(copied)
    assert not is_as_made(own)
    assert not is_of_solve(own)
