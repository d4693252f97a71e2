# SPDX-License-Identifier: Apache-2.0
import shutil
from pathlib import Path
from types import SimpleNamespace

import bpy
import numpy as np
import pytest

import solver_core as sc
from addon import panels, preferences, results
from addon.bridge.camera import read_camera, read_camera_pose
from addon.bridge.keyframes import every_curve
from addon.bridge.mesh import read_rigid_mesh
from solver_core import rotations
from solver_core.network.weights import shipped_weights
from tests.blender.fake_layout import FakeLayout
from tests.blender.pose_scene import HEIGHT, TRUE_ROTATION, WIDTH, make_pose_scene

QUICK = {"steps": 2, "restarts": 0, "refine": False}  # for tests that are not about the fit


@pytest.fixture
def monkey(registered):
    return make_pose_scene(registered)


def world(thing):
    bpy.context.view_layer.update()
    return np.array(thing.matrix_world)


def library_answer(scene, monkey):
    """world_from_object (4, 4) by solver_core on the scene as it is."""
    depsgraph = bpy.context.evaluated_depsgraph_get()
    world_from_camera, mesh = read_camera_pose(depsgraph, scene.camera), read_rigid_mesh(depsgraph, monkey)
    rgba = np.empty((HEIGHT, WIDTH, 4), np.float32)
    scene.deep_feedback.pose.silhouette.image.pixels.foreach_get(rgba.ravel())
    camera = read_camera(scene, depsgraph, scene.camera)
    start = np.linalg.solve(world_from_camera, mesh.world_from_object)
    answer = sc.solve_pose(rgba[::-1, :, 3], mesh.vertices, mesh.faces, camera, start=start)
    return world_from_camera @ answer.camera_from_object


def test_button_finds_the_pose_of_the_silhouette(registered, monkey):
    answer = bpy.ops.deep_feedback.solve_pose()

    assert answer == {"FINISHED"}
    true = rotations.matrix_from_wxyz(np.array(bpy_quaternion(TRUE_ROTATION)))
    turned = rotations.wxyz_from_matrix(true.T @ world(monkey)[:3, :3])
    assert np.degrees(rotations.angle_between(turned, np.array([1.0, 0, 0, 0]))) < 1  # of a mask with 120 rows
    np.testing.assert_allclose(monkey.location, 0, atol=0.02)
    report = results.find("pose", registered).report
    assert report["iou"] > 0.98 > report["iou_before"]


def bpy_quaternion(euler):
    from mathutils import Euler

    return Euler(euler).to_quaternion()


def test_button_gives_the_result_of_the_library(registered, monkey):
    expected = library_answer(registered, monkey)

    bpy.ops.deep_feedback.solve_pose()

    np.testing.assert_allclose(world(monkey), expected, atol=1e-5)  # Blender keeps float32 Euler angles


def test_button_gives_the_same_result_when_pressed_again_from_the_same_start(registered, monkey):
    options = QUICK | {"restarts": 2, "seed": 3}
    location, rotation = monkey.location.copy(), monkey.rotation_euler.copy()
    bpy.ops.deep_feedback.solve_pose(**options)
    first = world(monkey)
    monkey.location, monkey.rotation_euler = location, rotation

    bpy.ops.deep_feedback.solve_pose(**options)

    np.testing.assert_array_equal(world(monkey), first)


def test_button_takes_options_from_the_scene_unless_they_are_given(registered, monkey):
    registered.deep_feedback.pose.steps = 1
    registered.deep_feedback.pose.restarts = 0
    registered.deep_feedback.pose.refine = False

    bpy.ops.deep_feedback.solve_pose()
    options = results.find("pose", registered).solve.task.options
    bpy.ops.deep_feedback.solve_pose(steps=2)
    options_given = results.find("pose", registered).solve.task.options

    assert (options.steps, options.restarts, options.refine) == (1, 0, False)
    assert (options_given.steps, options_given.restarts, options_given.refine) == (2, 0, False)


def test_button_takes_networks_of_the_preferences_unless_its_settings_name_others(registered, monkey, tmp_path):
    of_preferences, of_settings = (shutil.copy(shipped_weights("pose"), tmp_path / name) for name in ("a.st", "b.st"))
    preferences.find(bpy.context).weights_pose = str(of_preferences)

    bpy.ops.deep_feedback.solve_pose(**QUICK)
    by_preferences = results.find("pose", registered).solve.task.options.weights
    bpy.ops.deep_feedback.solve_pose(**QUICK, use_weights=True, weights=str(of_settings))
    by_settings = results.find("pose", registered).solve.task.options.weights

    assert (Path(by_preferences), Path(by_settings)) == (of_preferences, of_settings)


def test_networks_of_the_preferences_may_lie_beside_the_scene(registered, monkey, tmp_path):
    shutil.copy(shipped_weights("pose"), tmp_path / "own.st")
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    preferences.find(bpy.context).weights_pose = "//own.st"

    bpy.ops.deep_feedback.solve_pose(**QUICK)

    assert Path(results.find("pose", registered).solve.task.options.weights) == tmp_path / "own.st"


def test_button_refuses_networks_of_the_preferences_that_are_for_something_else(registered, monkey):
    preferences.find(bpy.context).weights_pose = str(shipped_weights("lighting_sun"))

    with pytest.raises(RuntimeError, match="is for lighting_sun, but pose is needed"):
        bpy.ops.deep_feedback.solve_pose(**QUICK)


def test_button_moves_the_camera_when_told(registered, monkey):
    before = world(monkey)

    bpy.ops.deep_feedback.solve_pose(**QUICK, move="CAMERA")

    np.testing.assert_array_equal(world(monkey), before)
    assert registered.camera.location.y != -6


def test_button_is_grey_when_the_camera_is_in_another_scene(registered, monkey):
    other = bpy.data.objects.new("Other", bpy.data.cameras.new("Other"))
    registered.deep_feedback.pose.camera = other

    with pytest.raises(RuntimeError, match="'Other' is not in this scene"):
        bpy.ops.deep_feedback.solve_pose()


def test_button_sets_keyframes_of_a_range(registered, monkey):
    bpy.ops.deep_feedback.solve_pose(**QUICK, use_range=True, frame_start=3, frame_end=5)

    frames = {frame for frame in range(1, 8) if monkey.location.y != 0 and has_key(monkey, frame)}
    assert frames == {3, 4, 5}
    assert registered.frame_current == 1
    assert len(results.find("pose", registered).report["iou"]) == 3


def has_key(thing, frame):
    """Whether deleting the keyframe of a frame finds one."""
    try:
        return thing.keyframe_delete("location", index=0, frame=frame)
    except RuntimeError:
        return False


def test_button_reports_a_sentence_and_moves_nothing_when_the_image_is_empty(registered, monkey):
    registered.deep_feedback.pose.silhouette.image = bpy.data.images.new("Tall", 10, 90, alpha=True)
    registered.deep_feedback.pose.key = "LUMINANCE"
    before = world(monkey)

    with pytest.raises(RuntimeError, match="Solve Pose: the silhouette is empty"):
        bpy.ops.deep_feedback.solve_pose()

    np.testing.assert_array_equal(world(monkey), before)
    assert results.find("pose", registered) is None


def test_undo_takes_the_whole_solve_back_at_once(registered, monkey):
    bpy.ops.ed.undo_push(message="before")
    name, before = monkey.name, world(monkey)
    bpy.ops.deep_feedback.solve_pose(**QUICK)
    bpy.ops.ed.undo_push(message="Solve Pose")  # as Blender does after an operator in a window
    assert not np.array_equal(world(bpy.data.objects[name]), before)

    bpy.ops.ed.undo()

    np.testing.assert_array_equal(world(bpy.data.objects[name]), before)
    assert results.shown() is None


def test_undo_takes_the_result_along_and_redo_brings_it_back(registered, monkey):
    bpy.ops.ed.undo_push(message="before")
    name = monkey.name
    bpy.ops.deep_feedback.solve_pose(**QUICK)
    after = world(monkey)
    bpy.ops.ed.undo_push(message="Solve Pose")

    bpy.ops.ed.undo()

    assert results.find("pose", bpy.context.scene) is None
    assert results.report_of("pose", bpy.context.scene) is None
    bpy.ops.ed.redo()
    assert results.report_of("pose", bpy.context.scene)["iou"] > 0.9
    settings = bpy.context.scene.deep_feedback.pose
    settings.step = len(results.find("pose", bpy.context.scene).steps)
    np.testing.assert_allclose(world(bpy.data.objects[name]), after, atol=1e-6)  # float32
    assert results.shown() is not None


def test_result_is_there_after_the_file_was_loaded(registered, monkey, tmp_path):
    bpy.ops.deep_feedback.solve_pose(**QUICK)
    report, after = results.find("pose", registered).report, world(monkey)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "solved.blend"))

    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "solved.blend"))

    scene = bpy.context.scene
    assert results.find("pose", scene) is None
    assert results.report_of("pose", scene)["explanation"] == report["explanation"]
    layout = FakeLayout()
    panels.DEEP_FEEDBACK_PT_pose.draw(SimpleNamespace(layout=layout), bpy.context)
    assert ("label", "Good") in layout.drawn
    assert ("prop", "step") not in layout.drawn
    assert ("operator", "deep_feedback.key_result") in layout.drawn
    assert ("operator", "deep_feedback.reset_result") not in layout.drawn
    monkey = bpy.data.objects["Suzanne"]
    monkey.location = (1, 2, 3)
    bpy.ops.deep_feedback.apply_alternative(index=0)
    np.testing.assert_allclose(world(monkey), after, atol=1e-5)
    with pytest.raises(RuntimeError, match="since the file was opened"):
        bpy.ops.deep_feedback.reset_result(problem="pose")


@pytest.mark.parametrize(
    "record", ["{", "[]", "null", '{"format": 1}', '{"format": 1, "report": {"verdict": "great"}}', "[" * 9999]
)
def test_a_record_that_cannot_be_read_shows_nothing(registered, record):
    registered.deep_feedback.pose.record = record
    layout = FakeLayout()

    panels.DEEP_FEEDBACK_PT_pose.draw(SimpleNamespace(layout=layout), bpy.context)

    assert results.report_of("pose", registered) is None
    assert ("label", "Result") not in layout.drawn


def test_reset_puts_the_object_back_and_nothing_else(registered, monkey):
    before = world(monkey)
    bpy.ops.deep_feedback.solve_pose(**QUICK)
    registered.camera.location.x = 5

    bpy.ops.deep_feedback.reset_result(problem="pose")

    np.testing.assert_array_equal(world(monkey), before)
    assert registered.camera.location.x == 5
    assert results.report_of("pose", registered) is None


def keys_of(thing):
    return {
        (curve.data_path, curve.array_index): [(*key.co, key.interpolation, *key.handle_left) for key in curve.keyframe_points]
        for curve in every_curve(thing)
    }


def test_reset_of_a_range_puts_earlier_keyframes_back(registered, monkey):
    for frame, height in ((1, 0.0), (4, 0.3), (9, 0.1)):
        monkey.location.z = height
        monkey.keyframe_insert("location", index=2, frame=frame)
    registered.frame_set(1)
    before = keys_of(monkey)
    bpy.ops.deep_feedback.solve_pose(**QUICK, use_range=True, frame_start=3, frame_end=5)
    assert keys_of(monkey) != before

    bpy.ops.deep_feedback.reset_result(problem="pose")

    assert keys_of(monkey) == before


def test_result_is_sent_to_a_keyframe(registered, monkey):
    monkey.lock_location[1] = True
    bpy.ops.deep_feedback.solve_pose(**QUICK)
    registered.frame_set(7)

    bpy.ops.deep_feedback.key_result(problem="pose")

    keys = keys_of(monkey)
    assert set(keys) == {("location", 0), ("location", 2), *(("rotation_euler", axis) for axis in range(3))}
    assert all(key[0] == 7 for several in keys.values() for key in several)


def with_alternative(scene):
    """Adds another pose to the result: turned by half a turn about z, one metre up."""
    result = results.find("pose", scene)
    placed = result.report["alternatives"][0]
    other = placed | {"location": [0.0, 0.0, 1.0], "rotation_wxyz": [0.0, 0.0, 0.0, 1.0], "probability": 0.25}
    results.conclude(result, result.report | {"alternatives": [placed, other]})


def test_alternatives_are_baked_into_a_collection(registered, monkey):
    monkey.modifiers.new("Subdivision", "SUBSURF").levels = 1
    bpy.ops.deep_feedback.solve_pose(**QUICK)
    assert not bpy.ops.deep_feedback.bake_alternatives.poll()
    with_alternative(registered)
    before = world(monkey)

    bpy.ops.deep_feedback.bake_alternatives()

    (copy,) = bpy.data.collections["Alternatives of Suzanne"].objects
    assert copy.name == "Suzanne 1 (25%)"
    assert copy.hide_render
    assert len(copy.data.vertices) > len(monkey.data.vertices)
    np.testing.assert_allclose(world(copy), [[-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 1, 1], [0, 0, 0, 1]], atol=1e-5)
    np.testing.assert_array_equal(world(monkey), before)


def test_alternatives_of_the_camera_are_cameras(registered, monkey):
    bpy.ops.deep_feedback.solve_pose(**QUICK, move="CAMERA")
    with_alternative(registered)

    bpy.ops.deep_feedback.bake_alternatives()

    (copy,) = bpy.data.collections["Alternatives of Camera"].objects
    assert copy.data == registered.camera.data
    np.testing.assert_allclose(world(copy)[:3, 3], [0, 0, 1], atol=1e-5)


def test_alternative_is_applied_when_clicked(registered, monkey):
    bpy.ops.deep_feedback.solve_pose(**QUICK)
    after = world(monkey)
    monkey.location = (9, 9, 9)

    bpy.ops.deep_feedback.apply_alternative(index=0)

    np.testing.assert_allclose(world(monkey), after, atol=1e-5)  # numbers in a file are rounded


def test_alternative_says_why_when_the_object_is_gone(registered, monkey):
    bpy.ops.deep_feedback.solve_pose(**QUICK)
    bpy.data.objects.remove(monkey)

    with pytest.raises(RuntimeError, match="Apply Alternative: 'Suzanne' is no longer in the scene"):
        bpy.ops.deep_feedback.apply_alternative(index=0)


def test_clear_forgets_the_result_and_leaves_the_scene(registered, monkey):
    bpy.ops.deep_feedback.solve_pose(**QUICK)
    after = world(monkey)

    bpy.ops.deep_feedback.clear_result(problem="pose")

    np.testing.assert_array_equal(world(monkey), after)
    assert results.find("pose", registered) is None
    assert results.shown() is None


def test_renders_get_the_resolution_of_the_picture(registered, monkey):
    render = registered.render
    render.resolution_x, render.resolution_y, render.resolution_percentage, render.pixel_aspect_x = 640, 333, 50, 2

    bpy.ops.deep_feedback.use_image_resolution()

    assert (render.resolution_x, render.resolution_y, render.resolution_percentage) == (WIDTH, HEIGHT, 100)
    assert render.pixel_aspect_x == render.pixel_aspect_y == 1
    registered.deep_feedback.pose.silhouette.source = "RENDER"
    assert not bpy.ops.deep_feedback.use_image_resolution.poll()


def test_background_color_is_picked_where_it_is_the_key(registered, monkey):
    registered.deep_feedback.pose.key = "COLOR"
    layout = FakeLayout()

    panels.DEEP_FEEDBACK_PT_pose.draw(SimpleNamespace(layout=layout), bpy.context)

    assert ("operator", "ui.eyedropper_color") in layout.drawn
